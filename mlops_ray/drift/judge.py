"""Whether a window drifted from the reference: significant over all features, large enough, and larger than usual.

A feature drifted when it is significant by Benjamini and Hochberg (1995) at `fdr` over the judged features AND one of
KS, JS, PSI and shift reaches its threshold, which is the largest of: the floor of the spec (an effect worth an alarm),
the distance that chance exceeds with probability fdr / features at these sizes, and the largest distance of the
reference's own time blocks (real rows are not independent). Where the reference has a season, the window is held
against the hours that it covers.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from mlops_ray.drift.distances import chi_square_p, js, ks, noise_js, noise_ks, noise_psi, p_value, psi, psi_groups
from mlops_ray.drift.effects import (
    bin_means,
    expected_mean_z,
    noise_shift,
    shift_and_deviation,
    shift_p_value,
    wasserstein,
)
from mlops_ray.drift.feature_reference import FeatureReference
from mlops_ray.drift.profile import Profile
from mlops_ray.drift.reference import ReferenceProfile
from mlops_ray.drift.seasonal import expected_counts
from mlops_ray.errors import ValidationError
from mlops_ray.spec import Thresholds
from mlops_ray.verdict import Verdict

__all__ = ["DriftReport", "FeatureDrift", "judge"]

_NAMED = 5  # drifted features a message spells out

Counts = NDArray[np.int64]


@dataclass(frozen=True)
class FeatureDrift:
    """One feature of a window against the reference; see `mlops_ray.drift.distances` and `.effects` for the numbers."""

    name: str
    ks: float
    js: float
    psi: float
    p_value: float
    """Of KS or shift, whichever is smaller, doubled; of chi-square for a categorical feature."""
    ks_threshold: float
    js_threshold: float
    psi_threshold: float
    drifted: bool
    shift: float | None = None
    """Of the normal scores, which is what is judged: a mean that no outlier moves; None for a categorical feature."""
    shift_threshold: float | None = None
    wasserstein: float | None = None
    """In standard deviations; no threshold looks at it."""
    chi_square_p: float | None = None
    mean_shift: float | None = None
    """Of the mean itself, in standard deviations of the reference; None where the window's mean is not known."""
    importance: float | None = None

    @property
    def strength(self) -> float:
        """The distance that is farthest above its threshold, as their ratio."""
        ratios = [self.ks / self.ks_threshold, self.js / self.js_threshold, self.psi / self.psi_threshold]
        if self.shift is not None and self.shift_threshold is not None:
            ratios.append(abs(self.shift) / self.shift_threshold)
        return max(ratios)


@dataclass(frozen=True)
class DriftReport:
    """The judgement of one window. FAIL: something drifted; INCONCLUSIVE: too few rows to say."""

    verdict: Verdict
    rows: int
    features: tuple[FeatureDrift, ...]
    message: str

    @property
    def drifted(self) -> tuple[str, ...]:
        """Names of the drifted features."""
        return tuple(feature.name for feature in self.features if feature.drifted)

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        """The inverse of `to_json`; also of what earlier versions wrote."""
        features = tuple(FeatureDrift(**feature) for feature in content["features"])
        return cls(**{**content, "verdict": Verdict(content["verdict"]), "features": features})


@dataclass(frozen=True)
class _Compared:
    """One feature's counts on both sides."""

    feature: FeatureReference
    reference: Counts
    current: Counts
    means: NDArray[np.float64] | None
    mean_z: float | None

    @property
    def numeric(self) -> bool:
        return self.feature.kind == "numeric"

    @cached_property
    def moved(self) -> tuple[float, float]:
        return shift_and_deviation(self.reference, self.current)

    def p_value(self) -> float:
        p = p_value(self.reference, self.current, self.feature.kind)
        return min(1.0, 2 * min(p, shift_p_value(*self.moved))) if self.numeric else p


def judge(
    reference: ReferenceProfile,
    profile: Profile,
    thresholds: Thresholds,
    *,
    min_rows: int,
    features: Sequence[str] | None = None,
    broken: Collection[str] = (),
) -> DriftReport:
    """Judge the rows in `profile`, folded against `reference`.

    Args:
        reference: what the window is held against.
        profile: the window.
        thresholds: when a feature counts as drifted.
        min_rows: a window of fewer is INCONCLUSIVE.
        features: to look at; all by default.
        broken: features whose values are wrong, and so cannot have drifted; they are measured all the same.

    Raises:
        ValidationError: a name the reference does not have, or a profile of another reference.
    """
    shapes = [len(feature.counts) for feature in reference.features], profile.lengths.tolist()
    if shapes[0] != shapes[1]:
        raise ValidationError(f"expected a profile with the cells {shapes[0]} of its reference, found {shapes[1]}")
    chosen = _chosen(reference, features)
    if profile.rows < min_rows:
        message = f"{profile.rows:,} of the {min_rows:,} rows needed for a judgement"
        return DriftReport(Verdict.INCONCLUSIVE, profile.rows, (), message)
    compared = [_compared(reference.features[i], profile, i) for i in chosen]
    p_values = np.array([one.p_value() for one in compared])
    significant = _benjamini_hochberg(p_values, thresholds.fdr)
    level = thresholds.fdr / max(1, len(chosen))
    found = tuple(
        _feature_drift(one, thresholds, level=level, p=float(p), possible=sure and one.feature.name not in broken)
        for one, p, sure in zip(compared, p_values, significant.tolist(), strict=True)
    )
    verdict = Verdict.FAIL if any(feature.drifted for feature in found) else Verdict.PASS
    return DriftReport(verdict, profile.rows, found, _message(found, profile.rows))


