import json

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_ray.errors import SchemaError
from mlops_ray.model import InputColumn, Signature, signature_of
from mlops_ray.spec import ModelSpec
from tests.model.conftest import SIGNATURE

SPEC = ModelSpec.model_validate(
    {
        "name": "churn",
        "data": {
            "source": "/raw",
            "label": "churned",
            "unit": "customer",
            "features": {
                "tenure": "int",
                "plan": "category",
                "contract": {"type": "category", "categories": ["two year", "monthly"], "max_null_share": 0.1},
            },
        },
    }
)
TABLE = pa.table({"tenure": [1, 2, 3, 4], "plan": ["pro", None, "basic", "pro"]})

columns = st.builds(
    InputColumn,
    name=st.text(min_size=1, max_size=8),
    type=st.sampled_from(["float", "int", "bool", "category"]),
    nullable=st.booleans(),
    categories=st.lists(st.text(max_size=4), max_size=4, unique=True).map(tuple),
)
signatures = st.builds(
    Signature,
    inputs=st.lists(columns, max_size=4).map(tuple),
    task=st.sampled_from(["binary", "regression"]),
    unit=st.none() | st.text(max_size=4),
)


@given(signatures)
def test_a_signature_survives_a_trip_through_json_text(signature: Signature) -> None:
    assert Signature.from_json(json.loads(json.dumps(signature.to_json()))) == signature


def test_categories_come_from_the_spec_in_its_order() -> None:
    assert signature_of(SPEC, TABLE).inputs[2] == InputColumn("contract", "category", True, ("two year", "monthly"))


def test_categories_the_spec_leaves_out_are_the_sorted_values_of_the_training_data() -> None:
    assert signature_of(SPEC, TABLE).inputs[1] == InputColumn("plan", "category", False, ("basic", "pro"))


def test_a_missing_column_is_named_when_its_categories_are_needed() -> None:
    with pytest.raises(SchemaError, match="'plan' is needed for its categories; found tenure"):
        signature_of(SPEC, TABLE.select(["tenure"]))


def test_the_signature_keeps_task_unit_and_the_order_of_the_features() -> None:
    signature = signature_of(SPEC, TABLE)
    assert (signature.task, signature.unit, signature.names) == ("binary", "customer", ("tenure", "plan", "contract"))


def test_places_of_categories_are_their_columns_in_the_matrix() -> None:
    assert SIGNATURE.categorical == (3,)


def test_a_bool_is_profiled_as_a_category_of_two() -> None:
    kinds = {column.name: (column.kind, column.categories) for column in SIGNATURE.columns()}
    assert kinds["paperless"] == ("categorical", ("false", "true"))
    assert kinds["tenure"] == ("numeric", ())
    assert kinds["contract"] == ("categorical", ("monthly", "one year", "two year"))


def test_the_code_of_a_category_is_its_place() -> None:
    assert SIGNATURE.inputs[3].codes == {"monthly": 0, "one year": 1, "two year": 2}
