"""Whether two samples of rows can be told apart, also where each column alone looks the same: a domain classifier.

A ridge classifier on random Fourier features (Rahimi and Recht, 2007) learns which rows are of the window; the area
under its cross-validated ROC curve is .5 where there is nothing to learn. What chance makes of it is found by the same
with the labels shuffled, which costs no more fits: all shuffles are solved at once.
"""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve
from scipy.special import ndtr
from scipy.stats import rankdata

from mlops_ray.errors import ValidationError

__all__ = ["DomainCheck", "block_auc", "domain_check"]

_FEATURES = 128
_FOLDS = 4
_RIDGE = 1.0
_FARTHEST = 4.0  # standard deviations
_MIN_ROWS = 100

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class DomainCheck:
    """How well rows of a window are told from those of the reference."""

    auc: float
    """.5: not at all; 1: always."""
    p_value: float
    reference_rows: int
    window_rows: int

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)


def domain_check(reference: Floats, window: Floats, *, seed: int, shuffles: int = 30) -> DomainCheck:
    """Tell the rows of `window` (m, d) from those of `reference` (n, d); a few hundred of each are enough.

    Values are scaled by median and quartiles of the reference and cut at 4 of these; a missing value counts as the
    median and, in a column of its own, as missing. The p-value takes the shuffled areas as normal.

    Raises:
        ValidationError: fewer than 100 rows on a side, or another number of columns.
    """
    if reference.ndim != 2 or window.ndim != 2 or reference.shape[1] != window.shape[1]:
        raise ValidationError(f"expected two matrices of the same columns, found {reference.shape} and {window.shape}")
    if min(len(reference), len(window)) < _MIN_ROWS:
        raise ValidationError(f"expected {_MIN_ROWS} rows on each side, found {len(reference)} and {len(window)}")
    random = np.random.default_rng(seed)
    rows = _scaled(reference, np.concatenate([reference, window]))
    labels = np.concatenate([-np.ones(len(reference)), np.ones(len(window))])
    targets = np.column_stack([labels, *(random.permutation(labels) for _ in range(shuffles))])
    scores = _cross_validated(_fourier(rows, random), targets, random)
    areas = np.array([_auc(scores[:, i], targets[:, i]) for i in range(targets.shape[1])])
    chance = areas[1:]
    p = 1 - float(ndtr((areas[0] - chance.mean()) / max(float(chance.std(ddof=1)), 1e-9)))
    return DomainCheck(float(areas[0]), p, len(reference), len(window))


def block_auc(rows: Floats, *, seed: int, blocks: int = 8, sample: int = 500) -> float | None:
    """The largest area at which a block of the reference's own rows (n, d), in time order, is told from the rest.

    None where there are too few rows for it. At most `sample` rows of each side are looked at.
    """
    count = min(blocks, len(rows) // (2 * _MIN_ROWS))
    if count < 2:
        return None
    random, areas = np.random.default_rng(seed), []
    for block in np.array_split(np.arange(len(rows)), count):
        rest = np.setdiff1d(np.arange(len(rows)), block)
        sides = [random.choice(side, min(sample, len(side)), replace=False) for side in (rest, block)]
        areas.append(domain_check(rows[sides[0]], rows[sides[1]], seed=seed, shuffles=2).auc)
    return max(areas)


def _scaled(reference: Floats, rows: Floats) -> Floats:
    known = np.where(np.isfinite(reference), reference, np.nan)
    empty = np.isnan(known).all(axis=0)
    known[:, empty] = 0.0
    low, middle, high = np.nanquantile(known, [0.25, 0.5, 0.75], axis=0)
    spread = np.nanstd(known, axis=0)
    scale = np.where(high > low, (high - low) / 1.349, np.where(spread > 0, spread, 1.0))
    missing = ~np.isfinite(rows)
    values = np.clip((np.where(missing, middle, rows) - middle) / scale, -_FARTHEST, _FARTHEST)
    return np.column_stack([values, missing[:, missing.any(axis=0)]])


def _fourier(rows: Floats, random: np.random.Generator) -> Floats:
    """The rows themselves, and cosines of random projections: what a Gaussian kernel sees."""
    width = rows.shape[1]
    directions = random.normal(size=(width, _FEATURES)) / np.sqrt(width)
    waves = np.cos(rows @ directions + random.uniform(0, 2 * np.pi, _FEATURES))
    found = np.column_stack([rows, np.sqrt(2) * waves])
    found -= found.mean(axis=0)
    return found


def _cross_validated(rows: Floats, targets: Floats, random: np.random.Generator) -> Floats:
    folds = random.permutation(len(rows)) % _FOLDS
    scores = np.empty_like(targets)
    for fold in range(_FOLDS):
        train, test = folds != fold, folds == fold
        x, y = rows[train], targets[train]
        gram = x.T @ x + _RIDGE * len(x) / 100 * np.eye(x.shape[1])
        weights = cho_solve(cho_factor(gram), x.T @ (y - y.mean(axis=0)))
        scores[test] = rows[test] @ weights
    return scores


def _auc(scores: Floats, labels: Floats) -> float:
    positive = labels > 0
    n, m = int(positive.sum()), int((~positive).sum())
    return float((rankdata(scores)[positive].sum() - n * (n + 1) / 2) / (n * m))
