"""A report of a real drift alert: out of the store and the lake, by Evidently itself."""

import json
import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from mlops_ray.drift import build_reference
from mlops_ray.errors import ValidationError
from mlops_ray.lake import Lake
from mlops_ray.model import InputColumn, Signature
from mlops_ray.records import LABELS
from mlops_ray.reports import ReportDesk, alert_order, window_order
from mlops_ray.reports.frames import frames_of, labelled_frame
from mlops_ray.reports.make_report import make_report
from mlops_ray.reports.page import quality_page
from mlops_ray.spec import Workspace
from tests.monitor.samples import Watch
from tests.reports.samples import HereAndNow

pytestmark = pytest.mark.filterwarnings("ignore")  # Evidently's and scipy's own, of constant columns and the like


@pytest.fixture
def watch(workspace: Workspace, tmp_path: Path) -> Iterator[Watch]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        watch = Watch(workspace, tmp_path)
        yield watch
    watch.monitor.close()
    watch.store.close()


def test_a_drift_alert_gets_a_page_that_names_what_drifted_and_needs_nothing_else(watch: Watch) -> None:
    watch.go_on(300, shift_b=1.0)
    (alert,) = watch.store.alerts("toy")
    tasks = HereAndNow()
    desk = ReportDesk(watch.workspace, watch.store, clock=lambda: watch.now_s + 60, tasks=tasks)
    desk.tick()
    desk.tick()
    evidence = watch.store.alert(alert.id).evidence
    assert evidence["report_drifted"] == ["b"]
    lake = Lake(watch.workspace.lake)
    html = lake.read_bytes(f"reports/toy/{alert.id}/report.html").decode()
    assert evidence["report"] == lake.uri_of(f"reports/toy/{alert.id}/report.html")
    head = html[: html.index("</header>")]
    assert "drift (warning): toy v1" in head
    assert "features: <b>b</b>" in head
    assert alert.message in head
    assert 'src="http' not in html
    assert "<link" not in html
    content = json.loads(lake.read_bytes(f"reports/toy/{alert.id}/report.json"))
    assert content["summary"]["drifted"] == ["b"]
    assert content["summary"]["rows"] >= 200


def test_a_report_that_is_there_is_not_made_again(watch: Watch) -> None:
    watch.go_on(300, shift_b=1.0)
    (alert,) = watch.store.alerts("toy")
    order = alert_order(watch.spec, watch.workspace, watch.store.model_version("toy", 1), alert)
    first = make_report(order)
    lake = Lake(watch.workspace.lake)
    lake.write_bytes(f"{order.folder}/report.html", b"untouched")
    assert make_report(order).uri == first.uri
    assert lake.read_bytes(f"{order.folder}/report.html") == b"untouched"


def test_a_window_without_drift_has_a_report_without_drifted_columns(watch: Watch) -> None:
    watch.go_on(300)
    version = watch.store.model_version("toy", 1)
    order = window_order(watch.spec, watch.workspace, version, since_s=watch.now_s - 200, until_s=watch.now_s + 1)
    result = make_report(order)
    assert result.summary["drifted"] == []
    assert (result.logged, "Run with id=run not found" in result.problem) == (False, True), "it was no real training"


def test_a_window_without_traffic_says_so(watch: Watch) -> None:
    version = watch.store.model_version("toy", 1)
    order = window_order(watch.spec, watch.workspace, version, since_s=0.0, until_s=watch.now_s)
    with pytest.raises(ValidationError, match=r"a report needs 50 rows .* found 0"):
        make_report(order)


def test_the_newest_window_is_another_report_than_the_one_before(watch: Watch) -> None:
    version = watch.store.model_version("toy", 1)
    first = window_order(watch.spec, watch.workspace, version, since_s=0.0, until_s=watch.now_s)
    other = window_order(watch.spec, watch.workspace, version, since_s=0.0, until_s=watch.now_s + 1)
    assert first.folder != other.folder
    assert replace(first, until_s=other.until_s, name=other.name) == other


# -- both sides --------------------------------------------------------------------------------------------------------

