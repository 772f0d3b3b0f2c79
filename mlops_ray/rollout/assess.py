"""The verdict on a new version, valid at any time and however often it is asked for.

FAIL: a critical metric is worse than it may be. k critical tests are switched on (`Budget`), and each gets alpha / k:
an e-process has to reach k / alpha, the lower limit of a confidence sequence holds at all looks with 1 - alpha / k. So
a version that is as good as the champion in every one of them ever gets a FAIL with probability at most alpha, over all
metrics, steps and looks (Ville for each test, and the union over the k). As good means:

- errors, latency objective: the rate is at most tolerated_ratio times the champion's while both have units. Where all
  units are on the new version nothing can be compared, and as good means a share of at most max_bad_share there. A plan
  with both kinds of steps has a process for each of them, both supermartingales from 1 under that null, and their mean
  is one too: it is what is judged, so that a version that did well at small shares has no credit when it breaks under
  the full load. (The product would be a supermartingale as well, but pays for all the evidence there was for "fine".)
- time in the model: above the shifted quantile no more often than the champion above its own;
- predictions: scores distributed alike; paired: at most max_disagreement of requests disagree;
- outcomes: the harm is at most 0 (asymptotically in the number of labels, see `mlops_ray.rollout.harm`).

Three bad canary events are needed at least, so that no verdict hangs on one or two requests, and an outcome's estimated
harm has to reach max_harm; both only make a FAIL rarer. Queries are no tests: their bounds are rules of whoever set
them, outside of alpha. A metric that is not critical never decides. Its FAIL is a warning; these share an alpha of
their own in the same way.

PASS: everything that has to be fine is. A version is unacceptable in errors (or the latency objective) when its ratio
is at least max_ratio AND its share of bad events is at least max_bad_share. Under that null both e-processes, the one
against the ratio and the one against the share, are supermartingales from 1, hence their mean is, and it ever reaches
1 / beta with probability at most beta. It is unacceptable in paired scores when max_disagreement of them disagree, in
an outcome when the harm is max_harm, and in the primary outcome of an AB test when it is not better at all; each of
these is taken for fine with probability at most beta. A version passes only when all that have to are fine, so one that
is unacceptable in any of them is promoted with probability at most beta, and beta is not divided. The ratio is that of
units that fail, each counted once; bad requests that few units repeat are many only by estimate, and hold a PASS back
as long as their share and their ratio are too large, which makes it rarer still. Either part of the
mean can carry it alone: a busy champion with errors of its own shows by the ratio that the canary is no worse, and
where neither side ever fails the share does: with the defaults (beta = .05, max_bad_share = .02) a canary passes after
N = 221 requests without a single bad event.

What has to be fine: errors, always; the latency objective, except for a shadow, whose copies nobody waits for; paired
scores when they are bounded and critical, for a shadow always and for others once there are any; critical outcomes and
queries once there is enough to judge them by, and those that must have data in any case. In an AB test the primary
outcome has to be better; the other outcomes and paired scores are guardrails there, which can FAIL and are not waited
for. A shadow has no outcomes, since no user sees its answers. Time
in the model and predictions are never waited for.

Everything else is INCONCLUSIVE, no evidence first of all.
"""

from dataclasses import dataclass

from mlops_ray.rollout.budget import Budget
from mlops_ray.rollout.event_metrics import event_metrics
from mlops_ray.rollout.evidence import Evidence
from mlops_ray.rollout.metric_assessment import MetricAssessment
from mlops_ray.rollout.outcome_metrics import outcome_metrics
from mlops_ray.spec import Rollout
from mlops_ray.verdict import Verdict

__all__ = ["Assessment", "assess"]


@dataclass(frozen=True)
class Assessment:
    """The verdict on a new version, with a sentence that says why."""

    verdict: Verdict
    reason: str
    metrics: tuple[MetricAssessment, ...]
    warnings: tuple[str, ...] = ()
    """What people should look at, and what decides nothing."""


def assess(evidence: Evidence, rollout: Rollout) -> Assessment:
    """Judge what was seen; see the module for what the verdicts guarantee.

    >>> from mlops_ray.rollout.evidence import fold
    >>> from mlops_ray.rollout.block import Block
    >>> rollout = Rollout()
    >>> nothing = Evidence.none(rollout.analysis)
    >>> assess(nothing, rollout).verdict.value
    'INCONCLUSIVE'
    >>> after = lambda *counts: assess(fold(nothing, Block(*counts, share=0.05), rollout.analysis), rollout)
    >>> after(220, 4000, 0, 0, 0, 0).verdict.value, after(221, 4000, 0, 0, 0, 0).verdict.value
    ('INCONCLUSIVE', 'PASS')
    >>> print(after(4, 76, 4, 0, 0, 0).reason)
    errors: 4 of 4 on the canary, 0 of 76 on the champion: worse (evidence 377.2, needs 40.0)
    """
    budget = Budget.of(rollout)
    metrics = (*event_metrics(evidence, rollout, budget), *outcome_metrics(evidence, rollout, budget))
    failed = [metric for metric in metrics if metric.critical and metric.verdict is Verdict.FAIL]
    holding = [metric for metric in metrics if metric.holds]
    if failed:
        verdict, deciding = Verdict.FAIL, failed
    elif holding:
        verdict, deciding = Verdict.INCONCLUSIVE, holding
    else:
        passed = [metric for metric in metrics if metric.critical and metric.verdict is Verdict.PASS]
        verdict, deciding = Verdict.PASS, passed
    return Assessment(
        verdict=verdict,
        reason="; ".join(metric.message for metric in deciding),
        metrics=metrics,
        warnings=tuple(m.message for m in metrics if not m.critical and m.verdict is Verdict.FAIL),
    )
