"""Whether a model still reasons with the features that it did: shares of all contributions, then and now."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from mlops_ray.errors import ValidationError
from mlops_ray.verdict import Verdict

__all__ = ["AttributionReference", "AttributionShift", "FeatureShare", "attribution_reference", "judge_attribution"]

Contributions = NDArray[np.float64]

_BLOCKS = 5
_MIN_BLOCK_ROWS = 50
_RESAMPLES = 200
_NOISE_LEVEL = 0.99
_NAMED = 5


@dataclass(frozen=True)
class AttributionReference:
    """How much each feature moved the answers to rows of the training."""

    method: str
    exact: bool
    rows: int
    features: tuple[str, ...]
    shares: tuple[float, ...]
    """Mean absolute contribution of each feature, as a share of the sum over all of them."""
    block_shift: float
    """Largest shift of one of the reference's own time blocks against the others; 0 when no more than chance."""

    def to_json(self) -> str:
        """JSON text."""
        return json.dumps(asdict(self), allow_nan=False)

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """The inverse of `to_json`.

        Raises:
            ValidationError: the text is none.
        """
        try:
            content: Mapping[str, Any] = json.loads(text)
            tuples = {key: tuple(content[key]) for key in ("features", "shares")}
            return cls(**{**content, **tuples})
        except (ValueError, KeyError, TypeError) as error:
            raise ValidationError(
                f"expected the JSON of an attribution reference, found something else: {error}"
            ) from None


@dataclass(frozen=True)
class FeatureShare:
    """A feature's share of all contributions, in the reference and in a window."""

    name: str
    reference: float
    window: float


@dataclass(frozen=True)
class AttributionShift:
    """The judgement of one window. FAIL: the shares differ by more than the limit."""

    verdict: Verdict
    rows: int
    shift: float
    """Total variation: half the sum of the differences of the shares; 0 alike, 1 nothing in common."""
    limit: float
    noise: float
    """What so many rows show by chance in 99 of 100 windows, by bootstrap."""
    features: tuple[FeatureShare, ...]
    """The features that changed most, most changed first."""


def attribution_reference(
    features: Sequence[str], contributions: Contributions, *, method: str, exact: bool, seed: int
) -> AttributionReference:
    """The reference of explained training rows; `contributions` (n, features), oldest row first.

    Raises:
        ValidationError: no rows, or another number of columns.
    """
    sizes = _sizes(contributions, len(features))
    if not len(sizes):
        raise ValidationError("expected explained rows, found none")
    blocks = np.array_split(np.arange(len(sizes)), max(1, min(_BLOCKS, len(sizes) // _MIN_BLOCK_ROWS)))
    block_shift = 0.0
    for block in blocks if len(blocks) > 1 else []:
        rest = np.delete(sizes, block, axis=0)
        shift = _variation(_shares(rest), _shares(sizes[block]))
        if shift > _noise(sizes, len(block), len(rest), seed):
            block_shift = max(block_shift, shift)
    shares = tuple(float(share) for share in _shares(sizes))
    return AttributionReference(method, exact, len(sizes), tuple(features), shares, block_shift)


def judge_attribution(
    reference: AttributionReference, contributions: Contributions, *, max_shift: float, min_rows: int, seed: int
) -> AttributionShift:
    """Hold the explained rows of a window (n, features) against the reference.

    The limit is the largest of `max_shift`, what chance shows (the window's rows drawn again in the two sizes, as if
    both were of one distribution), and what the reference's own time blocks show. Fewer rows than `min_rows` are
    INCONCLUSIVE.

    Raises:
        ValidationError: another number of columns.

    >>> rows = np.random.default_rng(0).normal(size=(400, 3)) * [3.0, 2.0, 1.0]
    >>> reference = attribution_reference(["a", "b", "c"], rows, method="linear", exact=True, seed=1)
    >>> same = judge_attribution(reference, rows[:200], max_shift=0.08, min_rows=50, seed=1)
    >>> broken = judge_attribution(reference, rows[:200] * [0.0, 1.0, 1.0], max_shift=0.08, min_rows=50, seed=1)
    >>> str(same.verdict), str(broken.verdict), broken.features[0].name
    ('PASS', 'FAIL', 'a')
    """
    sizes = _sizes(contributions, len(reference.features))
    if len(sizes) < min_rows:
        return AttributionShift(Verdict.INCONCLUSIVE, len(sizes), 0.0, max_shift, 0.0, ())
    known, now = np.asarray(reference.shares), _shares(sizes)
    shift, noise = _variation(known, now), _noise(sizes, len(sizes), reference.rows, seed)
    limit = max(max_shift, noise, reference.block_shift)
    order = np.argsort(-np.abs(now - known), kind="stable")[:_NAMED]
    named = tuple(FeatureShare(reference.features[i], float(known[i]), float(now[i])) for i in order)
    verdict = Verdict.FAIL if shift > limit else Verdict.PASS
    return AttributionShift(verdict, len(sizes), shift, limit, noise, named)


def _sizes(contributions: Contributions, features: int) -> Contributions:
    values = np.abs(np.asarray(contributions, dtype=np.float64))
    if values.ndim != 2 or values.shape[1] != features:
        raise ValidationError(f"expected contributions of {features} features, found the shape {values.shape}")
    return values


def _shares(sizes: Contributions) -> Contributions:
    means = sizes.mean(axis=0)
    total = means.sum()
    return means / total if total > 0 else np.full(len(means), 1.0 / max(1, len(means)))


def _variation(a: Contributions, b: Contributions) -> float:
    return float(np.abs(a - b).sum() / 2)


def _noise(sizes: Contributions, n: int, m: int, seed: int) -> float:
    """The shift that n and m rows of one distribution, that of `sizes`, show by chance."""
    generator = np.random.default_rng(seed)
    found = []
    for _ in range(_RESAMPLES):
        one, other = (_drawn(sizes, count, generator) for count in (n, m))
        found.append(_variation(one, other))
    return float(np.quantile(found, _NOISE_LEVEL))


def _drawn(sizes: Contributions, count: int, generator: np.random.Generator) -> Contributions:
    """Shares of `count` rows drawn with replacement, as weights of the rows."""
    weights = generator.multinomial(count, np.full(len(sizes), 1 / len(sizes)))
    means = weights @ sizes
    total = means.sum()
    shares: Contributions = means / total if total > 0 else np.full(sizes.shape[1], 1 / max(1, sizes.shape[1]))
    return shares
