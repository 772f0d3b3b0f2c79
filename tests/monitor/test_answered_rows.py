"""The join in steps gives what a join in one go gives, and reads each file when it is new."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlops_ray.lake import Lake
from mlops_ray.monitor.answered_rows import FEATURE, AnsweredRows
from mlops_ray.monitor.reference import Watched
from mlops_ray.records import RecordLog
from tests.monitor.samples import SIGNATURE, labels, reference, served

NOW_S = 1_700_000_000.0


@pytest.fixture
def log(tmp_path: Path) -> RecordLog:
    return RecordLog(Lake(str(tmp_path)), "toy")


def serve(log: RecordLog, name: str, requests: Sequence[int], *, time_s: float = NOW_S, version: int = 1) -> None:
    """A file of requests; their scores and features say who they are."""
    rows = [
        {
            "request_id": f"r{i}",
            "time_s": time_s + i,
            "version": version,
            "score": i / 100,
            "features": {"a": float(i), "b": -float(i)},
        }
        for i in requests
    ]
    log.append_served(name, served(*rows), time_s)


def label(log: RecordLog, name: str, *rows: tuple[int, float, float]) -> None:
    """Outcomes (request, label, received after)."""
    log.append_labels(name, labels(*[(f"r{i}", 0, value, NOW_S + s) for i, value, s in rows]), NOW_S)


def joined(answered: AnsweredRows, since_s: float = NOW_S) -> list[tuple[str, float]]:
    rows = answered.rows(since_s)
    return list(zip(rows["request_id"].to_pylist(), rows["label"].to_pylist(), strict=True))


def test_labels_that_come_before_the_records_of_their_answers_wait_for_them(log: RecordLog) -> None:
    answered = AnsweredRows(log, 1, "binary")
    label(log, "early", (1, 1.0, 5.0))
    answered.look(NOW_S)
    assert (joined(answered), answered.waiting()) == ([], 1)
    serve(log, "batch", [0, 1])
    answered.look(NOW_S)
    assert (joined(answered), answered.waiting()) == ([("r1", 1.0)], 0)


def test_a_correction_counts_whenever_it_comes(log: RecordLog) -> None:
    answered = AnsweredRows(log, 1, "binary")
    serve(log, "batch", [0, 1])
    label(log, "first", (0, 0.0, 5.0), (1, 0.0, 5.0))
    answered.look(NOW_S)
    label(log, "second", (0, 1.0, 6.0))
    answered.look(NOW_S)
    assert joined(answered) == [("r0", 1.0), ("r1", 0.0)]
    label(log, "late copy of an old one", (0, 0.0, 5.5))
    answered.look(NOW_S)
    assert joined(answered) == [("r0", 1.0), ("r1", 0.0)]


def test_a_file_is_read_once_and_again_only_for_its_labels(log: RecordLog) -> None:
    calls: list[tuple[str, Any]] = []

    def run(function: Callable[..., Any], *arguments: Any) -> Any:
        calls.append((function.__name__, sorted(arguments[-1] if isinstance(arguments[-1], dict) else arguments[1])))
        return function(*arguments)

    answered = AnsweredRows(log, 1, "binary", run=run)
    for i in range(3):
        serve(log, f"batch-{i}", [i])
    answered.look(NOW_S)
    answered.look(NOW_S)
    label(log, "one", (1, 1.0, 5.0))
    answered.look(NOW_S)
    answered.look(NOW_S)
    first, second = calls
    assert [Path(path).stem for path in first[1]] == ["batch-0", "batch-1", "batch-2"]
    assert [Path(path).stem for path in second[1]] == ["batch-1"]


def test_what_is_too_old_is_let_go(log: RecordLog) -> None:
    answered = AnsweredRows(log, 1, "binary")
    serve(log, "old", [0], time_s=NOW_S - 3 * 3600)
    serve(log, "new", [1])
    label(log, "both", (0, 1.0, 5.0), (1, 1.0, 5.0))
    answered.look(NOW_S - 4 * 3600)
    assert len(joined(answered, NOW_S - 4 * 3600)) == 2
    answered.look(NOW_S)
    assert joined(answered, 0.0) == [("r1", 1.0)]
    assert len(answered.answers(0.0)[0]) == 1


def test_features_come_encoded_beside_the_rows(log: RecordLog) -> None:
    answered = AnsweredRows(log, 1, "binary", Watched(1, SIGNATURE, reference(), {}))
    serve(log, "batch", [3, 4])
    label(log, "one", (4, 1.0, 5.0))
    answered.look(NOW_S)
    rows = answered.rows(NOW_S)
    assert (rows[f"{FEATURE}a"].to_pylist(), rows[f"{FEATURE}b"].to_pylist()) == ([4.0], [-4.0])


def test_scores_of_all_answers_are_there_oldest_first(log: RecordLog) -> None:
    answered = AnsweredRows(log, 1, "binary")
    serve(log, "later", [5])
    serve(log, "earlier", [2])
    serve(log, "other", [1], version=2)
    answered.look(NOW_S)
    times, scores = answered.answers(NOW_S)
    assert (times - NOW_S).tolist() == [2.0, 5.0]
    assert scores.tolist() == [0.02, 0.05]


steps = st.lists(
    st.one_of(
        st.tuples(st.just("serve"), st.integers(0, 5)),
        st.tuples(st.just("label"), st.lists(st.tuples(st.integers(0, 29), st.integers(0, 1)), max_size=8)),
        st.tuples(st.just("look"), st.none()),
    ),
    max_size=15,
)


@given(steps)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_in_whatever_order_things_come_a_new_reader_sees_the_same(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, Any]]
) -> None:
    log = RecordLog(Lake(str(tmp_path_factory.mktemp("lake"))), "toy")
    answered = AnsweredRows(log, 1, "binary")
    for number, (kind, what) in enumerate(steps):
        if kind == "serve":
            serve(log, f"batch-{what}", range(5 * what, 5 * what + 5))
        elif kind == "label" and what:
            label(log, f"labels-{number}", *[(i, float(value), number) for i, value in dict(what).items()])
        else:
            answered.look(NOW_S)
    answered.look(NOW_S)
    fresh = AnsweredRows(log, 1, "binary")
    fresh.look(NOW_S)
    assert answered.rows(NOW_S).equals(fresh.rows(NOW_S))
    assert answered.waiting() == fresh.waiting()
    assert len(np.unique(answered.rows(NOW_S)["request_id"])) == answered.rows(NOW_S).num_rows
