"""How far the reference's own blocks of time lie from the rest of it: real rows are not independent."""

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from mlops_ray.drift.column import Kind
from mlops_ray.drift.distances import js, ks, noise_js, noise_ks, noise_psi, psi, psi_groups
from mlops_ray.drift.effects import noise_shift, shift_and_deviation
from mlops_ray.drift.seasonal import mixture

__all__ = ["block_distances", "time_blocks"]

_MIN_ROWS = 50
_MOST_BLOCKS = 48
_FEWEST_BLOCKS = 4
_LEVEL = 0.001  # a block that is nearer than this noise quantile shows chance, not time

Counts = NDArray[np.int64]


def time_blocks(
    rows: int, count: int, times_s: NDArray[np.float64] | None = None, window_s: float | None = None
) -> tuple[slice, ...]:
    """Blocks of consecutive rows: `count` of 50 rows at least, and, with times, up to 48 as long as a window.

    Long ones show a slow change, short ones how much windows differ. Where a window holds fewer than 50 rows, it counts
    as longer.
    """
    edges = np.linspace(0, rows, max(1, min(count, rows // _MIN_ROWS)) + 1).astype(np.int64)
    blocks = tuple(slice(int(a), int(b)) for a, b in pairwise(edges))
    if times_s is not None and window_s is not None and len(times_s):
        span_s = float(times_s[-1] - times_s[0])
        length_s = max(window_s, span_s * _MIN_ROWS / rows)
        found = int(span_s // length_s) if length_s > 0 else 0
        if found >= _FEWEST_BLOCKS:
            starts_s = times_s[0] + np.linspace(0, span_s - length_s, min(found, _MOST_BLOCKS))
            ends_s = starts_s + length_s
            bounds = zip(np.searchsorted(times_s, starts_s), np.searchsorted(times_s, ends_s), strict=True)
            blocks += tuple(slice(int(a), int(b)) for a, b in bounds if b - a >= _MIN_ROWS)
    return blocks


def block_distances(
    places: Counts,
    cells: int,
    kind: Kind,
    blocks: tuple[slice, ...],
    *,
    seasonal: Counts | None = None,
    slots: Counts | None = None,
) -> dict[str, float]:
    """The largest of each distance of a block to the rest, 0 where chance explains it, and share of missing values.

    Args:
        places: the cell of each row (n,), in time order.
        cells: how many there are.
        kind: of the column.
        blocks: rows of each.
        seasonal: counts (s, cells) by slot; a block is then held against the same slots of the rest.
        slots: of each row (n,).
    """
    total = np.bincount(places, minlength=cells)
    groups = psi_groups(total, kind)
    largest = dict.fromkeys(("block_ks", "block_js", "block_psi", "block_shift", "block_missing"), 0.0)
    for rows in blocks if len(blocks) > 1 else ():
        block = np.bincount(places[rows], minlength=cells)
        rest = total - block
        if seasonal is not None and slots is not None:
            own = np.bincount(slots[rows] * cells + places[rows], minlength=seasonal.size).reshape(seasonal.shape)
            rest = mixture(seasonal - own, rest, np.bincount(slots[rows], minlength=len(seasonal)))
        found = _distances(rest, block, kind, groups, _LEVEL / len(blocks))
        found["block_missing"] = float(block[-1] / block.sum())
        largest = {name: max(value, found.get(name, 0.0)) for name, value in largest.items()}
    return largest


def _distances(rest: Counts, block: Counts, kind: Kind, groups: Counts, level: float) -> dict[str, float]:
    n, m, cells = int(rest.sum()), int(block.sum()), int(groups.max()) + 1
    if not n or not m:
        return {}
    found = {
        "block_ks": (ks(rest, block, kind), noise_ks(n, m, level, kind=kind, cells=cells)),
        "block_js": (js(rest, block, groups), noise_js(n, m, level, cells=cells)),
        "block_psi": (psi(rest, block, groups), noise_psi(n, m, level, cells=cells)),
    }
    if kind == "numeric":
        moved, deviation = shift_and_deviation(rest, block)
        found["block_shift"] = (abs(moved), noise_shift(deviation, level))
    return {name: value for name, (value, chance) in found.items() if value > chance}
