"""Verdicts on metrics that count events: bad requests, slow answers, scores, disagreements."""

from collections.abc import Sequence

from mlops_ray.rollout.budget import Budget
from mlops_ray.rollout.evidence import Evidence
from mlops_ray.rollout.metric_assessment import Kind, MetricAssessment, e_value
from mlops_ray.rollout.metric_evidence import Exceedances, MetricEvidence
from mlops_ray.rollout.mixture import log_excess_factors, log_mean_exp, log_share_process
from mlops_ray.spec import Rollout
from mlops_ray.verdict import Verdict

__all__ = ["MIN_BAD_EVENTS", "event_metrics"]

MIN_BAD_EVENTS = 3
"""Bad canary events below which there is no FAIL."""


def event_metrics(evidence: Evidence, rollout: Rollout, budget: Budget) -> list[MetricAssessment]:
    """One assessment for each metric that is switched on and, unless it must, has seen something."""
    shares = [step.share for step in rollout.plan]
    metrics = [_bad_events("errors", evidence.errors, rollout, budget, shares)]
    if rollout.strategy != "shadow":
        metrics.append(_bad_events("latency", evidence.latency, rollout, budget, shares))
    if rollout.analysis.latency.quantiles:
        metrics += [_quantile(name, seen, rollout, budget) for name, seen in sorted(evidence.quantiles.items())]
    if rollout.analysis.predictions.bins and evidence.scores.bins:
        metrics.append(_predictions(evidence, rollout, budget))
    if evidence.paired[0] or _paired_is_needed(evidence, rollout):
        metrics.append(_paired(evidence, rollout, budget))
    return metrics


def _bad_events(
    kind: Kind, seen: MetricEvidence, rollout: Rollout, budget: Budget, shares: Sequence[float]
) -> MetricAssessment:
    """On errors or slow answers; `shares` are those of the plan's steps."""
    log_fine = log_mean_exp((log_mean_exp(seen.fine), seen.absolute))
    e_worse, e_fine = e_value(_log_worse(seen, shares)), e_value(log_fine)
    worse_needs, fine_needs = 1.0 / budget.critical, 1.0 / budget.beta
    counts = f"{kind}: {_counts(seen, rollout)}"
    if e_worse >= worse_needs and seen.canary_bad >= MIN_BAD_EVENTS:
        verdict, message = Verdict.FAIL, f"{counts}: worse (evidence {e_worse:.1f}, needs {worse_needs:.1f})"
    elif e_fine >= fine_needs and _repeats_too_often(seen, rollout):
        verdict, message = Verdict.INCONCLUSIVE, f"{counts}: undecided, units that fail do so again and again"
    elif e_fine >= fine_needs:
        verdict, message = Verdict.PASS, f"{counts}: fine (evidence {e_fine:.1f}, needs {fine_needs:.1f})"
    else:
        verdict = Verdict.INCONCLUSIVE
        message = (
            f"{counts}: undecided (evidence for worse {e_worse:.2f} of {worse_needs:.1f}, "
            f"for fine {e_fine:.2f} of {fine_needs:.1f})"
        )
    return MetricAssessment(
        name=kind,
        kind=kind,
        critical=True,
        holds=verdict is not Verdict.PASS,
        verdict=verdict,
        message=message,
        estimate={
            "canary_bad": seen.canary_bad,
            "champion_bad": seen.champion_bad,
            "canary_share": _share(seen.canary_bad + seen.canary_repeated, seen.canary_requests),
            "champion_share": _share(seen.champion_bad + seen.champion_repeated, seen.champion_requests),
        },
        must_have_data=True,
        e_worse=e_worse,
        e_fine=e_fine,
    )


def _log_worse(seen: MetricEvidence, shares: Sequence[float]) -> float:
    """The ratio process, the process where all units are on the canary, or the mean of both; the plan says which."""
    ratio, excess = log_mean_exp(seen.worse), log_mean_exp(seen.excess)
    if all(share < 1.0 for share in shares):
        return ratio
    return excess if all(share >= 1.0 for share in shares) else log_mean_exp((ratio, excess))


def _repeats_too_often(seen: MetricEvidence, rollout: Rollout) -> bool:
    """Whether all bad requests, repeated ones too, are too many by both measures: share and ratio."""
    analysis, (canary, champion) = rollout.analysis, seen.compared_bad
    share = _share(seen.canary_bad + seen.canary_repeated, seen.canary_requests)
    return share >= analysis.max_bad_share and canary >= analysis.max_ratio * champion


