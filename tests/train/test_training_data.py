from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from mlops_ray.errors import SchemaError, ValidationError
from mlops_ray.train.training_data import TrainingData, prepare
from tests.train.conftest import churn_table, encoded, spec_of

TABLE = churn_table()


def with_column(name: str, values: Any, table: pa.Table = TABLE) -> pa.Table:
    return table.set_column(table.column_names.index(name), name, values)


def as_rows(matrix: np.ndarray[Any, np.dtype[np.float64]]) -> set[bytes]:
    return {row.tobytes() for row in matrix}


def test_every_row_with_a_label_is_in_exactly_one_part(prepared: TrainingData) -> None:
    parts = (prepared.train, prepared.valid, prepared.holdout)
    assert sum(len(part.y) for part in parts) == 600 - 15
    assert prepared.unlabelled == 15
    assert all(len(part.x) == len(part.y) > 0 for part in parts)


def test_fractions_are_about_what_was_asked_for(prepared: TrainingData) -> None:
    assert 0.15 < len(prepared.holdout.y) / 585 < 0.25
    assert 0.15 < len(prepared.valid.y) / (585 - len(prepared.holdout.y)) < 0.25


def test_the_holdout_stays_the_same_when_other_rows_come(prepared: TrainingData) -> None:
    half = prepare(spec_of(), TABLE.slice(0, 300))
    assert as_rows(half.holdout.x) <= as_rows(prepared.holdout.x)


def test_rows_for_the_probe_are_training_rows_as_they_were_read(prepared: TrainingData) -> None:
    probe = encoded(prepared, prepared.probe_rows)
    assert as_rows(probe) == as_rows(prepared.train.x)
    assert set(prepared.probe_rows.column_names) == set(TABLE.column_names)


def test_of_many_training_rows_the_probe_has_a_thousand_from_all_over_them() -> None:
    data = prepare(spec_of(train={"holdout": {"by": "time"}}), pa.concat_tables([TABLE] * 5))
    assert data.probe_rows.num_rows == 1000
    assert data.probe_rows["at"][0] == TABLE["at"][1]  # the first row has no label
    assert data.probe_rows["at"][-1].as_py() > TABLE["at"][300].as_py()


def test_by_unit_no_unit_is_on_two_sides() -> None:
    data = prepare(spec_of(train={"holdout": {"by": "unit"}}), TABLE)
    held = set(data.holdout_rows["customer"].to_pylist())
    assert data.holdout_rows.num_rows == sum(
        1
        for c, y in zip(TABLE["customer"].to_pylist(), TABLE["churned"].to_pylist(), strict=True)
        if c in held and y is not None
    )


def test_by_time_the_newest_rows_are_held_out_and_validated_on() -> None:
    data = prepare(spec_of(train={"holdout": {"by": "time", "fraction": 0.25}}), TABLE)
    labelled = TABLE.filter(TABLE["churned"].is_valid())
    newest = labelled.slice(labelled.num_rows - len(data.holdout.y))
    assert data.holdout_rows["at"].to_pylist() == newest["at"].to_pylist()
    np.testing.assert_array_equal(data.train.x, encoded(data, labelled.slice(0, len(data.train.y))))


def test_rows_for_the_reference_are_oldest_first() -> None:
    shuffled = TABLE.take(pa.array(np.random.default_rng(0).permutation(600)))
    spec = spec_of(train={"holdout": {"by": "time"}})
    np.testing.assert_array_equal(prepare(spec, shuffled).in_time, prepare(spec, TABLE).in_time)


def test_without_a_timestamp_the_reference_keeps_the_order_of_the_table() -> None:
    data = prepare(spec_of(data={"timestamp": None}), TABLE)
    assert len(data.in_time) == len(data.train.y) + len(data.valid.y)


@pytest.mark.parametrize("kind", [pa.int64(), pa.float64(), pa.bool_()])
def test_a_label_may_be_a_number_or_a_bool(kind: pa.DataType, prepared: TrainingData) -> None:
    data = prepare(spec_of(), with_column("churned", TABLE["churned"].cast(kind)))
    np.testing.assert_array_equal(data.train.y, prepared.train.y)


def test_a_label_of_text_is_refused() -> None:
    with pytest.raises(SchemaError, match="label 'churned': expected numbers or bool, found string"):
        prepare(spec_of(), with_column("churned", TABLE["churned"].cast(pa.string())))


def test_a_label_of_one_class_is_refused() -> None:
    with pytest.raises(ValidationError, match="expected both classes, found only 1"):
        prepare(spec_of(), with_column("churned", pa.array([1] * 600)))


def test_a_label_of_more_than_two_classes_is_refused_for_a_binary_task() -> None:
    with pytest.raises(ValidationError, match="expected 0 and 1 for a binary task, found 0, 1, 2"):
        prepare(spec_of(), with_column("churned", pa.array([0, 1, 2] * 200)))


def test_a_regression_takes_any_numbers() -> None:
    train = {"task": "regression", "metric": "rmse"}
    data = prepare(spec_of(train=train), with_column("churned", pa.array(np.arange(600) / 7)))
    assert data.train.y.max() > 50


def test_a_feature_of_nulls_only_is_named() -> None:
    with pytest.raises(ValidationError, match="feature 'charges': expected values, found null in all 585 rows"):
        prepare(spec_of(), with_column("charges", pa.nulls(600, pa.float64())))


def test_data_without_a_label_is_refused() -> None:
    with pytest.raises(ValidationError, match=r"tests.churn: expected rows with a label, found none"):
        prepare(spec_of(), with_column("churned", pa.nulls(600, pa.int64())))


def test_a_missing_column_is_named() -> None:
    with pytest.raises(SchemaError, match="column 'plan' is missing; found customer"):
        prepare(spec_of(), TABLE.drop_columns(["plan"]))


def test_a_part_with_one_class_is_refused_before_any_trial() -> None:
    few = with_column("churned", pa.array([1, *[0] * 599]))
    with pytest.raises(ValidationError, match=r"the \w+ part has \d+ rows of one class only"):
        prepare(spec_of(), few)


@pytest.mark.parametrize(("by", "found"), [("row", False), ("unit", True)])
def test_the_overlap_of_holdout_and_training_is_measured(by: str, found: bool) -> None:
    twice = with_column("customer", [[f"other {i}" for i in range(600)]])
    data = prepare(spec_of(train={"holdout": {"by": by}}), pa.concat_tables([TABLE, twice]))
    assert (data.holdout_overlap > 0.5) == found


def test_a_holdout_that_is_in_training_is_refused_where_the_spec_says_so() -> None:
    table = pa.concat_tables([TABLE, with_column("customer", [[f"other {i}" for i in range(600)]])])
    spec = spec_of(train={"holdout": {"by": "unit"}})
    for severity in ("warn", "block"):
        checks = spec.data.checks.model_copy(
            update={"max_holdout_overlap": 0.1, "severity": {"max_holdout_overlap": severity}}
        )
        strict = spec.model_copy(update={"data": spec.data.model_copy(update={"checks": checks})})
        if severity == "warn":
            assert prepare(strict, table).holdout_overlap > 0.1
        else:
            with pytest.raises(ValidationError, match=r"at most 10\.00% of the holdout's rows .*max_holdout_overlap"):
                prepare(strict, table)
