"""The rules of the spec, held against requests."""

import json
from typing import Any

import numpy as np
import pytest

from mlops_ray.errors import RequestError
from mlops_ray.model import InputColumn, Signature
from mlops_ray.serve.loaded import Decoders
from mlops_ray.serve.request import Rows
from mlops_ray.spec import Serve, Validate

SIGNATURE = Signature(
    (
        InputColumn("age", "float", True, min=0, max=120),
        InputColumn("visits", "int", False, max=9.5, soft=("max",)),
        InputColumn("plan", "category", False, ("free", "pro"), closed=True),
        InputColumn("zip", "category", True, ("12",), regex="^[0-9]+$"),
        InputColumn("city", "category", True, ("Rome",)),
    ),
    "binary",
)
GOOD = {"age": 20.0, "visits": 3, "plan": "free", "zip": "12", "city": "Oslo"}


def asked(mode: Validate, *records: dict[str, Any]) -> Rows:
    decoders = Decoders.of(SIGNATURE, Serve(validation=mode))
    return decoders.rows.decode(json.dumps({"records": [GOOD | record for record in records]}).encode())


@pytest.mark.parametrize("mode", ["off", "warn", "reject"])
def test_a_request_that_keeps_the_rules_is_read_without_a_word(mode: Validate) -> None:
    rows = asked(mode, {}, {"age": None, "zip": None}, {"visits": 3.0, "age": 120})
    assert rows.warnings == ()
    assert rows.matrix[:, :3].tolist()[0] == [20.0, 3.0, 0.0]
    assert rows.matrix.shape == (3, 5)


BROKEN = [
    ({"age": -1}, "age: expected at least 0, found -1"),
    ({"age": 121.5}, "age: expected at most 120, found 121.5"),
    ({"plan": "gold"}, "plan: expected one of free, pro, found 'gold'"),
    ({"zip": "12a"}, "zip: expected a text that matches ^[0-9]+$, found '12a'"),
    ({"zip": "\u0661"}, "zip: expected a text that matches ^[0-9]+$, found '\u0661'"),
]


@pytest.mark.parametrize(("record", "message"), BROKEN)
def test_a_value_that_breaks_a_rule_is_answered_and_told(record: dict[str, Any], message: str) -> None:
    rows = asked("warn", {}, record)
    assert rows.warnings == (f"row 1: {message}",)
    assert np.array_equal(rows.matrix, asked("off", {}, record).matrix, equal_nan=True)
    assert asked("off", record).warnings == ()


@pytest.mark.parametrize(("record", "message"), BROKEN)
def test_or_it_is_refused_with_the_path_of_the_field(record: dict[str, Any], message: str) -> None:
    with pytest.raises(RequestError) as error:
        asked("reject", {}, record)
    name, _, what = message.partition(": ")
    assert (error.value.status, error.value.path, error.value.message) == (422, f"$.records[1].{name}", what)


def test_a_rule_of_severity_warn_refuses_nothing() -> None:
    assert asked("reject", {"visits": 10}).warnings == ("row 0: visits: expected at most 9.5, found 10",)


def test_of_many_warnings_the_first_are_told() -> None:
    warnings = asked("warn", *[{"age": -1}] * 15).warnings
    assert (len(warnings), warnings[-1]) == (11, "and 5 more")


@pytest.mark.parametrize("mode", ["off", "warn", "reject"])
def test_what_is_no_request_is_refused_as_without_rules(mode: Validate) -> None:
    for record in ({"age": "x"}, {"plan": None}, {"other": 1}):
        with pytest.raises(RequestError) as error:
            asked(mode, record)
        assert error.value.status == 422


def test_tensors_and_streams_are_held_against_bounds_and_categories() -> None:
    matrix = np.array([[20.0, 3, 0, 0, 0], [np.nan, 3, 2, 1, 1], [200.0, 3, 0, 0, 0]])
    rows = Rows(matrix, None, None)
    assert Decoders.of(SIGNATURE, Serve(validation="warn")).checked(rows).warnings == (
        "row 1: plan: expected one of free, pro, found another text",
        "row 2: age: expected at most 120, found 200",
    )
    assert Decoders.of(SIGNATURE, Serve(validation="off")).checked(rows) is rows
    with pytest.raises(RequestError, match=r"expected one of free, pro, found another text \(at plan\)"):
        Decoders.of(SIGNATURE, Serve(validation="reject")).checked(rows)


def test_a_version_whose_rules_do_not_decide_takes_what_breaks_them() -> None:
    decoders = Decoders.of(SIGNATURE, Serve(validation="reject"), ruled=False)
    rows = decoders.rows.decode(json.dumps({"records": [GOOD | {"age": -1}]}).encode())
    assert (rows.matrix[0, 0], rows.warnings, decoders.checked(rows)) == (-1, (), rows)


def test_a_bundle_that_knows_no_rules_has_none() -> None:
    old = {"name": "age", "type": "float", "nullable": True, "categories": []}
    signature = Signature.from_json({"inputs": [old], "task": "binary", "unit": None})
    assert not signature.inputs[0].has_rules
    again = Signature.from_json(json.loads(json.dumps(SIGNATURE.to_json())))
    assert again.to_json() == SIGNATURE.to_json()
