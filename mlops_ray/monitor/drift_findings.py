"""What drifted or broke, as findings that say it in words and bring pictures."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

from mlops_ray.drift import DomainCheck, DriftReport, FeatureDrift, Profile, QualityProblem, ReferenceProfile, histogram
from mlops_ray.monitor.finding import Finding
from mlops_ray.monitor.sample_rows import Floats, SampleRows, broken, grown
from mlops_ray.monitor.yardstick import PREDICTION
from mlops_ray.spec import Thresholds

__all__ = ["Seen", "drift_finding", "prediction_finding", "quality_finding"]

_NAMED = 5
_PICTURES = 5


@dataclass(frozen=True)
class Seen:
    """The window that was judged."""

    model: str
    version: int
    reference: ReferenceProfile
    profile: Profile
    from_s: float
    to_s: float
    newest: Callable[[], SampleRows] | None = None
    """Gives the newest rows, where people may see some; most judgements find nothing to show."""

    @cached_property
    def recent(self) -> SampleRows | None:
        """The newest rows."""
        return None if self.newest is None else self.newest()

    def evidence(self, features: Sequence[str], weights: Sequence[Floats]) -> dict[str, Any]:
        """Rows, time, the shares of the first features in the reference and the window, and the rows of most weight."""
        pictures = [histogram(self.reference, self.profile, name) for name in features[:_PICTURES]]
        found = {"rows": self.profile.rows, "from_s": self.from_s, "to_s": self.to_s, "histograms": pictures}
        return found if self.recent is None else {**found, "samples": self.recent.told(features, weights)}

    def broken(self, problems: Sequence[QualityProblem]) -> list[Floats]:
        """For each broken column whose values people may see, which of the newest rows are broken."""
        values = {} if self.recent is None else self.recent.values
        known = {feature.name: feature for feature in self.reference.features}
        return [broken(p, known[p.feature], values[p.feature]) for p in problems if p.feature in values]

    def grown(self, features: Sequence[str]) -> list[Floats]:
        """For each feature whose values people may see, how much more usual than before each newest row's value is."""
        values = {} if self.recent is None else self.recent.values
        places = {feature.name: (feature, place) for place, feature in enumerate(self.reference.features)}
        return [
            grown(places[name][0], self.profile, places[name][1], values[name]) for name in features if name in values
        ]


def quality_finding(seen: Seen, problems: Sequence[QualityProblem], raised: Collection[str]) -> Finding | None:
    """The broken columns; `raised` may name some that the newest look no longer finds broken."""
    if not raised:
        return None
    now = sorted((p for p in problems if p.feature in raised), key=lambda p: (-_importance(seen, p.feature), p.feature))
    names = [p.feature for p in now] + sorted(set(raised) - {p.feature for p in now})
    said = (
        "; ".join(problem.message for problem in now[:_NAMED])
        or f"{', '.join(names)}: no more, but broken rows are still in the window"
    )
    more = f"; and {len(now) - _NAMED} more" if len(now) > _NAMED else ""
    evidence = seen.evidence(names, seen.broken(now)) | {"problems": [problem.to_json() for problem in now]}
    message = (
        f"{len(names)} broken column{'s' if len(names) > 1 else ''} in what {seen.model} v{seen.version} is sent: "
    )
    return Finding("data_quality", "critical", seen.version, message + said + more, tuple(names), evidence)


def drift_finding(
    seen: Seen, report: DriftReport, raised: Collection[str], thresholds: Thresholds, together: DomainCheck | None
) -> Finding | None:
    """Features that drifted, those first that the model relies on; or all of them together, where none did alone."""
    features = [f for f in report.features if f.name != PREDICTION]
    drifted = sorted((f for f in features if f.name in raised), key=_weight)
    if not drifted and together is None:
        return None
    names = tuple(f.name for f in drifted)
    evidence = seen.evidence(names, seen.grown(names))
    evidence |= {"features": [_numbers(f) for f in drifted], "thresholds": _limits(thresholds)}
    if together is not None:
        evidence["multivariate"] = together.to_json()
        if not drifted:
            return _together(seen, evidence, together)
    shown = ", ".join(_described(f) for f in drifted[:_NAMED])
    more = f" and {len(drifted) - _NAMED} more" if len(drifted) > _NAMED else ""
    share = sum(f.importance or 0.0 for f in drifted)
    relied = f"; the model relies on them for {share:.0%}" if share else ""
    severity: Literal["critical", "warning"] = "critical" if share >= thresholds.critical_importance else "warning"
    message = (
        f"{len(drifted)} of {len(features)} features of {seen.model} v{seen.version} drifted: {shown}{more}{relied}"
    )
    return Finding("drift", severity, seen.version, message, names, evidence)


def prediction_finding(seen: Seen, report: DriftReport, raised: Collection[str]) -> Finding | None:
    """Answers that drifted."""
    found = [f for f in report.features if f.name == PREDICTION and f.name in raised]
    if not found:
        return None
    message = f"answers of {seen.model} v{seen.version} drifted: {_described(found[0])}"
    evidence = seen.evidence([PREDICTION], seen.grown([PREDICTION])) | {"features": [_numbers(found[0])]}
    return Finding("prediction_drift", "warning", seen.version, message, (PREDICTION,), evidence)


def _together(seen: Seen, evidence: dict[str, Any], check: DomainCheck) -> Finding:
    message = (
        f"rows of {seen.model} v{seen.version} are told from those of the training (area under the curve "
        f"{check.auc:.2f}), though no feature drifted by itself: they go together in another way"
    )
    return Finding("drift", "warning", seen.version, message, (), evidence)


def _importance(seen: Seen, name: str) -> float:
    return next((f.importance or 0.0 for f in seen.reference.features if f.name == name), 0.0)


def _weight(feature: FeatureDrift) -> tuple[float, float, str]:
    known = feature.importance is not None
    return -(feature.importance or 0.0) * feature.strength if known else 0.0, -feature.strength, feature.name


def _described(feature: FeatureDrift) -> str:
    moved = f", mean {feature.mean_shift:+.2f} sd" if feature.mean_shift is not None else ""
    return f"{feature.name} (KS {feature.ks:.2f}, PSI {feature.psi:.2f}{moved})"


def _numbers(feature: FeatureDrift) -> dict[str, Any]:
    return {name: value for name, value in vars(feature).items() if value is not None}


def _limits(thresholds: Thresholds) -> dict[str, Any]:
    return thresholds.model_dump(mode="json")
