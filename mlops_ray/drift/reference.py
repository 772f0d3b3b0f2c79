"""What a model version was trained on, as a few counts per feature that later windows are held against."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from mlops_ray.drift.cells import as_matrix, categorical_counts, edges_of, numeric_counts, sorted_columns
from mlops_ray.drift.column import Column, Kind
from mlops_ray.drift.distances import js, ks, noise_js, noise_ks, noise_psi, psi, psi_groups
from mlops_ray.errors import ValidationError

__all__ = ["FeatureReference", "ReferenceProfile", "build_reference"]

_MIN_BLOCK_ROWS = 50
_BLOCK_LEVEL = 0.001  # a block that is nearer than this noise quantile shows chance, not time


@dataclass(frozen=True)
class FeatureReference:
    """One column of the reference."""

    name: str
    kind: Kind
    edges: tuple[float, ...]
    """Inner edges of the bins, ascending; empty for a categorical column."""
    categories: tuple[str, ...]
    counts: tuple[int, ...]
    """Numeric: one more bin than edges, then missing. Categorical: categories, unseen, missing."""
    mean: float
    """Of the finite values; 0 when there are none, and for a categorical column."""
    std: float
    block_ks: float
    """Largest distance of one of the reference's own time blocks to the rest; 0 when no more than chance."""
    block_js: float
    block_psi: float


@dataclass(frozen=True)
class ReferenceProfile:
    """All columns of the reference, in the order of the matrices that are folded against it."""

    rows: int
    features: tuple[FeatureReference, ...]

    def to_json(self) -> str:
        """JSON text."""
        return json.dumps(asdict(self), allow_nan=False)

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """The inverse of `to_json`.

        Raises:
            ValidationError: the text is not a reference profile.
        """
        try:
            content = json.loads(text)
            return cls(rows=content["rows"], features=tuple(_feature_of(feature) for feature in content["features"]))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ValidationError(f"expected the JSON of a reference profile, found something else: {error}") from None


def build_reference(columns: Sequence[Column], matrix: NDArray[np.float64], *, blocks: int = 10) -> ReferenceProfile:
    """The profile of the rows in `matrix`, (n, d) float64, one column per `columns`.

    Row order is taken as time order: the rows are cut into `blocks` consecutive blocks (of 50 rows at least), and how
    far these lie from the rest is remembered, so that a later window has to differ by more than the reference itself.

    Raises:
        ValidationError: no rows, a name twice, or not one matrix column per column.

    >>> values = np.random.default_rng(0).normal(size=(1000, 1))
    >>> reference = build_reference([Column("x", "numeric")], values)
    >>> reference.rows, len(reference.features[0].counts), round(reference.features[0].std, 2)
    (1000, 65, 0.98)
    """
    values = as_matrix(matrix, len(columns))
    names = [column.name for column in columns]
    if not len(values) or len(set(names)) < len(names):
        raise ValidationError(f"expected rows and distinct column names, found {len(values)} rows and {names}")
    ordered = sorted_columns(values)
    features = [_feature(column, values[:, i], ordered[i], blocks) for i, column in enumerate(columns)]
    return ReferenceProfile(rows=len(values), features=tuple(features))


def _feature_of(content: Mapping[str, Any]) -> FeatureReference:
    tuples: dict[str, Any] = {key: tuple(content[key]) for key in ("edges", "categories", "counts")}
    return FeatureReference(**{**content, **tuples})


def _feature(
    column: Column, values: NDArray[np.float64], ordered: NDArray[np.float64], blocks: int
) -> FeatureReference:
    numeric = column.kind == "numeric"
    finite = ordered[: int(np.searchsorted(ordered, np.inf))] if numeric else ordered[:0]
    edges = edges_of(finite)
    parts = np.array_split(values, max(1, min(blocks, len(values) // _MIN_BLOCK_ROWS)))
    counted = np.array([_counts(column, part, edges) for part in parts])
    block_ks, block_js, block_psi = _block_distances(column.kind, counted)
    return FeatureReference(
        name=column.name,
        kind=column.kind,
        edges=edges,
        categories=column.categories,
        counts=tuple(counted.sum(axis=0).tolist()),
        mean=float(finite.mean()) if len(finite) else 0.0,
        std=float(finite.std()) if len(finite) else 0.0,
        block_ks=block_ks,
        block_js=block_js,
        block_psi=block_psi,
    )


def _counts(column: Column, values: NDArray[np.float64], edges: tuple[float, ...]) -> NDArray[np.int64]:
    if column.kind == "categorical":
        return categorical_counts(values, len(column.categories))
    return numeric_counts(sorted_columns(values[:, None])[0], edges)


def _block_distances(kind: Kind, counted: NDArray[np.int64]) -> tuple[float, float, float]:
    """Largest (KS, JS, PSI) of a block against the others; each 0 when chance explains it."""
    largest = [0.0, 0.0, 0.0]
    total = counted.sum(axis=0)
    if len(counted) < 2:
        return (0.0, 0.0, 0.0)
    groups = psi_groups(total, kind)
    level = _BLOCK_LEVEL / len(counted)
    for block in counted:
        rest = total - block
        n, m = int(rest.sum()), int(block.sum())
        cells = groups.max() + 1
        found = (
            (ks(rest, block, kind), noise_ks(n, m, level, kind=kind, cells=cells)),
            (js(rest, block, groups), noise_js(n, m, level, cells=cells)),
            (psi(rest, block, groups), noise_psi(n, m, level, cells=cells)),
        )
        largest = [max(old, new if new > chance else 0.0) for old, (new, chance) in zip(largest, found, strict=True)]
    return (largest[0], largest[1], largest[2])
