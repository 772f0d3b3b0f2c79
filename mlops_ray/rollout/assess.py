"""The verdict on a canary, valid at any time and however often it is asked for.

FAIL: for one of the k metrics, the e-process against "the canary's bad events are at most tolerated_ratio times the
champion's" reaches k / alpha. A canary within the tolerated ratio ever gets a FAIL with probability at most alpha
(Ville for each metric, and the union over k). Three bad canary events are needed at least, so that no verdict hangs on
one or two requests; that only makes a FAIL rarer.

PASS: every metric is fine. A metric is unacceptable when its ratio is at least max_ratio AND its share of bad events
is at least max_bad_share. Under that null both e-processes, the one against the ratio and the one against the share,
are supermartingales from 1, hence their mean is, and it ever reaches 1 / beta with probability at most beta. A canary
is promoted only when all metrics are fine, so one that is unacceptable in any metric is promoted with probability at
most beta, and beta is not divided by k. Either part can carry the mean alone: a busy champion with errors of its own
shows by the ratio that the canary is no worse, and where neither side ever fails the share does: with the defaults
(beta = .05, max_bad_share = .02) a canary passes after N = 221 requests without a single bad event.

Everything else is INCONCLUSIVE, no evidence first of all.
"""

import math
from dataclasses import dataclass

from mlops_ray.rollout.evidence import Evidence, MetricEvidence
from mlops_ray.rollout.mixture import log_mean_exp
from mlops_ray.spec import Analysis
from mlops_ray.verdict import Verdict

__all__ = ["MIN_BAD_EVENTS", "Assessment", "MetricAssessment", "assess"]

MIN_BAD_EVENTS = 3
"""Bad canary events below which there is no FAIL."""

_LARGEST_LOG = 700.0  # exp of more does not fit a float, and no threshold is near it


@dataclass(frozen=True)
class MetricAssessment:
    """The verdict on one kind of bad event."""

    name: str
    verdict: Verdict
    e_worse: float
    """Evidence that the canary is worse than tolerated (1 = none); FAIL at k / alpha."""
    e_fine: float
    """Evidence that the canary is acceptable (1 = none); PASS at 1 / beta."""
    canary_bad: int
    champion_bad: int
    message: str


@dataclass(frozen=True)
class Assessment:
    """The verdict on a canary, with a sentence that says why."""

    verdict: Verdict
    reason: str
    metrics: tuple[MetricAssessment, ...]


def assess(evidence: Evidence, analysis: Analysis) -> Assessment:
    """Judge what was seen; see the module for what the verdicts guarantee.

    >>> from mlops_ray.rollout.evidence import Block, fold
    >>> nothing = Evidence.none(Analysis())
    >>> assess(nothing, Analysis()).verdict.value
    'INCONCLUSIVE'
    >>> assess(fold(nothing, Block(220, 4000, 0, 0, 0, 0), Analysis()), Analysis()).verdict.value
    'INCONCLUSIVE'
    >>> assess(fold(nothing, Block(221, 4000, 0, 0, 0, 0), Analysis()), Analysis()).verdict.value
    'PASS'
    >>> print(assess(fold(nothing, Block(4, 76, 4, 0, 0, 0), Analysis()), Analysis()).reason)
    errors: 4 of 4 on the canary, 0 of 76 on the champion: worse (evidence 377.2, needs 40.0)
    """
    named = {"errors": evidence.errors, "latency": evidence.latency}
    metrics = tuple(_metric(name, metric, evidence, analysis, among=len(named)) for name, metric in named.items())
    verdict = _overall(metrics)
    deciding = [metric.message for metric in metrics if metric.verdict is verdict]
    return Assessment(verdict=verdict, reason="; ".join(deciding), metrics=metrics)


def _overall(metrics: tuple[MetricAssessment, ...]) -> Verdict:
    verdicts = {metric.verdict for metric in metrics}
    if Verdict.FAIL in verdicts:
        return Verdict.FAIL
    return Verdict.PASS if verdicts == {Verdict.PASS} else Verdict.INCONCLUSIVE


def _metric(
    name: str, metric: MetricEvidence, evidence: Evidence, analysis: Analysis, *, among: int
) -> MetricAssessment:
    log_worse = log_mean_exp(metric.worse)
    log_fine = log_mean_exp((log_mean_exp(metric.fine), metric.absolute))
    worse_needs, fine_needs = among / analysis.alpha, 1.0 / analysis.beta
    e_worse, e_fine = _exp(log_worse), _exp(log_fine)
    counts = (
        f"{name}: {metric.canary_bad:,} of {evidence.canary_requests:,} on the canary{_more(metric)}, "
        f"{metric.champion_bad:,} of {evidence.champion_requests:,} on the champion"
    )
    if e_worse >= worse_needs and metric.canary_bad >= MIN_BAD_EVENTS:
        verdict, message = Verdict.FAIL, f"{counts}: worse (evidence {e_worse:.1f}, needs {worse_needs:.1f})"
    elif e_fine >= fine_needs:
        verdict, message = Verdict.PASS, f"{counts}: fine (evidence {e_fine:.1f}, needs {fine_needs:.1f})"
    else:
        verdict = Verdict.INCONCLUSIVE
        message = (
            f"{counts}: undecided (evidence for worse {e_worse:.2f} of {worse_needs:.1f}, "
            f"for fine {e_fine:.2f} of {fine_needs:.1f})"
        )
    return MetricAssessment(name, verdict, e_worse, e_fine, metric.canary_bad, metric.champion_bad, message)


def _exp(log_value: float) -> float:
    return math.exp(min(log_value, _LARGEST_LOG))


def _more(metric: MetricEvidence) -> str:
    return f" and {metric.canary_repeated:,} more of the same units" if metric.canary_repeated else ""
