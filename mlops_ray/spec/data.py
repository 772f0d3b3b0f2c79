"""The `data` section: where rows come from, what they mean, and which of them are fit to use."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from mlops_ray.spec.section import Section
from mlops_ray.spec.source import Csv, Events, FileFormat, Sql, is_sql, literal_secret

__all__ = ["Checks", "Data", "Feature", "FeatureType"]

FeatureType = Literal["float", "int", "bool", "category"]


class Feature(Section):
    """One input column of the model. `tenure: int` in YAML is short for `tenure: {type: int}`."""

    type: FeatureType = Field(description="float, int, bool or category (a string)")
    min: float | None = Field(None, description="smallest value allowed; rows below it are quarantined")
    max: float | None = Field(None, description="largest value allowed; rows above it are quarantined")
    categories: tuple[str, ...] | None = Field(
        None, description="values allowed; without it, the values of the training data become the vocabulary"
    )
    max_null_share: float = Field(
        0.0, ge=0, le=1, description="share of nulls a batch may have; above 0 the model also takes null at serving"
    )

    @model_validator(mode="after")
    def _bounds_fit_the_type(self) -> Self:
        if self.type in ("bool", "category") and (self.min is not None or self.max is not None):
            raise ValueError(f"min and max are for float and int features, not for type {self.type}")
        if self.categories is not None and self.type != "category":
            raise ValueError(f"categories are for features of type category, not {self.type}")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"min ({self.min:g}) must not be above max ({self.max:g})")
        return self

    @property
    def nullable(self) -> bool:
        """Whether a request may leave this feature out."""
        return self.max_null_share > 0


def _short_form(value: Any) -> Any:
    return {"type": value} if isinstance(value, str) else value


class Checks(Section):
    """Checks on a whole batch; breaking one refuses the batch and leaves the table as it was."""

    min_rows: int = Field(1, ge=1, description="good rows a batch must have")
    max_quarantined_share: float = Field(0.1, ge=0, le=1, description="share of bad rows above which all is refused")
    unique: tuple[str, ...] = Field((), description="columns that together name a row only once in a batch")


class Data(Section):
    """Where the rows come from and what each column means."""

    source: str = Field(
        min_length=1,
        description="folder or s3://bucket/prefix with Parquet, CSV or JSON lines files; with `sql`, a SQLAlchemy URL",
    )
    format: Literal["auto"] | FileFormat = Field("auto", description="only files of this format; auto: all, by suffix")
    csv: Csv = Csv()
    sql: Sql | None = Field(None, description="which rows, where `source` is a SQL database")
    events: Events | None = Field(None, description="what wakes `mlops-ray watch` up, besides the clock")
    table: str | None = Field(
        None, pattern=r"^[a-z][a-z0-9_]*\.[a-z][a-z0-9_]*$", description="Iceberg table; mlops.<name> by default"
    )
    label: str = Field(min_length=1, description="column to predict; null means not known yet")
    unit: str | None = Field(None, description="column that says whom a row is about; keeps a user on one version")
    timestamp: str | None = Field(None, description="column with the time of a row")
    features: Mapping[
        str, Annotated[Feature, BeforeValidator(_short_form, json_schema_input_type=FeatureType | Feature)]
    ] = Field(min_length=1)
    checks: Checks = Checks()

    @model_validator(mode="after")
    def _columns_have_one_role(self) -> Self:
        for name in self.features:
            if not name or any(c in '"\\' or not c.isprintable() for c in name):
                raise ValueError(f"feature name {name!r} must be printable, without quotes and backslashes")
        for role, column in (("label", self.label), ("unit", self.unit), ("timestamp", self.timestamp)):
            if column is not None and column in self.features:
                raise ValueError(f"column {column!r} is the {role} and cannot also be a feature")
        return self

    @model_validator(mode="after")
    def _sql_goes_with_its_source(self) -> Self:
        if is_sql(self.source) != (self.sql is not None):
            raise ValueError(
                "sql goes with a source that is a SQLAlchemy URL, and such a source with sql: {table: …} or "
                "sql: {query: …}; files are in a folder, file:///folder or s3://bucket/prefix"
            )
        if is_sql(self.source) and literal_secret(self.source):
            raise ValueError(
                "source must not hold a password: a spec is stored and shown; write ${NAME} in its place, and set "
                "that variable where the ingest runs"
            )
        return self

    @property
    def columns(self) -> tuple[str, ...]:
        """Every column a row of the table has, in the order of the spec."""
        named = (self.unit, self.timestamp, *self.features, self.label)
        return tuple(c for c in named if c is not None)
