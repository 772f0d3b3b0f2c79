"""Evidently's page and numbers, with what the alert says on top. Importing Evidently takes seconds and 280 MB."""

import json
import os
from collections.abc import Sequence
from datetime import UTC, datetime
from html import escape
from typing import Any

import numpy as np
import pandas as pd

from mlops_ray.model import Signature
from mlops_ray.reports.frames import PREDICTION, TARGET, Frames
from mlops_ray.reports.order import QUALITY, ReportOrder

__all__ = ["drift_page", "quality_page"]

_LABELLED_ROWS = 50
_BODY = "<body>"
_STYLE = (
    "font:15px/1.5 system-ui,sans-serif;margin:1.5rem auto 0;max-width:1180px;padding:1rem 1.5rem;color:#1f2937;"
    "border:1px solid #e5e7eb;border-left:6px solid {};border-radius:8px;background:#fff"
)
_COLOURS = {"info": "#2563eb", "warning": "#d97706", "critical": "#b91c1c"}


def drift_page(order: ReportOrder, frames: Frames, *, labelled: bool) -> tuple[str, dict[str, Any]]:
    """The page, which needs nothing from the network, and Evidently's results as JSON values.

    `labelled`: whether there is a page on quality beside it.
    """
    os.environ.setdefault("DO_NOT_TRACK", "1")
    from evidently import DataDefinition, Dataset, Report
    from evidently.presets import DataDriftPreset, DataSummaryPreset

    known = DataDefinition(numerical_columns=list(frames.numeric), categorical_columns=list(frames.categorical))
    sides = [Dataset.from_pandas(side, data_definition=known) for side in (frames.current, frames.reference)]
    snapshot = Report([DataDriftPreset(), DataSummaryPreset()], include_tests=False).run(*sides)
    html = snapshot.get_html_str(as_iframe=False)
    return html.replace(_BODY, _BODY + _head(order, frames, labelled=labelled), 1), json.loads(snapshot.json())


def quality_page(signature: Signature, rows: pd.DataFrame) -> str | None:
    """Evidently's page on labelled rows; None where they are too few, or of one class."""
    if len(rows) < _LABELLED_ROWS or (signature.task != "regression" and rows[TARGET].nunique() < 2):
        return None
    os.environ.setdefault("DO_NOT_TRACK", "1")
    from evidently import BinaryClassification, DataDefinition, Dataset, MulticlassClassification, Regression, Report
    from evidently.presets import ClassificationPreset, RegressionPreset

    preset = RegressionPreset() if signature.task == "regression" else ClassificationPreset()
    labels = sorted({*map(str, rows[TARGET]), *map(str, rows[PREDICTION])})
    if signature.task == "regression":
        columns = [TARGET, PREDICTION]
        known = DataDefinition(numerical_columns=columns, regression=[Regression(target=TARGET, prediction=PREDICTION)])
    elif signature.task == "binary":
        binary = BinaryClassification(target=TARGET, prediction_probas=PREDICTION, pos_label=1)
        known = DataDefinition(numerical_columns=[PREDICTION], categorical_columns=[TARGET], classification=[binary])
    elif len(labels) == 2:  # Evidently takes two classes for a binary task, whatever it is told
        two = BinaryClassification(target=TARGET, prediction_labels=PREDICTION, pos_label=labels[1])
        known = DataDefinition(categorical_columns=[TARGET, PREDICTION], classification=[two])
    else:
        several = MulticlassClassification(target=TARGET, prediction_labels=PREDICTION)
        known = DataDefinition(categorical_columns=[TARGET, PREDICTION], classification=[several])
    with np.errstate(all="ignore"):
        snapshot = Report([preset], include_tests=False).run(Dataset.from_pandas(rows, data_definition=known), None)
    html: str = snapshot.get_html_str(as_iframe=False)
    return html


def _head(order: ReportOrder, frames: Frames, *, labelled: bool) -> str:
    alert = order.occasion
    title = f"{order.model} v{order.version}"
    lines = [f"<b>{escape(title)}</b>: served {_time(order.since_s)} to {_time(order.until_s)}"]
    if alert is not None:
        named = ", ".join(alert.features)
        lines = [
            f"<b style='font-size:1.15rem'>{escape(alert.kind)} ({escape(alert.severity)}): {escape(title)}</b>",
            escape(alert.message),
            f"features: <b>{escape(named)}</b>" if named else "",
            f"alert {escape(alert.id)}, raised {_time(alert.at_s)}; served {_time(order.since_s)} to "
            f"{_time(order.until_s)}",
        ]
    lines += [
        f"current: {len(frames.current):,} served rows, a uniform sample; reference: {len(frames.reference):,} rows "
        "made from the counts of the training, so that its distributions are exact and its columns independent. "
        "Evidently's own tests and thresholds are below; the alert has its own.",
        *(f"left out: {escape(name)}, {escape(why)}" for name, why in frames.left_out.items()),
        f"<a href='{QUALITY}'>Quality on labelled rows</a>" if labelled else "",
    ]
    return _box(lines, _COLOURS.get(alert.severity if alert else "info", "#2563eb"))


def _box(lines: Sequence[str], colour: str) -> str:
    return f"<header style='{_STYLE.format(colour)}'>{'<br>'.join(line for line in lines if line)}</header>"


def _time(at_s: float) -> str:
    return datetime.fromtimestamp(at_s, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
