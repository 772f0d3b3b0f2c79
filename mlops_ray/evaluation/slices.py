"""Where errors are more frequent than elsewhere: the search for the worst parts of the rows.

Every value of a category and every quantile bin of a number is a slice, and so are pairs of these that begin with a
promising one (as in SliceFinder: Chung et al., ICDE 2019). Slices are ranked by the lower confidence limit of how much
more errors they have than the rest, over all slices there are (Bonferroni): the more there are, the more it takes.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from mlops_ray.evaluation.proportions import newcombe
from mlops_ray.spec import Slices

__all__ = ["Slice", "SliceColumn", "worst_slices"]

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]
_BEAM = 10
_MOST_VALUES = 30
_LEVEL = 0.95


@dataclass(frozen=True)
class SliceColumn:
    """An encoded feature (n,): numbers, or codes of `categories`."""

    name: str
    values: Floats
    categories: tuple[str, ...] = ()


@dataclass(frozen=True)
class Slice:
    """Rows that meet all conditions."""

    conditions: tuple[str, ...]
    rows: int
    error: float
    """Share of wrong answers among them."""
    excess: float
    """How much more than among the others."""
    low: float
    """Its lower confidence limit, over all slices looked at."""


@dataclass(frozen=True)
class _Condition:
    column: str
    text: str
    mask: Mask


def worst_slices(columns: Sequence[SliceColumn], errors: Mask, settings: Slices) -> tuple[Slice, ...]:
    """The slices whose errors (n,) are surely more frequent than those of the other rows, worst first.

    A pair is told only where it is worse than each of its conditions alone.

    >>> group = np.repeat([0.0, 1.0], 500)
    >>> wrong = (np.arange(1000) % 10 == 0) | (group == 1) & (np.arange(1000) % 3 == 0)
    >>> found = worst_slices([SliceColumn("plan", group, ("basic", "pro"))], wrong, Slices())
    >>> found[0].conditions, found[0].rows, found[0].error
    (('plan = pro',), 500, 0.4)
    """
    if not len(errors):
        return ()
    singles = [c for column in columns for c in _conditions(column, settings) if _is_told(c.mask, settings)]
    ranked = sorted(singles, key=lambda c: -_low(c.mask, errors, 1.96))[:_BEAM]
    pairs = list(_pairs(ranked, singles, settings)) if settings.features > 1 else []
    if not singles:
        return ()
    # pairs that were passed over count too: the beam chose by the same rows
    tried = len(singles) + (len(singles) * (len(singles) - 1) // 2 if settings.features > 1 else 0)
    z = float(stats.norm.ppf(1 - (1 - _LEVEL) / tried))
    alone = {condition.text: _slice((condition,), condition.mask, errors, z) for condition in singles}
    found = list(alone.values())
    for one, other, mask in pairs:
        both = _slice((one, other), mask, errors, z)
        if both.low > max(alone[one.text].low, alone[other.text].low):
            found.append(both)
    worst = sorted((s for s in found if s.low > 0), key=lambda s: (-s.low, s.conditions))
    return tuple(worst[: settings.top])


def _is_told(mask: Mask, settings: Slices) -> bool:
    rows = int(mask.sum())
    return settings.min_rows <= rows <= len(mask) - settings.min_rows


def _pairs(
    ranked: Sequence[_Condition], singles: Sequence[_Condition], settings: Slices
) -> Iterator[tuple[_Condition, _Condition, Mask]]:
    seen: set[frozenset[str]] = set()
    for one in ranked:
        for other in singles:
            names = frozenset((one.text, other.text))
            if one.column == other.column or names in seen:
                continue
            seen.add(names)
            mask = one.mask & other.mask
            if _is_told(mask, settings):
                yield one, other, mask


def _conditions(column: SliceColumn, settings: Slices) -> Iterator[_Condition]:
    finite = np.isfinite(column.values)
    if not finite.all():
        yield _Condition(column.name, f"{column.name} is missing", ~finite)
    if column.categories:
        codes, counts = np.unique(column.values[finite], return_counts=True)
        for code in codes[np.argsort(-counts, kind="stable")][:_MOST_VALUES].astype(int).tolist():
            known = 0 <= code < len(column.categories)
            text = column.categories[code] if known else "an unseen value"
            yield _Condition(column.name, f"{column.name} = {text}", finite & (column.values == code))
        return
    yield from _bins(column, finite, settings.bins)


def _bins(column: SliceColumn, finite: Mask, bins: int) -> Iterator[_Condition]:
    name, values = column.name, column.values
    if not finite.any():
        return
    edges = np.unique(np.quantile(values[finite], np.linspace(0, 1, bins + 1)[1:-1])).tolist()
    places = np.searchsorted(edges, values, side="right")
    for place in range(len(edges) + 1):
        if place == 0:
            text = f"{name} < {edges[0]:g}"
        elif place == len(edges):
            text = f"{name} >= {edges[-1]:g}"
        else:
            text = f"{edges[place - 1]:g} <= {name} < {edges[place]:g}"
        yield _Condition(name, text, finite & (places == place))


def _slice(conditions: tuple[_Condition, ...], mask: Mask, errors: Mask, z: float) -> Slice:
    rate, rest = float(errors[mask].mean()), float(errors[~mask].mean())
    texts = tuple(sorted(condition.text for condition in conditions))
    return Slice(texts, int(mask.sum()), rate, rate - rest, _low(mask, errors, z))


def _low(mask: Mask, errors: Mask, z: float) -> float:
    inside, outside = errors[mask], errors[~mask]
    return newcombe((float(inside.mean()), len(inside)), (float(outside.mean()), len(outside)), z)[0]