MIXED = Signature(
    (
        InputColumn("amount", "float", nullable=True),
        InputColumn("visits", "int", nullable=True),
        InputColumn("member", "bool", nullable=True),
        InputColumn("plan", "category", nullable=True, categories=("free", "paid")),
    ),
    "multiclass",
    classes=("red", "green"),
)


def mixed_rows(count: int = 400) -> pa.Table:
    generator = np.random.default_rng(4)
    features = [
        {
            "amount": None if i % 7 == 0 else float(generator.normal()),
            "visits": int(generator.integers(0, 9)),
            "member": None if i % 5 == 0 else bool(i % 2),
            "plan": ("free", "paid", "gold")[i % 3],
        }
        for i in range(count)
    ]
    return pa.table(
        {
            "request_id": [f"r{i}" for i in range(count)],
            "row": pa.array([0] * count, pa.int32()),
            "score": [float(i % 2) for i in range(count)],
            "features": pa.array(features),
        }
    )


def mixed_reference() -> Any:
    generator = np.random.default_rng(5)
    matrix = np.column_stack(
        (
            np.where(np.arange(600) % 7 == 0, np.nan, generator.normal(size=600)),
            generator.integers(0, 9, 600),
            np.arange(600) % 2,
            np.arange(600) % 2,
            np.arange(600) % 2,
        )
    )
    return build_reference([*MIXED.columns(), MIXED.prediction_column()], matrix)


def test_both_sides_have_the_same_columns_types_and_names_of_categories() -> None:
    frames = frames_of(MIXED, mixed_reference(), mixed_rows(), not_kept=(), seed=1)
    assert list(frames.current.columns) == list(frames.reference.columns)
    assert frames.numeric == ("amount", "visits")
    assert frames.categorical == ("member", "plan", "prediction")
    assert set(frames.current["plan"]) == {"free", "paid", "gold"}, "unseen ones by their own names"
    assert set(frames.current["member"].dropna()) == {"false", "true"}
    assert set(frames.current["prediction"]) == set(frames.reference["prediction"]) == {"red", "green"}
    assert frames.current["amount"].isna().mean() == pytest.approx(1 / 7, abs=0.01)
    assert frames.reference["amount"].isna().mean() == pytest.approx(1 / 7, abs=0.01)


def test_what_was_not_kept_or_is_empty_is_left_out_with_the_reason() -> None:
    rows = mixed_rows()
    empty = pa.array([{**row, "visits": None} for row in rows["features"].to_pylist()], rows["features"].type)
    rows = rows.set_column(rows.column_names.index("features"), "features", empty)
    frames = frames_of(MIXED, mixed_reference(), rows, not_kept={"plan"}, seed=1)
    assert set(frames.left_out) == {"visits", "plan"}
    assert frames.left_out["visits"] == "it is empty in the window"
    assert "plan" not in frames.current.columns


def test_labelled_rows_are_joined_by_request_and_row() -> None:
    labels = pa.table(
        {"request_id": ["r1", "r2", "r999"], "row": [0, 0, 0], "label": [1.0, 1.0, 0.0], "received_s": [0.0] * 3}
    ).cast(LABELS)
    frame = labelled_frame(MIXED, mixed_rows(), labels).sort_values("prediction")
    assert frame.to_dict("list") == {"outcome": ["green", "green"], "prediction": ["green", "red"]}


@pytest.mark.parametrize(("task", "count"), [("binary", 0), ("multiclass", 2), ("multiclass", 3), ("regression", 0)])
def test_there_is_a_page_on_quality_for_every_task(task: Any, count: int) -> None:
    signature = Signature((), task, classes=("red", "green", "blue")[:count])
    rows = mixed_rows(120)
    generator = np.random.default_rng(1)
    score = generator.integers(0, count, 120).astype(float) if count else generator.uniform(size=120)
    rows = rows.set_column(rows.column_names.index("score"), "score", pa.array(score))
    outcome = generator.integers(0, max(2, count), 120).astype(float)
    labels = pa.table(
        {"request_id": rows["request_id"], "row": [0] * 120, "label": outcome, "received_s": [0.0] * 120}
    ).cast(LABELS)
    page = quality_page(signature, labelled_frame(signature, rows, labels))
    assert page is not None
    assert "drawDashboard" in page
    assert quality_page(signature, labelled_frame(signature, rows, labels.slice(0, 20))) is None
