"""The `data` section: where rows come from, what they mean, and which of them are fit to use."""

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, field_validator, model_validator

from mlops_ray.spec.section import Section
from mlops_ray.spec.severity import (
    BATCH_RULES,
    FEATURE_RULES,
    BatchRule,
    FeatureRule,
    Severity,
    check_severities,
    for_rules,
)
from mlops_ray.spec.source import Csv, Events, FileFormat, Sql, is_sql, literal_secret

__all__ = ["Checks", "Data", "Distribution", "Feature", "FeatureType", "ForeignKey"]

FeatureType = Literal["float", "int", "bool", "category", "image"]
# What the engine that checks batches (RE2) does not have.
_NOT_IN_RE2 = re.compile(r"\(\?(?:=|!|<=|<!|\(|>)|\\[1-9]|\(\?P=")


def _feature_severity(value: Any) -> Any:
    return for_rules(value, FEATURE_RULES)


def _batch_severity(value: Any) -> Any:
    return for_rules(value, BATCH_RULES)


class Feature(Section):
    """One input column of the model. `tenure: int` in YAML is short for `tenure: {type: int}`."""

    type: FeatureType = Field(description="float, int, bool, category (a string) or image (an encoded picture)")
    min: float | None = Field(None, description="smallest value allowed")
    max: float | None = Field(None, description="largest value allowed")
    categories: tuple[str, ...] | None = Field(
        None, description="values allowed; without it, the values of the training data become the vocabulary"
    )
    regex: str | None = Field(
        None, min_length=1, description="RE2 pattern that is found in every value; ^ and $ make it the whole value"
    )
    height: int | None = Field(
        None, ge=1, le=4096, description="of an image, in pixels; larger or smaller ones are resized"
    )
    width: int | None = Field(None, ge=1, le=4096, description="of an image, in pixels")
    channels: Literal[1, 3] = Field(3, description="of an image: 1 is grey, 3 is red, green and blue")
    max_null_share: float = Field(
        0.0, ge=0, le=1, description="share of nulls a batch may have; above 0 the model also takes null at serving"
    )
    severity: Annotated[
        Mapping[FeatureRule, Severity],
        BeforeValidator(_feature_severity, json_schema_input_type=Severity | Mapping[FeatureRule, Severity]),
    ] = Field(
        default_factory=dict,
        description="warn, quarantine or block for all rules of this feature, or a mapping by rule (type, null, "
        "null_share, min, max, categories, regex); rows are quarantined by default, null_share blocks",
    )

    @model_validator(mode="after")
    def _bounds_fit_the_type(self) -> Self:
        if self.type in ("bool", "category", "image") and (self.min is not None or self.max is not None):
            raise ValueError(f"min and max are for float and int features, not for type {self.type}")
        if self.categories is not None and self.type != "category":
            raise ValueError(f"categories are for features of type category, not {self.type}")
        if self.regex is not None and self.type != "category":
            raise ValueError(f"regex is for features of type category, not {self.type}")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"min ({self.min:g}) must not be above max ({self.max:g})")
        check_severities(self.severity, FEATURE_RULES)
        return self

    @model_validator(mode="after")
    def _an_image_has_a_size(self) -> Self:
        sizes = (self.height, self.width)
        if self.type != "image":
            if sizes != (None, None) or self.channels != 3:
                raise ValueError(f"height, width and channels are for features of type image, not {self.type}")
            return self
        if None in sizes:
            raise ValueError("a feature of type image needs height and width, in pixels, as the model is to see it")
        if self.nullable:
            raise ValueError("a feature of type image is there in every row: expected max_null_share 0")
        return self

    @field_validator("regex")
    @classmethod
    def _pattern_is_understood(cls, pattern: str | None) -> str | None:
        if pattern is None:
            return None
        try:
            re.compile(pattern, re.ASCII)
        except re.error as error:
            raise ValueError(f"expected a regular expression, found {pattern!r}: {error}") from None
        if _NOT_IN_RE2.search(pattern):
            raise ValueError(f"expected a pattern without look-around and back-references, found {pattern!r}")
        return pattern

    @property
    def nullable(self) -> bool:
        """Whether a request may leave this feature out."""
        return self.max_null_share > 0

    def severity_of(self, rule: FeatureRule) -> Severity:
        """What happens when this rule is broken."""
        return self.severity.get(rule, "block" if rule == "null_share" else "quarantine")


def _short_form(value: Any) -> Any:
    return {"type": value} if isinstance(value, str) else value


class ForeignKey(Section):
    """Values of a column have to be in a column of another dataset."""

    column: str = Field(min_length=1, description="column of this dataset; null is fine here")
    dataset: str = Field(
        pattern=r"^[a-z][a-z0-9_]*\.[a-z][a-z0-9_]*@\S+$",
        description="version of the other dataset, such as mlops.plans@latest; resolved once for each ingest",
    )
    key: str = Field(min_length=1, description="column of the other dataset")
    severity: Severity = Field("quarantine", description="warn, quarantine or block")


