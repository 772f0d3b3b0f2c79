"""What the reference keeps of one column."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from mlops_ray.drift.column import Kind

__all__ = ["QUANTILES", "FeatureReference"]

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
_TUPLES = ("edges", "categories", "counts", "bin_means", "quantiles")


@dataclass(frozen=True)
class FeatureReference:
    """One column of the reference. What has a default is not known of versions trained before 0.3."""

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
    block_shift: float = 0.0
    block_missing: float = 0.0
    """Largest share of missing values in a block."""
    low: float | None = None
    """Smallest finite value."""
    high: float | None = None
    bin_means: tuple[float, ...] = ()
    """Of each bin's values; of an empty one its middle."""
    quantiles: tuple[float, ...] = ()
    """At `QUANTILES`."""
    zeros: int | None = None
    """Values that are 0."""
    log_mean: float = 0.0
    """Mean and deviation of ln |x| over values that are not 0."""
    log_std: float = 0.0
    seasonal: tuple[tuple[int, ...], ...] = ()
    """Like `counts`, for each slot of the season; empty where the hours do not differ, or there are too few rows."""
    importance: float | None = None
    """Share 0..1 of what the model relies on."""

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        """The inverse of `dataclasses.asdict`, also after a trip through JSON text."""
        values: dict[str, Any] = {**content, **{key: tuple(content[key]) for key in _TUPLES if key in content}}
        values["seasonal"] = tuple(tuple(counts) for counts in content.get("seasonal", ()))
        return cls(**values)
