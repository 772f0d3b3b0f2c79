"""Columns of the table, from the spec."""

import pyarrow as pa

from mlops_ray.data.column import arrow_schema, columns_of, iceberg_schema
from mlops_ray.spec import parse_spec
from tests.data.batches import spec_of


def test_columns_are_unit_timestamp_features_and_label_in_order() -> None:
    columns = columns_of(spec_of("/raw"))
    assert [(c.name, c.kind, c.nullable) for c in columns] == [
        ("customer", "text", False),
        ("day", "time", False),
        ("age", "float", False),
        ("visits", "int", False),
        ("active", "bool", False),
        ("plan", "category", False),
        ("income", "float", True),
        ("churned", "flag", True),
    ]
    assert [c.name for c in columns] == list(spec_of("/raw").data.columns)
    assert [c.name for c in columns if not c.feature] == ["customer", "day", "churned"]


def test_a_spec_without_unit_and_timestamp_has_features_and_label_only() -> None:
    spec = parse_spec(
        "{name: m, data: {source: /x, label: y, features: {a: int}}, train: {task: regression, metric: rmse}}"
    )
    assert arrow_schema(columns_of(spec)) == pa.schema({"a": pa.int64(), "y": pa.float64()})


def test_arrow_and_iceberg_agree_on_every_column() -> None:
    columns = columns_of(spec_of("/raw"))
    types = [str(field.field_type) for field in iceberg_schema(columns).fields]
    assert types == ["string", "timestamptz", "double", "long", "boolean", "string", "double", "long"]
    assert iceberg_schema(columns).as_arrow().names == arrow_schema(columns).names
