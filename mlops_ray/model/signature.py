"""What a model takes and answers: the columns of a request, in order, with the vocabulary of each category."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from mlops_ray.drift import Column
from mlops_ray.errors import SchemaError
from mlops_ray.pixels import STATISTICS, Shape, picture_statistics
from mlops_ray.spec import FeatureRule, FeatureType, ModelSpec, Task

__all__ = ["InputColumn", "Signature", "signature_of"]

_REQUEST_RULES: tuple[FeatureRule, ...] = ("min", "max", "categories", "regex")


@dataclass(frozen=True)
class InputColumn:
    """One column a model takes."""

    name: str
    type: FeatureType
    nullable: bool  # whether a request may leave it out or send null
    categories: tuple[str, ...] = ()  # vocabulary of a category column; the code of a value is its place here
    shape: Shape | None = None  # of an image: height, width and channels of what the model sees
    # Rules of the spec for requests. Two columns that are encoded alike are equal whatever the rules.
    min: float | None = field(default=None, compare=False)
    max: float | None = field(default=None, compare=False)
    regex: str | None = field(default=None, compare=False)
    closed: bool = field(default=False, compare=False)  # no other categories are allowed
    soft: tuple[str, ...] = field(default=(), compare=False)  # rules that only warn

    @property
    def has_rules(self) -> bool:
        """Whether a value of the right type can break a rule."""
        return self.closed or self.regex is not None or self.min is not None or self.max is not None

    @cached_property
    def codes(self) -> Mapping[str, int]:
        """Category -> code; a value not in it has the code `len(categories)`."""
        return {category: code for code, category in enumerate(self.categories)}


@dataclass(frozen=True)
class Signature:
    """Inputs in the order of the matrix columns, the task, and the column that names whom an answer is for.

    A model of images has one input; its matrix has a column for each pixel and channel, see `encode`.
    """

    inputs: tuple[InputColumn, ...]
    task: Task
    unit: str | None = None
    classes: tuple[str, ...] = ()
    """Of a multiclass task: what an answer's columns stand for, in order."""

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the inputs, in order."""
        return tuple(column.name for column in self.inputs)

    @property
    def categorical(self) -> tuple[int, ...]:
        """Places of the category columns in the matrix."""
        return tuple(i for i, column in enumerate(self.inputs) if column.type == "category")

    @property
    def image(self) -> InputColumn | None:
        """The input of a model of images; None for tables."""
        return self.inputs[0] if self.inputs and self.inputs[0].shape is not None else None

    @property
    def width(self) -> int:
        """Columns of the matrix."""
        shape = self.inputs[0].shape if self.inputs else None
        return len(self.inputs) if shape is None else shape[0] * shape[1] * shape[2]

    @property
    def answer_shape(self) -> tuple[int, ...]:
        """Of the answer to one row: () for one number, (classes,) for the probability of each class."""
        return (len(self.classes),) if self.classes else ()

    def columns(self) -> list[Column]:
        """The inputs as the drift profile sees them; a bool counts as a category with the codes 0 and 1.

        Of an image these are its `STATISTICS`, named `<feature>.brightness` and so on.
        """
        if self.image is not None:
            return [Column(f"{self.image.name}.{name}", "numeric") for name in STATISTICS]
        return [_profile_column(column) for column in self.inputs]

    def profiled(self, matrix: NDArray[np.float64]) -> NDArray[np.float64]:
        """The values (n, columns) that `columns` names, of the encoded rows (n, width)."""
        image = self.image
        return matrix if image is None or image.shape is None else picture_statistics(matrix, image.shape)

    def prediction_column(self, name: str = "prediction") -> Column:
        """The predictions as the drift profile sees them: numbers, or of a multiclass task the likeliest class."""
        return Column(name, "categorical", self.classes) if self.classes else Column(name, "numeric")

    def condensed(self, predictions: NDArray[np.float64]) -> NDArray[np.float64]:
        """One number (n,) for each answer: as it is, or the place of the likeliest of (n, classes) probabilities."""
        return predictions.argmax(axis=1).astype(np.float64) if predictions.ndim == 2 else predictions

    def to_json(self) -> dict[str, Any]:
        """JSON-ready dictionary."""
        return asdict(self)

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        """Inverse of `to_json`, also after a trip through JSON text."""
        inputs = tuple(
            # older bundles say nothing of rules and images
            InputColumn(**{**i, "categories": tuple(i["categories"]), "soft": tuple(i.get("soft", ())), **_shape_of(i)})
            for i in content["inputs"]
        )
        classes = tuple(content.get("classes", ()))
        return cls(inputs=inputs, task=content["task"], unit=content["unit"], classes=classes)


def _shape_of(content: Mapping[str, Any]) -> dict[str, Any]:
    shape = content.get("shape")
    return {"shape": None if shape is None else tuple(shape)}


def signature_of(spec: ModelSpec, table: pa.Table) -> Signature:
    """The signature a model has that is trained on `table`.

    Categories come from the spec, and where it names none, they are the sorted distinct values of `table`.

    Raises:
        SchemaError: `table` lacks a category column whose vocabulary is needed.
    """
    inputs = tuple(
        InputColumn(
            name=name,
            type=feature.type,
            nullable=feature.nullable,
            categories=_vocabulary(feature.categories, name, table) if feature.type == "category" else (),
            shape=(feature.height, feature.width, feature.channels) if feature.height and feature.width else None,
            min=feature.min,
            max=feature.max,
            regex=feature.regex,
            closed=feature.categories is not None,
            soft=tuple(rule for rule in _REQUEST_RULES if feature.severity_of(rule) == "warn"),
        )
        for name, feature in spec.data.features.items()
    )
    return Signature(inputs=inputs, task=spec.train.task, unit=spec.data.unit, classes=spec.data.classes or ())


def _vocabulary(categories: tuple[str, ...] | None, name: str, table: pa.Table) -> tuple[str, ...]:
    if categories is not None:
        return categories
    if name not in table.column_names:
        raise SchemaError(f"column {name!r} is needed for its categories; found {', '.join(table.column_names)}")
    values = pc.unique(table[name].cast(pa.string())).drop_null().to_pylist()
    return tuple(sorted(values))


def _profile_column(column: InputColumn) -> Column:
    if column.type == "category":
        return Column(name=column.name, kind="categorical", categories=column.categories)
    if column.type == "bool":
        return Column(name=column.name, kind="categorical", categories=("false", "true"))
    return Column(name=column.name, kind="numeric", categories=())