def _counts(seen: MetricEvidence, rollout: Rollout) -> str:
    more = f" and {seen.canary_repeated:,} more of the same units" if seen.canary_repeated else ""
    canary = f"{seen.canary_bad:,} of {seen.canary_requests:,} on the canary{more}"
    if not seen.champion_requests and seen.canary_requests:
        return f"{canary}, held against a share of {rollout.analysis.max_bad_share:g}"
    return f"{canary}, {seen.champion_bad:,} of {seen.champion_requests:,} on the champion"


def _quantile(name: str, seen: Exceedances, rollout: Rollout, budget: Budget) -> MetricAssessment:
    critical = rollout.analysis.latency.critical
    e_worse, needs = e_value(log_mean_exp(seen.worse)), 1.0 / (budget.critical if critical else budget.reported)
    failed = e_worse >= needs and seen.canary_above >= MIN_BAD_EVENTS
    return MetricAssessment(
        name=f"time_{name}",
        kind="quantile",
        critical=critical,
        holds=False,
        verdict=Verdict.FAIL if failed else Verdict.INCONCLUSIVE,
        message=f"time in the model: {seen.canary_above:,} of {seen.canary_requests:,} on the canary well above the "
        f"champion's {name}, {seen.champion_above:,} of {seen.champion_requests:,} on the champion above it: "
        f"{_alarm(failed, 'slower', e_worse, needs)}",
        estimate={
            "canary_share": _share(seen.canary_above, seen.canary_requests),
            "champion_share": _share(seen.champion_above, seen.champion_requests),
        },
        e_worse=e_worse,
    )


def _predictions(evidence: Evidence, rollout: Rollout, budget: Budget) -> MetricAssessment:
    critical = rollout.analysis.predictions.critical
    scores = evidence.scores
    e_worse, needs = e_value(scores.log_e), 1.0 / (budget.critical if critical else budget.reported)
    failed = e_worse >= needs
    return MetricAssessment(
        name="predictions",
        kind="predictions",
        critical=critical,
        holds=False,
        verdict=Verdict.FAIL if failed else Verdict.INCONCLUSIVE,
        message=f"predictions: {scores.distance:.1%} of {sum(scores.canary):,} units on the canary in other bins than "
        f"those of {sum(scores.champion):,} on the champion: {_alarm(failed, 'distributed otherwise', e_worse, needs)}",
        estimate={"distance": scores.distance},
        e_worse=e_worse,
    )


def _paired_is_needed(evidence: Evidence, rollout: Rollout) -> bool:
    """Whether a PASS waits for a PASS of the paired scores."""
    paired = rollout.analysis.paired
    if paired.max_disagreement is None or not paired.critical or rollout.strategy == "ab":
        return False
    return rollout.strategy == "shadow" or evidence.paired[0] > 0


def _paired(evidence: Evidence, rollout: Rollout, budget: Budget) -> MetricAssessment:
    requests, disagreeing = evidence.paired
    bound, share = rollout.analysis.paired.max_disagreement, _share(disagreeing, requests)
    counts = f"paired: {disagreeing:,} of {requests:,} requests scored by both versions disagree"
    critical, e_worse, e_fine = rollout.analysis.paired.critical, 1.0, 1.0
    if bound is None:
        verdict, critical, message = Verdict.INCONCLUSIVE, False, f"{counts}; no bound is set"
    else:
        e_worse = e_value(log_mean_exp(log_excess_factors(disagreeing, requests, null_share=bound)))
        e_fine = e_value(log_share_process(disagreeing, requests, null_share=bound))
        needs = 1.0 / (budget.critical if critical else budget.reported)
        verdict = _verdict(e_worse >= needs and disagreeing >= MIN_BAD_EVENTS, e_fine >= 1.0 / budget.beta)
        message = (
            f"{counts}, at most {bound:g} allowed: {_WORDS[verdict]} (evidence for more {e_worse:.2f} of {needs:.1f}, "
            f"for less {e_fine:.2f} of {1.0 / budget.beta:.1f})"
        )
    return MetricAssessment(
        name="paired",
        kind="paired",
        critical=critical,
        holds=_paired_is_needed(evidence, rollout) and verdict is not Verdict.PASS,
        verdict=verdict,
        message=message,
        estimate={"disagreement": share},
        e_worse=e_worse,
        e_fine=e_fine,
    )


_WORDS = {Verdict.FAIL: "too many", Verdict.PASS: "fine", Verdict.INCONCLUSIVE: "undecided"}


def _verdict(failed: bool, passed: bool) -> Verdict:
    if failed:
        return Verdict.FAIL
    return Verdict.PASS if passed else Verdict.INCONCLUSIVE


def _alarm(failed: bool, what: str, e_worse: float, needs: float) -> str:
    return f"{what if failed else 'no sign of harm'} (evidence {e_worse:.2f}, needs {needs:.1f})"


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 0.0