class Distribution(Section):
    """When a column differs from the version before: significant, by enough, and by more than its own time blocks."""

    fdr: float = Field(0.001, gt=0, lt=0.5, description="Benjamini-Hochberg false discovery rate over the features")
    min_ks: float = Field(0.1, gt=0, le=1, description="smallest Kolmogorov-Smirnov distance that counts")
    min_js: float = Field(0.05, gt=0, le=1, description="smallest Jensen-Shannon divergence (bits) that counts")
    min_psi: float = Field(0.2, gt=0, description="smallest population stability index that counts")
    min_rows: int = Field(200, ge=50, description="rows that both batches need for a judgement")
    features: tuple[str, ...] | None = Field(None, description="features to look at; all of them by default")


class Checks(Section):
    """Checks on a whole batch; one that blocks refuses the batch and leaves the table as it was."""

    min_rows: int = Field(1, ge=1, description="good rows a batch must have")
    max_quarantined_share: float = Field(0.1, ge=0, le=1, description="share of bad rows above which all is refused")
    unique: tuple[str, ...] = Field((), description="columns that together name a row only once")
    unique_in: Literal["batch", "table"] = Field(
        "batch", description="where `unique` holds: among the new rows, or over all rows of the table"
    )
    foreign_keys: tuple[ForeignKey, ...] = Field((), description="columns whose values are keys of other datasets")
    row_change: tuple[float, float] | None = Field(
        None, description="smallest and largest ratio of good rows to those that the version before added"
    )
    max_age_s: float | None = Field(None, gt=0, description="the newest data.timestamp is at most so old at the ingest")
    distribution: Distribution | None = Field(
        None, description="compare each feature with the rows that the version before added; {} for the defaults"
    )
    max_duplicate_share: float | None = Field(None, ge=0, le=1, description="share of rows that repeat another one")
    max_leakage: float | None = Field(
        None,
        gt=0.5,
        le=1,
        description="how well one feature alone may predict the label: AUC (binary) or rank correlation (regression), "
        "on a sample of 10,000 rows",
    )
    max_holdout_overlap: float | None = Field(
        None, ge=0, le=1, description="share of holdout rows whose features are also in training; checked by train"
    )
    severity: Annotated[
        Mapping[BatchRule, Severity],
        BeforeValidator(_batch_severity, json_schema_input_type=Severity | Mapping[BatchRule, Severity]),
    ] = Field(
        default_factory=dict,
        description="warn or block for all these checks, or a mapping by check; each blocks by default",
    )

    @model_validator(mode="after")
    def _values_fit(self) -> Self:
        if self.row_change is not None and not 0 <= self.row_change[0] <= self.row_change[1]:
            low, high = self.row_change
            raise ValueError(
                f"row_change is (smallest, largest) with 0 <= smallest <= largest, found ({low:g}, {high:g})"
            )
        if self.unique_in == "table" and not self.unique:
            raise ValueError("unique_in is 'table', but unique names no columns")
        check_severities(self.severity, BATCH_RULES)
        return self

    def severity_of(self, rule: BatchRule) -> Severity:
        """What happens when this check is broken."""
        return self.severity.get(rule, "block")


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
    classes: tuple[str, ...] | None = Field(
        None, min_length=2, max_length=10_000, description="values of the label of a multiclass task, as text, in order"
    )
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
    def _an_image_is_alone(self) -> Self:
        images = [name for name, feature in self.features.items() if feature.type == "image"]
        if images and len(self.features) > 1:
            raise ValueError(f"feature {images[0]!r} is an image, and has to be the only feature")
        return self

    @field_validator("classes")
    @classmethod
    def _classes_differ(cls, classes: tuple[str, ...] | None) -> tuple[str, ...] | None:
        twice = [name for name in classes or () if (classes or ()).count(name) > 1]
        if twice or "" in (classes or ()):
            raise ValueError(f"expected different classes that have a name, found {(twice or [''])[0]!r}")
        return classes

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

    @model_validator(mode="after")
    def _checks_fit_the_columns(self) -> Self:
        checks = self.checks
        if checks.max_age_s is not None and self.timestamp is None:
            raise ValueError("checks.max_age_s needs data.timestamp to know how old a row is")
        for key in checks.foreign_keys:
            if key.column not in self.columns:
                raise ValueError(f"checks.foreign_keys names {key.column!r}, expected one of {', '.join(self.columns)}")
        features = checks.distribution.features if checks.distribution is not None else None
        for name in features or ():
            if name not in self.features:
                raise ValueError(f"checks.distribution names {name!r}, which is no feature of data.features")
        return self

    @property
    def image(self) -> str | None:
        """The feature that is an image, if the model is one of images."""
        return next((name for name, feature in self.features.items() if feature.type == "image"), None)

    @property
    def columns(self) -> tuple[str, ...]:
        """Every column a row of the table has, in the order of the spec."""
        named = (self.unit, self.timestamp, *self.features, self.label)
        return tuple(c for c in named if c is not None)
