"""Makes one report: reads the window, compares it with the training, writes it to the lake and shows it to MLflow."""

import json
import logging
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow.compute as pc

from mlops_ray.drift import ReferenceProfile
from mlops_ray.errors import TrackingError, ValidationError
from mlops_ray.lake import Lake
from mlops_ray.model import Signature
from mlops_ray.records import RecordLog, not_kept, sampled
from mlops_ray.reports.order import HTML, JSON, QUALITY, ReportOrder, ReportResult
from mlops_ray.tracking import Tracking

__all__ = ["make_report"]

_log = logging.getLogger(__name__)
_MIN_ROWS = 50
_SEED = 11


def make_report(order: ReportOrder) -> ReportResult:
    """The report of an order, made unless it lies in the lake already; MLflow being away does no harm to it.

    `report.html` is a page that needs nothing else, `report.json` what Evidently found, with a `summary`: rows on both
    sides, drifted columns by Evidently's own thresholds, and columns left out. Where enough outcomes are known there
    is a page `quality.html` too. The JSON goes last, so that a report with it is whole.

    Raises:
        ValidationError: the window has too few rows.
        SourceError: the lake does not hold the version's bundle.
    """
    lake = Lake(order.lake)
    if not lake.exists(f"{order.folder}/{JSON}"):
        _write(order, lake)
    summary = json.loads(lake.read_bytes(f"{order.folder}/{JSON}"))["summary"]
    problem = _show(order, lake)
    return ReportResult(lake.uri_of(f"{order.folder}/{HTML}"), summary, not problem, problem)


def _write(order: ReportOrder, lake: Lake) -> None:
    # Evidently and pandas: seconds to import, for whoever makes a report only
    from mlops_ray.reports.frames import frames_of, labelled_frame
    from mlops_ray.reports.page import drift_page, quality_page

    bundle = Lake(order.bundle_uri)
    signature = Signature.from_json(json.loads(bundle.read_bytes("signature.json")))
    reference = ReferenceProfile.from_json(bundle.read_bytes("reference.json"))
    log = RecordLog(lake, order.model)
    served = sampled(log, version=order.version, since_s=order.since_s, until_s=order.until_s, rows=order.rows)
    if served.num_rows < _MIN_ROWS:
        raise ValidationError(
            f"a report needs {_MIN_ROWS} rows that version {order.version} of {order.model} answered as "
            f"champion, found {served.num_rows} in this span of time"
        )
    frames = frames_of(signature, reference, served, not_kept=not_kept(served.schema), seed=_SEED)
    labels = log.labels(order.since_s)
    labels = labels.filter(pc.is_finite(labels["label"])) if labels.num_rows else labels
    quality = None
    try:
        if labels.num_rows:
            quality = quality_page(signature, labelled_frame(signature, served, labels))
    except Exception as error:  # noqa: BLE001 - Evidently trips over odd outcomes; the page on drift is there without
        _log.warning("report %s has no page on quality: %s: %s", order.name, type(error).__name__, error)
    html, found = drift_page(order, frames, labelled=quality is not None)
    summary = {
        "rows": len(frames.current),
        "reference_rows": len(frames.reference),
        "drifted": _drifted(found),
        "left_out": dict(frames.left_out),
        "quality": quality is not None,
    }
    if quality is not None:
        lake.write_bytes(f"{order.folder}/{QUALITY}", quality.encode())
    lake.write_bytes(f"{order.folder}/{HTML}", html.encode())
    lake.write_bytes(f"{order.folder}/{JSON}", json.dumps({"summary": summary, "evidently": found}).encode())


def _drifted(found: Mapping[str, Any]) -> list[str]:
    """Columns that Evidently calls drifted: a p-value below its threshold, or a distance above it."""
    columns = []
    for metric in found["metrics"]:
        config = metric.get("config", {})
        if not str(config.get("type", "")).endswith(":ValueDrift"):
            continue
        value, threshold = float(metric["value"]), float(config["threshold"])
        is_p_value = "p_value" in str(config.get("method", ""))
        if value < threshold if is_p_value else value >= threshold:
            columns.append(str(config["column"]))
    return columns


def _show(order: ReportOrder, lake: Lake) -> str:
    """Keep the report with the run of the version's training; why not, where MLflow is away or has no such run."""
    tracking = Tracking(order.tracking, artifacts=f"{order.lake.rstrip('/')}/mlflow")
    with tempfile.TemporaryDirectory(prefix="mlops-ray-") as folder:
        lake.download(order.folder, Path(folder))
        try:
            tracking.log_files(order.run_id, Path(folder), f"reports/{order.name}")
        except TrackingError as error:
            return str(error)
    return ""
