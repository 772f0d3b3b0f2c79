"""Metrics of one's own: safe to parse, and worth what they say."""

import numpy as np
import pytest
import yaml

from mlops_ray.errors import SpecError, ValidationError
from mlops_ray.evaluation import business_value, evaluate_expression
from mlops_ray.spec import BusinessMetric, parse_expression, parse_spec

ROWS = {
    "label": np.array([1.0, 0.0, 1.0, 0.0]),
    "prediction": np.array([0.9, 0.8, 0.2, 0.1]),
    "amount": np.array([10.0, 20.0, 30.0, 40.0]),
    "plan": np.array(["basic", "pro", "pro", "basic"]),
}


def value(expression: str) -> float:
    found = business_value(BusinessMetric(name="money", expression=expression), ROWS, seed=0)
    assert found is not None
    assert found.low <= found.value <= found.high
    return found.value


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("10 * tp - 5 * fp", 5.0),
        ("(tp + tn) / n", 0.5),
        ("where(label == 1, amount, 0)", 10.0),
        ("where(prediction >= 0.5 and plan == 'pro', amount, -amount)", (-10 + 20 - 30 - 40) / 4),
        ("min(amount, 25) * (0.5 < prediction <= 0.85)", 5.0),
        ("abs(label - prediction)", 0.45),
        ("not label", 0.5),
    ],
)
def test_an_expression_has_its_value(expression: str, expected: float) -> None:
    assert value(expression) == pytest.approx(expected)


@pytest.mark.parametrize(
    "text",
    [
        "__import__('os').system('true')",
        "tp.__class__",
        "[x for x in (1,)]",
        "lambda: 1",
        "tp ** 99",
        "where(tp, 1)",
        "tp[0]",
        "f'{tp}'",
        "(tp := 1)",
        "tp if fp else tn",
        "max(*tp)",
        "b'x'",
        "tp +",
        "",
        "eval('1')",
        "abs",
    ],
)
def test_nothing_else_is_parsed(text: str) -> None:
    with pytest.raises(ValueError, match=r"column|expected"):
        parse_expression(text, names=("tp", "fp", "tn"))


def test_what_is_undefined_has_no_value() -> None:
    assert business_value(BusinessMetric(name="m", expression="1 / (tp - tp)"), ROWS, seed=0) is None
    assert business_value(BusinessMetric(name="m", expression="amount / 0"), ROWS, seed=0) is None


def test_a_feature_that_is_not_in_the_records_is_named() -> None:
    with pytest.raises(ValidationError, match="unknown name 'age'"):
        business_value(BusinessMetric(name="m", expression="label * age"), ROWS, seed=0)


def test_the_interval_of_counts_narrows_with_rows() -> None:
    many = {name: np.tile(values, 100) for name, values in ROWS.items()}
    metric = BusinessMetric(name="m", expression="(10 * tp - 5 * fp) / n")
    few, more = business_value(metric, ROWS, seed=0), business_value(metric, many, seed=0)
    assert few is not None
    assert more is not None
    assert more.high - more.low < (few.high - few.low) / 5


def test_numbers_work_as_arrays_do() -> None:
    assert float(evaluate_expression("-tp + 2", {"tp": 1.0})) == 1.0


def spec(expression: str, task: str = "binary") -> str:
    return yaml.safe_dump(
        {
            "name": "toy",
            "data": {"source": "/x", "label": "y", "features": {"amount": "float"}},
            "train": {"task": task, "metric": "accuracy" if task == "binary" else "rmse"},
            "monitor": {"labels": {"business": [{"name": "money", "expression": expression}]}},
        }
    )


def test_a_spec_names_the_field_and_the_place_of_what_it_does_not_know() -> None:
    with pytest.raises(SpecError, match=r"monitor.labels.business\[0\].expression: column 9: unknown name 'cost'"):
        parse_spec(spec("label * cost"))
    with pytest.raises(SpecError, match=r"business.*column 13: expected an expression"):
        parse_spec(spec("label + (2 *) 3"))
    with pytest.raises(SpecError, match="are for task 'binary'"):
        parse_spec(spec("tp + fp", "regression"))
    assert parse_spec(spec("label * amount")).monitor.labels.business[0].name == "money"
