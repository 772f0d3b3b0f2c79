"""Which rows alerts on served traffic show, from real hand-overs."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from mlops_ray.alerting import Alert
from mlops_ray.records import served_schema
from mlops_ray.spec import ModelSpec, Workspace
from tests.monitor.samples import Watch, rows_of, toy_spec

MONITOR = {"window": {"size_s": 200, "every_s": 10, "min_rows": 200}, "quality": {"min_rows": 40}}
Make = Callable[[ModelSpec], Watch]


@pytest.fixture
def make(workspace: Workspace, tmp_path: Path) -> Iterator[Make]:
    """Makes the watch of a spec, after 300 s of traffic as in the training."""
    made: list[Watch] = []

    def new(spec: ModelSpec) -> Watch:
        made.append(Watch(workspace, tmp_path, spec=spec))
        made[0].go_on(200)
        return made[0]

    yield new
    made[0].monitor.close()
    made[0].store.close()


def spec(**sections: Any) -> ModelSpec:
    return toy_spec(monitor=MONITOR, **sections)


def break_b(watch: Watch, value: float, *, seconds: int = 30) -> None:
    """Every third value of b is this one, in the records and in the profile."""
    for step in range(seconds // 10):
        watch.now_s += 10.0
        matrix = rows_of(60, seed=900 + step)
        matrix[::3, 1] = value
        watch.monitor.receive(watch.handover(matrix))
        watch.monitor.judge(watch.now_s)


def alert_of(watch: Watch, kind: str) -> Any:
    (alert,) = watch.store.alerts("toy", state="open")
    assert alert.kind == kind
    return alert


@pytest.mark.parametrize(("value", "said"), [(0.0, 0.0), (np.nan, None), (np.inf, "inf"), (1e6, 1e6)])
def test_a_broken_column_shows_newest_rows_whose_value_is_broken(make: Make, value: float, said: Any) -> None:
    watch = make(spec())
    break_b(watch, value)
    samples = alert_of(watch, "data_quality").evidence["samples"]
    assert [row["b"] for row in samples] == [said] * 3
    assert set(samples[0]) == {"request_id", "row", "time", "answer", "a", "b"}
    assert len({row["request_id"] for row in samples}) == 3


def test_a_drifted_feature_shows_rows_of_the_bins_that_grew(make: Make) -> None:
    watch = make(spec())
    watch.go_on(300, shift_b=2.0)
    evidence = alert_of(watch, "drift").evidence
    assert len(evidence["samples"]) == 3
    assert all(row["b"] > 1.0 for row in evidence["samples"])
    (drawn,) = evidence["histograms"]
    growth = np.subtract(drawn["window"], drawn["reference"])
    low, high = drawn["edges"][growth.argmax()], drawn["edges"][growth.argmax() + 1]
    assert all(
        row["b"] > low and (row["b"] <= high or growth.argmax() == len(growth) - 1) for row in evidence["samples"]
    )


def test_answers_that_drift_show_rows_with_such_answers(make: Make) -> None:
    watch = make(spec())
    for step in range(20):
        watch.now_s += 10.0
        matrix = rows_of(50, seed=700 + step)
        matrix[:, 2] **= 3
        watch.monitor.receive(watch.handover(matrix))
        watch.monitor.judge(watch.now_s)
    samples = alert_of(watch, "prediction_drift").evidence["samples"]
    assert len(samples) == 3
    assert all(row["answer"] < 0.1 for row in samples)


def test_as_many_as_the_spec_says_and_none_where_it_says_none(make: Make) -> None:
    watch = make(spec(alerting={"samples": 5}))
    break_b(watch, 0.0)
    assert len(alert_of(watch, "data_quality").evidence["samples"]) == 5


def test_no_samples_are_kept_nor_told_where_the_spec_says_none(make: Make) -> None:
    watch = make(spec(alerting={"samples": 0}))
    break_b(watch, 0.0)
    assert "samples" not in alert_of(watch, "data_quality").evidence
    champion = watch.monitor._champion
    assert champion is not None
    assert len(champion.drift._recent) == 0


def hashed(handover: dict[str, Any]) -> dict[str, Any]:
    """The hand-over of a replica that hashes b."""
    schema = served_schema(pa.struct([("a", pa.float64()), ("b", pa.string())]), ["b"])
    rows = [row | {"features": {"a": row["features"]["a"], "b": "5ec2e75ec2e75ec2"}} for row in _rows(handover)]
    return handover | {"records": pa.Table.from_pylist(rows, schema=schema)}


def _rows(handover: dict[str, Any]) -> list[dict[str, Any]]:
    return handover["records"].to_pylist()


def test_a_hashed_feature_is_never_in_a_sample(make: Make) -> None:
    watch = make(spec(serve={"latency_objective_ms": 100, "capture": {"fields": {"b": "hash"}}}))
    for step in range(3):
        watch.now_s += 10.0
        matrix = rows_of(60, seed=step)
        matrix[:, 1] = 0.0
        watch.monitor.receive(hashed(watch.handover(matrix)))
        watch.monitor.judge(watch.now_s)
    alert = alert_of(watch, "data_quality")
    assert [sorted(row) for row in alert.evidence["samples"]] == [["a", "answer", "request_id", "row", "time"]] * 3
    watch.told()
    (told,) = watch.sink.alerts
    assert isinstance(told, Alert)
    assert "5ec2e7" not in json.dumps(told.to_json())


def test_samples_show_no_value_from_before_the_spec_hid_its_feature(make: Make) -> None:
    watch = make(spec())
    watch.spec = spec(serve={"latency_objective_ms": 100, "capture": {"fields": {"b": "drop"}}})
    watch.monitor = watch.new_monitor()
    break_b(watch, 0.0)
    assert all("b" not in row for row in alert_of(watch, "data_quality").evidence["samples"])


def test_after_a_restart_samples_come_from_the_records(make: Make) -> None:
    watch = make(spec())
    watch.monitor = watch.new_monitor()
    champion = watch.monitor._champion
    assert champion is not None
    assert len(champion.drift._recent) == 500


def test_the_buffer_stays_small_however_much_is_served(make: Make) -> None:
    watch = make(spec())
    champion = watch.monitor._champion
    assert champion is not None
    for step in range(6):
        watch.monitor.receive(watch.handover(rows_of(3000, seed=step)))
        assert len(champion.drift._recent) == 500
