from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from mlops_ray.control.reporting import explain_request, explanation_text, make_now, report_order, since_of
from mlops_ray.errors import ClusterError, ModelError, NotFoundError, SpecError
from mlops_ray.model import load_bundle
from mlops_ray.records import served_schema
from mlops_ray.reports import ReportResult
from mlops_ray.spec import Workspace
from mlops_ray.store import AlertRecord, Event
from tests.monitor.samples import FEATURES, rows_of, toy_spec
from tests.monitor.test_attribution import Explained
from tests.reports.samples import Scripted


@pytest.fixture
def watch(workspace: Workspace, tmp_path: Path) -> Iterator[Explained]:
    watch = Explained(workspace, tmp_path, spec=toy_spec())
    yield watch
    watch.monitor.close()
    watch.store.close()


@pytest.mark.parametrize(("text", "seconds"), [("90", 90), ("1.5s", 1.5), ("30m", 1800), ("2h", 7200), ("1d", 86_400)])
def test_a_span_reaches_back_from_now(text: str, seconds: float) -> None:
    assert since_of(text, 1e6) == 1e6 - seconds


def test_a_time_that_is_none_is_refused() -> None:
    with pytest.raises(SpecError, match="found 'yesterday'"):
        since_of("yesterday", 0.0)


def test_a_report_is_of_the_window_of_the_champion_or_of_an_alert(watch: Explained) -> None:
    usual = report_order(watch.store, watch.workspace, "toy", since=None, alert=None, now_s=watch.now_s)
    assert (usual.version, usual.since_s, usual.until_s) == (1, watch.now_s - 200, watch.now_s)
    longer = report_order(watch.store, watch.workspace, "toy", since="1h", alert=None, now_s=watch.now_s)
    assert longer.since_s == watch.now_s - 3600
    record = AlertRecord("a", "toy", 1, "decay", "critical", "worse", (), {}, "resolved", watch.now_s, watch.now_s)
    with watch.store.change(Event("alert.raised", "a", {}, "test", 0.0)) as change:
        change.put_alert(record)
    of_alert = report_order(watch.store, watch.workspace, "toy", since=None, alert="a", now_s=watch.now_s + 5000)
    assert of_alert.occasion is not None
    assert of_alert.since_s == watch.now_s - 2000, "outcomes are shown over ten windows"
    with pytest.raises(NotFoundError, match="'nowhere'"):
        report_order(watch.store, watch.workspace, "toy", since=None, alert="nowhere", now_s=0.0)


def test_a_report_that_does_not_come_is_ended(watch: Explained) -> None:
    order = report_order(watch.store, watch.workspace, "toy", since=None, alert=None, now_s=watch.now_s)
    hanging = Scripted([None])
    with pytest.raises(ClusterError, match="was not made within"):
        make_now(order, hanging)
    assert hanging.cancelled == [1]
    good = ReportResult("uri", {"drifted": []}, logged=True)
    assert make_now(order, Scripted([good])) == good


def test_a_served_request_is_explained_by_the_version_that_answered_it(watch: Explained) -> None:
    matrix = rows_of(3, seed=1)
    watch.monitor.receive(watch.handover(matrix))
    content = explain_request(watch.store, watch.workspace, "0-1")
    bundle = load_bundle(watch.store.model_version("toy", 1).bundle_uri)
    (each,) = content["explanations"]
    assert 1 / (1 + np.exp(-each["score"])) == pytest.approx(bundle.predict(matrix[1:2, :2])[0])
    assert each["base"] + sum(each["contributions"].values()) == pytest.approx(each["score"])
    text = explanation_text(content)
    assert text.splitlines()[0] == "toy v1, tree_shap, in log_odds"
    assert text.splitlines()[2].endswith("  b"), "the largest contribution first"


def test_a_request_whose_features_were_not_kept_says_so(watch: Explained) -> None:
    handover = watch.handover(rows_of(1, seed=1))
    table = handover["records"]
    features = [{"a": 1.0, "b": None}]
    place = table.column_names.index("features")
    table = table.set_column(place, "features", pa.array(features, FEATURES)).cast(served_schema(FEATURES, ["b"]))
    watch.monitor.receive(handover | {"records": table})
    with pytest.raises(ModelError, match="its record does not hold 'b'"):
        explain_request(watch.store, watch.workspace, "0-0")
    with pytest.raises(NotFoundError):
        explain_request(watch.store, watch.workspace, "nobody")
