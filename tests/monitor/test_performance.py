from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from mlops_ray.evaluation import drop_of
from mlops_ray.lake import Lake
from mlops_ray.monitor.answered_rows import AnsweredRows
from mlops_ray.monitor.performance import Performance, performance_of
from mlops_ray.records import RecordLog, newest_labels
from mlops_ray.spec import Task
from tests.monitor.samples import labels, on, served

NOW_S = 1_700_000_000.0


@pytest.fixture
def log(tmp_path: Path) -> RecordLog:
    """Four requests of version 1 answered, and one of version 2."""
    log = RecordLog(Lake(str(tmp_path)), "toy")
    rows = [
        {"time_s": NOW_S, "score": score, "version": version}
        for score, version in ((0.9, 1), (0.8, 1), (0.2, 1), (0.1, 1), (0.5, 2))
    ]
    log.append_served("batch", served(*rows), NOW_S)
    return log


def performance_since(log: RecordLog, *, version: int, task: Task, since_s: float) -> Performance:
    """Of the rows that the version answered for users at or after `since_s`."""
    answered = AnsweredRows(log, version, task)
    answered.look(since_s)
    answers, _ = answered.answers(since_s)
    return performance_of(answered.rows(since_s), version=version, task=task, answers=len(answers), level=0.95)


def performance(log: RecordLog, *outcomes: tuple[str, int, float, float], since_s: float = NOW_S) -> Performance:
    if outcomes:
        log.append_labels("labels", labels(*outcomes), NOW_S)
    return performance_since(log, version=1, task="binary", since_s=since_s)


def test_without_outcomes_there_is_nothing_to_say(log: RecordLog) -> None:
    assert performance(log) == Performance(version=1, rows=0, coverage=0.0, metrics={})


def test_outcomes_are_joined_by_request_and_row(log: RecordLog) -> None:
    found = performance(log, ("r0", 0, 1, NOW_S + 5), ("r1", 0, 0, NOW_S + 5), ("r2", 1, 1, NOW_S + 5))
    assert (found.rows, found.coverage) == (2, 0.5)
    assert found.metrics["auc"] == 1.0


def test_outcomes_of_other_versions_do_not_count(log: RecordLog) -> None:
    assert performance(log, ("r4", 0, 1, NOW_S + 5)).rows == 0


def test_late_outcomes_count_for_the_time_of_the_prediction(log: RecordLog) -> None:
    assert performance(log, ("r0", 0, 1, NOW_S + 9000)).rows == 1
    assert performance_since(log, version=1, task="binary", since_s=NOW_S + 1).rows == 0


def test_a_corrected_outcome_replaces_the_one_before(log: RecordLog) -> None:
    log.append_labels("first", labels(("r0", 0, 0, NOW_S + 5), ("r3", 0, 0, NOW_S + 5)), NOW_S)
    log.append_labels("second", labels(("r0", 0, 1, NOW_S + 6)), NOW_S)
    found = performance(log)
    assert (found.rows, found.metrics["accuracy"]) == (2, 1.0)


def test_an_outcome_sent_twice_at_once_counts_once_and_the_last_wins(log: RecordLog) -> None:
    found = performance(log, ("r0", 0, 0, NOW_S), ("r0", 0, 1, NOW_S), ("r3", 0, 0, NOW_S))
    assert (found.rows, found.metrics["accuracy"]) == (2, 1.0)


def test_outcomes_of_one_class_allow_no_ranking(log: RecordLog) -> None:
    found = performance(log, ("r0", 0, 1, NOW_S), ("r1", 0, 1, NOW_S))
    assert found.rows == 2
    assert "auc" not in found.metrics
    assert found.metrics["accuracy"] == 1.0


def test_a_request_that_was_not_answered_has_no_performance(tmp_path: Path) -> None:
    log = RecordLog(Lake(str(tmp_path)), "toy")
    log.append_served("batch", served({"time_s": NOW_S, "score": None, "status": 500}), NOW_S)
    assert performance(log, ("r0", 0, 1, NOW_S)).rows == 0


def test_neither_copies_nor_requests_by_version_count(tmp_path: Path) -> None:
    log = RecordLog(Lake(str(tmp_path)), "toy")
    rows = [on(side, version=1, time_s=NOW_S) for side in ("champion", "shadow", "direct", "canary")]
    log.append_served("batch", served(*rows, {"assigned": "canary", "time_s": NOW_S}), NOW_S)
    found = performance(log, *[(f"r{i}", 0, float(i % 2), NOW_S) for i in range(5)])
    assert (found.rows, found.coverage) == (3, 1.0)


def test_newest_labels_keep_their_columns() -> None:
    table = labels(("a", 0, 1, 5.0), ("b", 0, 1, 5.0), ("a", 0, 0, 6.0))
    found = newest_labels(table)
    assert found.schema == table.schema
    assert found.sort_by("request_id").to_pydict()["label"] == [0.0, 1.0]
    assert newest_labels(table.schema.empty_table()) == pa.table(table.schema.empty_table())


@pytest.mark.parametrize(("metric", "sign"), [("auc", 1), ("log_loss", -1), ("brier", -1), ("f1", 1)])
def test_a_drop_is_positive_when_the_metric_gets_worse_whatever_its_direction(metric: str, sign: int) -> None:
    assert drop_of(metric, "binary", known=0.5, now=0.25) == sign * 0.25  # type: ignore[arg-type]


def test_of_several_classes_the_probabilities_count(tmp_path: Path) -> None:
    log = RecordLog(Lake(str(tmp_path)), "toy")
    scores = [[0.8, 0.1, 0.1], [0.2, 0.5, 0.3], [0.25, 0.25, 0.5], None]
    rows = [
        {"time_s": NOW_S, "score": None if s is None else float(np.argmax(s)), "scores": s, "version": 1}
        for s in scores
    ]
    log.append_served("batch", served(*rows), NOW_S)
    old = served({"request_id": "old", "time_s": NOW_S, "version": 1, "score": 1.0}).drop_columns(
        ["scores", "confidence"]
    )
    log.append_served("old", old, NOW_S)
    outcomes = [("r0", 0, 0, NOW_S), ("r1", 0, 2, NOW_S), ("r2", 0, 2, NOW_S), ("old", 0, 1, NOW_S)]
    log.append_labels("labels", labels(*outcomes), NOW_S)
    found = performance_since(log, version=1, task="multiclass", since_s=NOW_S)
    assert (found.rows, found.coverage) == (4, 1.0)
    assert found.metrics["accuracy"] == pytest.approx(2 / 3)
    assert found.metrics["log_loss"] == pytest.approx(-np.log([0.8, 0.3, 0.5]).mean(), abs=1e-6)


def test_without_labels_of_classes_there_is_nothing_to_say(tmp_path: Path) -> None:
    log = RecordLog(Lake(str(tmp_path)), "toy")
    assert performance_since(log, version=1, task="multiclass", since_s=NOW_S).rows == 0
