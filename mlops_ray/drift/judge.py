"""Whether a window drifted from the reference: significant over all features, large enough, and larger than usual.

A feature drifted when it is significant by Benjamini and Hochberg (1995) at `fdr` over the judged features AND one of
KS, JS, PSI reaches its threshold, which is the largest of: the floor of the spec (an effect worth an alarm), the
distance that chance exceeds with probability fdr / features at these sizes, and the largest distance of the
reference's own time blocks (real rows are not independent).
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from mlops_ray.drift.distances import js, ks, noise_js, noise_ks, noise_psi, p_value, psi, psi_groups
from mlops_ray.drift.profile import Profile
from mlops_ray.drift.reference import FeatureReference, ReferenceProfile
from mlops_ray.errors import ValidationError
from mlops_ray.spec import Thresholds
from mlops_ray.verdict import Verdict

__all__ = ["DriftReport", "FeatureDrift", "judge"]

_NAMED = 5  # drifted features a message spells out


@dataclass(frozen=True)
class FeatureDrift:
    """One feature of a window against the reference; see `mlops_ray.drift.distances` for the numbers."""

    name: str
    ks: float
    js: float
    psi: float
    p_value: float
    ks_threshold: float
    js_threshold: float
    psi_threshold: float
    drifted: bool


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
        """The inverse of `to_json`."""
        features = tuple(FeatureDrift(**feature) for feature in content["features"])
        return cls(**{**content, "verdict": Verdict(content["verdict"]), "features": features})


def judge(
    reference: ReferenceProfile,
    profile: Profile,
    thresholds: Thresholds,
    *,
    min_rows: int,
    features: Sequence[str] | None = None,
) -> DriftReport:
    """Judge the rows in `profile`, folded against `reference`; `features` names those to look at, all by default.

    Raises:
        ValidationError: a name the reference does not have, or a profile of another reference.
    """
    shapes = [len(feature.counts) for feature in reference.features], [len(counts) for counts in profile.counts]
    if shapes[0] != shapes[1]:
        raise ValidationError(f"expected a profile with the cells {shapes[0]} of its reference, found {shapes[1]}")
    chosen = _chosen(reference, features)
    if profile.rows < min_rows:
        message = f"{profile.rows:,} of the {min_rows:,} rows needed for a judgement"
        return DriftReport(Verdict.INCONCLUSIVE, profile.rows, (), message)
    compared = [(reference.features[i], np.array(reference.features[i].counts), profile.counts[i]) for i in chosen]
    p_values = np.array([p_value(ref, cur, feature.kind) for feature, ref, cur in compared])
    significant = _benjamini_hochberg(p_values, thresholds.fdr)
    level = thresholds.fdr / max(1, len(chosen))
    found = tuple(
        _feature_drift(feature, ref, cur, thresholds, level=level, p=float(p), significant=bool(sure))
        for (feature, ref, cur), p, sure in zip(compared, p_values, significant, strict=True)
    )
    verdict = Verdict.FAIL if any(feature.drifted for feature in found) else Verdict.PASS
    return DriftReport(verdict, profile.rows, found, _message(found, profile.rows))


def _chosen(reference: ReferenceProfile, features: Sequence[str] | None) -> list[int]:
    positions = {feature.name: i for i, feature in enumerate(reference.features)}
    unknown = [name for name in features or () if name not in positions]
    if unknown:
        raise ValidationError(f"expected features of the reference ({', '.join(positions)}), found {unknown}")
    return list(positions.values()) if features is None else [positions[name] for name in features]


def _feature_drift(
    feature: FeatureReference,
    reference: NDArray[np.int64],
    current: NDArray[np.int64],
    thresholds: Thresholds,
    *,
    level: float,
    p: float,
    significant: bool,
) -> FeatureDrift:
    n, m = int(reference.sum()), int(current.sum())
    groups = psi_groups(reference, feature.kind)
    cells = len(np.unique(groups[(reference + current) > 0]))
    noise = noise_ks(n, m, level, kind=feature.kind, cells=cells)
    ks_needs = max(thresholds.min_ks, noise, feature.block_ks)
    js_needs = max(thresholds.min_js, noise_js(n, m, level, cells=cells), feature.block_js)
    psi_needs = max(thresholds.min_psi, noise_psi(n, m, level, cells=cells), feature.block_psi)
    distances = ks(reference, current, feature.kind), js(reference, current, groups), psi(reference, current, groups)
    large = any(value >= needs for value, needs in zip(distances, (ks_needs, js_needs, psi_needs), strict=True))
    return FeatureDrift(feature.name, *distances, p, ks_needs, js_needs, psi_needs, drifted=significant and large)


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
