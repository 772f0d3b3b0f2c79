from typing import Any

import pyarrow as pa
import pytest

from mlops_ray.evaluation import Slice
from mlops_ray.model import InputColumn, Signature
from mlops_ray.monitor.reference import Watched
from mlops_ray.monitor.wrong_rows import features_of, wrong_rows
from mlops_ray.spec import ModelSpec
from tests.monitor.samples import reference, toy_spec

PLAN = InputColumn("plan", "category", nullable=True, categories=("free", "paid"))
SIGNATURE = Signature((InputColumn("plan x", "float", nullable=True), PLAN), "binary")
WATCHED = Watched(1, SIGNATURE, reference(), {})


def labelled(*rows: tuple[float, float], **columns: list[Any]) -> pa.Table:
    """Answers and outcomes, a second after the other, as `AnsweredRows.rows` gives them."""
    known = {
        "request_id": [f"r{i}" for i in range(len(rows))],
        "row": [0] * len(rows),
        "time_s": [float(i) for i in range(len(rows))],
        "score": [score for score, _ in rows],
        "label": [label for _, label in rows],
        "received_s": [0.0] * len(rows),
    }
    return pa.table(known | {f"feature:{name}": values for name, values in columns.items()})


def ids(spec: ModelSpec, rows: pa.Table) -> list[str]:
    return [row["request_id"] for row in wrong_rows(spec, WATCHED, rows, ())]


def test_the_newest_wrong_answers_come_first() -> None:
    assert ids(toy_spec(), labelled((0.9, 0), (0.9, 1), (0.1, 1), (0.2, 0), (0.6, 0), (0.4, 1))) == ["r5", "r4", "r2"]
    assert ids(toy_spec(), labelled()) == []


def test_of_several_classes_another_one_is_wrong() -> None:
    spec = toy_spec().model_copy(update={"train": toy_spec().train.model_copy(update={"task": "multiclass"})})
    classes = Watched(1, Signature((PLAN,), "multiclass", classes=("cat", "dog", "owl")), reference(), {})
    (row,) = wrong_rows(spec, classes, labelled((2.0, 2.0), (1.0, 2.0)), ())
    assert (row["answer"], row["label"]) == ("dog", "owl")


def test_of_a_regression_the_largest_errors_of_the_newest_answers_are_shown() -> None:
    spec = toy_spec().model_copy(update={"train": toy_spec().train.model_copy(update={"task": "regression"})})
    rows = labelled((900.0, 0.0), *[(float(i % 7), 0.0) for i in range(500)])
    shown = wrong_rows(spec, WATCHED, rows, ())
    assert [row["answer"] for row in shown] == [6.0] * 3, "the first one is not among the newest 500"


def test_features_are_as_people_sent_them() -> None:
    rows = labelled((0.9, 0), (0.9, 0), (0.9, 0), **{"plan": [0.0, 2.0, float("nan")], "plan x": [1.5, 2.5, 3.5]})
    shown = wrong_rows(toy_spec(), WATCHED, rows, ())
    assert [row["plan"] for row in shown] == [None, "<unseen>", "free"]
    assert [row["plan x"] for row in shown] == [3.5, 2.5, 1.5]


def test_a_record_without_features_is_not_said_to_miss_them_all() -> None:
    nan = float("nan")
    shown = wrong_rows(toy_spec(), WATCHED, labelled((0.9, 0), (0.9, 0), plan=[0.0, nan]), ())
    assert all("plan" not in row for row in shown)


@pytest.mark.parametrize(
    ("conditions", "expected"),
    [
        (("plan = paid",), ["plan"]),
        (("plan = a <= b",), ["plan"]),
        (("1 <= plan x < 3", "plan is missing"), ["plan x", "plan"]),
        (("plan x < 3", "plan x >= 1"), ["plan x"]),
        (("other = 1",), []),
    ],
)
def test_the_features_of_a_slice_are_those_of_its_conditions(conditions: tuple[str, ...], expected: list[str]) -> None:
    assert features_of(Slice(conditions, 10, 0.5, 0.4, 0.3), WATCHED) == expected


def test_features_of_the_worst_slices_come_first() -> None:
    rows = labelled((0.9, 0), **{"plan x": [1.0], "plan": [1.0]})
    (row,) = wrong_rows(toy_spec(), WATCHED, rows, (Slice(("plan = paid",), 10, 0.5, 0.4, 0.3),))
    assert list(row)[-2:] == ["plan", "plan x"]
