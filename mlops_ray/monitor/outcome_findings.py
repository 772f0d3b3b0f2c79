"""What is wrong with a version by its outcomes: from a report to findings, or to the end of one. Pure.

Each function gives a `Finding`, an `AllClear`, or None where nothing changes: between the two an alert stays as it is,
so that a metric at the edge does not flap.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from mlops_ray.evaluation import drop_of
from mlops_ray.monitor.finding import Finding, FindingKind
from mlops_ray.monitor.outcome_report import OutcomeReport
from mlops_ray.monitor.reference import Watched
from mlops_ray.monitor.wrong_rows import features_of
from mlops_ray.spec import Fairness, ModelSpec
from mlops_ray.verdict import Verdict

__all__ = ["AllClear", "Judgement", "concept_drift", "decay", "is_another", "label_drift", "unfairness"]

_CLEAR_AT = 0.75  # of the distance that counts
_EXCESS = "errors above those of other rows"


@dataclass(frozen=True)
class AllClear:
    """An alert of that kind has no reason any more."""

    kind: FindingKind
    reason: str


Judgement = Finding | AllClear | None


def decay(spec: ModelSpec, watched: Watched, seen: OutcomeReport) -> Judgement:
    """Worse than on the holdout by more than `max_drop`, and by more than chance explains."""
    settings, task, performance = spec.monitor.labels.decay, spec.train.task, seen.performance
    if settings is None or performance.rows < settings.min_labels:
        return None
    known, now = watched.metrics.get(settings.metric), performance.metrics.get(settings.metric)
    if known is None or now is None:
        return None
    drop = drop_of(settings.metric, task, known=known, now=now)
    if drop <= settings.max_drop / 2:
        return AllClear("decay", f"{settings.metric} is {now:.4f} again")
    limits = performance.limits.get(settings.metric)
    if drop <= settings.max_drop or limits is None or drop <= _by_chance(now, known, limits, watched, performance.rows):
        return None
    message = (
        f"{settings.metric} of {spec.name} v{performance.version} is {now:.4f} on {performance.rows} labelled rows, "
        f"{known:.4f} on the holdout; worse by more than {settings.max_drop:g} ({settings.level:.0%} interval "
        f"{limits[0]:.4f} to {limits[1]:.4f}){_worst(seen)}"
    )
    evidence = {"since_s": seen.since_s, "until_s": seen.until_s, **_evidence(watched, seen)}
    return Finding("decay", "critical", performance.version, message, evidence=evidence)


def _by_chance(now: float, known: float, limits: tuple[float, float], watched: Watched, rows: int) -> float:
    """How large a drop chance alone explains: the interval's side towards the holdout's value, and wider by as much as
    that value is uncertain itself, which was measured on other rows of the same kind."""
    side = limits[1] - now if known > now else now - limits[0]
    held = watched.holdout.rows if watched.holdout is not None else None
    return side if held is None else side * float((1 + rows / held) ** 0.5)


def concept_drift(spec: ModelSpec, watched: Watched, seen: OutcomeReport, *, base: float | None) -> Judgement:
    """What the test on the stream of errors says; `base` is the error rate it takes for none."""
    stream = seen.errors
    if stream is None or base is None or not stream.seen:
        return None
    if stream.level == "stable":
        return AllClear("concept_drift", "errors are as frequent as on the holdout again")
    run_length = spec.monitor.labels.concept_drift.run_length
    if stream.level == "warning":
        run_length = spec.monitor.labels.concept_drift.warning_run_length
    message = (
        f"errors of {spec.name} v{watched.version} became more frequent than {base:.3f}, the most that its holdout "
        f"lets expect: {stream.level} level since label {stream.since} of {stream.seen}; without drift this happens "
        f"once in {run_length:,} labels or less often{_worst(seen)}"
    )
    severity: Literal["critical", "warning"] = "critical" if stream.level == "drift" else "warning"
    evidence = {"base": base, "errors": stream.to_json(), **_evidence(watched, seen)}
    return Finding("concept_drift", severity, watched.version, message, evidence=evidence)


def label_drift(spec: ModelSpec, watched: Watched, seen: OutcomeReport) -> Judgement:
    """Outcomes that are distributed unlike the training's."""
    found = seen.labels
    if found is None:
        return None
    if found.drifted:
        message = (
            f"outcomes of {spec.name} v{watched.version} are not distributed as in its training: distance "
            f"{found.distance:.3f} on {found.labels} labels (at least {found.low:.3f} with 95 % confidence), "
            f"{found.floor:.3f} counts"
        )
        return Finding("label_drift", "warning", watched.version, message, evidence=asdict(found))
    if found.distance < _CLEAR_AT * found.floor:
        return AllClear("label_drift", f"the distance to the training is {found.distance:.3f} again")
    return None


def unfairness(spec: ModelSpec, watched: Watched, seen: OutcomeReport) -> Judgement:
    """Limits of fairness that are surely broken; over when each value is within its limit again."""
    limits = {limit.name: limit for limit in spec.fairness}
    broken = [result for result in seen.fairness if result.verdict is Verdict.FAIL]
    if broken:
        message = f"{spec.name} v{watched.version}: " + "; ".join(result.message for result in broken)
        features = tuple(dict.fromkeys(limits[result.name].attribute for result in broken))
        evidence = {"fairness": [{**asdict(result), "verdict": result.verdict.value} for result in broken]}
        return Finding("fairness", "critical", watched.version, message, features, evidence)
    values = [(limits[result.name], result.value) for result in seen.fairness if result.value is not None]
    if values and all(_within(limit, value) for limit, value in values):
        return AllClear("fairness", "every limit of fairness is kept again")
    return None


def is_another(severity: str, evidence: Mapping[str, Any], finding: Finding) -> bool:
    """Whether a finding says more than the open alert of its kind: it is graver, there are twice the alarms, or none of
    the rows that were looked at then is among those of now.

    So errors that stay frequent are told again, ever more seldom, and decay that nobody could end once in all windows.
    """
    if severity == "warning" and finding.severity == "critical":
        return True
    until_s, since_s = evidence.get("until_s"), finding.evidence.get("since_s")
    if until_s is not None and since_s is not None:
        return bool(since_s >= until_s)
    before, now = evidence.get("errors"), finding.evidence.get("errors")
    return before is not None and now is not None and now["alarms"] >= 2 * max(1, before["alarms"])


def _within(limit: Fairness, value: float) -> bool:
    return value <= limit.max if limit.max is not None else value >= (limit.min or 0.0)


def _worst(seen: OutcomeReport) -> str:
    """Where answers are wrong most often, if anywhere."""
    if not seen.slices:
        return ""
    first = seen.slices[0]
    return f"; worst where {' and '.join(first.conditions)} ({first.error:.1%} wrong of {first.rows} rows)"


def _evidence(watched: Watched, seen: OutcomeReport) -> dict[str, Any]:
    """Of a performance, with the slices that are worst, their features, and rows that were answered wrong."""
    evidence = {**asdict(seen.performance), "slices": [asdict(found) for found in seen.slices]}
    features: dict[str, float] = {}
    for found in seen.slices:
        for name in features_of(found, watched):
            features[name] = max(features.get(name, 0.0), found.excess)
    if features:
        evidence["features"] = [{"name": n, "measure": _EXCESS, "value": value} for n, value in features.items()]
    if seen.samples:
        evidence["samples"] = list(seen.samples)
    return evidence
