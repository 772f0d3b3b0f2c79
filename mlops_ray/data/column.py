"""The columns of a dataset's table, as the spec asks for them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import pyarrow as pa
from pyiceberg.schema import Schema
from pyiceberg.types import (
    BinaryType,
    BooleanType,
    DoubleType,
    IcebergType,
    LongType,
    NestedField,
    StringType,
    TimestamptzType,
)

from mlops_ray.spec import FeatureRule, ModelSpec, Severity

__all__ = ["Column", "Kind", "arrow_schema", "columns_of", "iceberg_schema"]

# flag is a 0/1 label, text a unit, time a timestamp; the others are the spec's feature types
Kind = Literal["float", "int", "bool", "category", "image", "flag", "text", "time"]

_ARROW: dict[Kind, pa.DataType] = {
    "float": pa.float64(),
    "int": pa.int64(),
    "bool": pa.bool_(),
    "category": pa.string(),
    "image": pa.large_binary(),
    "flag": pa.int64(),
    "text": pa.string(),
    "time": pa.timestamp("us", tz="UTC"),
}
_ICEBERG: dict[Kind, IcebergType] = {
    "float": DoubleType(),
    "int": LongType(),
    "bool": BooleanType(),
    "category": StringType(),
    "image": BinaryType(),
    "flag": LongType(),
    "text": StringType(),
    "time": TimestamptzType(),
}


@dataclass(frozen=True)
class Column:
    """One column of the table, and what a value in it has to keep to."""

    name: str
    kind: Kind
    nullable: bool  # whether a row with null is good
    max_null_share: float = 1.0  # of a batch
    min: float | None = None
    max: float | None = None
    categories: tuple[str, ...] | None = None
    regex: str | None = None  # RE2; found somewhere in every value
    severity: Mapping[FeatureRule, Severity] = field(default_factory=dict)
    feature: bool = True

    def severity_of(self, rule: FeatureRule) -> Severity:
        """What happens when this rule is broken."""
        return self.severity.get(rule, "block" if rule == "null_share" else "quarantine")

    @property
    def arrow_type(self) -> pa.DataType:
        """Type of the column in the table."""
        return _ARROW[self.kind]


def columns_of(spec: ModelSpec) -> tuple[Column, ...]:
    """Unit, timestamp, features and label, in the order of the spec."""
    data = spec.data
    features = tuple(
        Column(
            name=name,
            kind=feature.type,
            nullable=feature.nullable,
            max_null_share=feature.max_null_share,
            min=feature.min,
            max=feature.max,
            categories=feature.categories,
            regex=feature.regex,
            severity=feature.severity,
        )
        for name, feature in data.features.items()
    )
    unit = (Column(data.unit, "text", nullable=False, feature=False),) if data.unit else ()
    time = (Column(data.timestamp, "time", nullable=False, feature=False),) if data.timestamp else ()
    return (*unit, *time, *features, _label(spec))


def _label(spec: ModelSpec) -> Column:
    if spec.data.classes is not None:  # by name: a number is taken for the name of a class
        return Column(spec.data.label, "text", nullable=True, categories=spec.data.classes, feature=False)
    return Column(spec.data.label, "flag" if spec.train.task == "binary" else "float", nullable=True, feature=False)


def arrow_schema(columns: tuple[Column, ...]) -> pa.Schema:
    """Schema of the rows that go into the table."""
    return pa.schema([pa.field(column.name, column.arrow_type) for column in columns])


def iceberg_schema(columns: tuple[Column, ...]) -> Schema:
    """Schema of a new table; every field is optional, because a rule may be loosened later."""
    return Schema(*(NestedField(i, c.name, _ICEBERG[c.kind], required=False) for i, c in enumerate(columns, start=1)))