def _chosen(reference: ReferenceProfile, features: Sequence[str] | None) -> list[int]:
    positions = {feature.name: i for i, feature in enumerate(reference.features)}
    unknown = [name for name in features or () if name not in positions]
    if unknown:
        raise ValidationError(f"expected features of the reference ({', '.join(positions)}), found {unknown}")
    return list(positions.values()) if features is None else [positions[name] for name in features]


def _compared(feature: FeatureReference, profile: Profile, place: int) -> _Compared:
    counts = profile.counts[place]
    reference = expected_counts(feature, profile.slots)
    means = mean_z = None
    if feature.kind == "numeric":
        means = bin_means(feature, counts, profile.cell_sums[place])
        n = profile.moment(place, "n")
        mean_z = profile.moment(place, "z") / n - expected_mean_z(feature, reference) if n else None
    return _Compared(feature, reference, counts, means, mean_z)


def _feature_drift(one: _Compared, thresholds: Thresholds, *, level: float, p: float, possible: bool) -> FeatureDrift:
    feature, reference, current = one.feature, one.reference, one.current
    n, m = int(reference.sum()), int(current.sum())
    groups = psi_groups(reference, feature.kind)
    grouped = [np.bincount(groups, weights=counts).astype(np.int64) for counts in (reference, current)]
    cells = int(np.count_nonzero(grouped[0] + grouped[1]))
    noise = noise_ks(n, m, level, kind=feature.kind, cells=cells)
    ks_needs = max(thresholds.min_ks, noise, feature.block_ks)
    js_needs = max(thresholds.min_js, noise_js(n, m, level, cells=cells), feature.block_js)
    psi_needs = max(thresholds.min_psi, noise_psi(n, m, level, cells=cells), feature.block_psi)
    distances = ks(reference, current, feature.kind), js(reference, current, groups), psi(reference, current, groups)
    large = any(value >= needs for value, needs in zip(distances, (ks_needs, js_needs, psi_needs), strict=True))
    moved, moved_needs = _shift(one, thresholds, level)
    large = large or (moved is not None and moved_needs is not None and abs(moved) >= moved_needs)
    return FeatureDrift(
        feature.name,
        *distances,
        p,
        ks_needs,
        js_needs,
        psi_needs,
        drifted=possible and large,
        shift=moved,
        shift_threshold=moved_needs,
        wasserstein=wasserstein(feature, reference, current, one.means) if one.numeric else None,
        chi_square_p=chi_square_p(grouped[0], grouped[1]),
        mean_shift=one.mean_z,
        importance=feature.importance,
    )


def _shift(one: _Compared, thresholds: Thresholds, level: float) -> tuple[float | None, float | None]:
    """The shift, and what it has to reach; (None, None) for a categorical feature."""
    if not one.numeric:
        return None, None
    moved, deviation = one.moved
    noise = noise_shift(deviation, level)
    if thresholds.min_shift is None or not np.isfinite(noise):
        return moved, None
    return moved, max(thresholds.min_shift, noise, one.feature.block_shift)


def _benjamini_hochberg(p_values: NDArray[np.float64], fdr: float) -> NDArray[np.bool_]:
    """Which hypotheses are rejected at false discovery rate `fdr`.

    >>> _benjamini_hochberg(np.array([0.01, 0.9, 0.03]), 0.05).tolist()
    [True, False, True]
    """
    if not len(p_values):
        return np.zeros(0, dtype=np.bool_)
    ordered = np.sort(p_values)
    passing = np.flatnonzero(ordered <= fdr * np.arange(1, len(ordered) + 1) / len(ordered))
    return p_values <= (ordered[passing[-1]] if len(passing) else -1.0)


def _message(found: Sequence[FeatureDrift], rows: int) -> str:
    drifted = sorted((feature for feature in found if feature.drifted), key=lambda feature: -feature.ks)
    if not drifted:
        return f"none of {len(found)} features drifted over {rows:,} rows"
    named = ", ".join(f"{f.name} (KS {f.ks:.3f}, JS {f.js:.3f}, PSI {f.psi:.2f})" for f in drifted[:_NAMED])
    more = f" and {len(drifted) - _NAMED} more" if len(drifted) > _NAMED else ""
    return f"{len(drifted)} of {len(found)} features drifted over {rows:,} rows: {named}{more}"
