"""What a rollout that ends undecided could have seen, in words."""

from mlops_ray.rollout.assess import Assessment
from mlops_ray.rollout.evidence import Evidence
from mlops_ray.rollout.power import smallest_detectable
from mlops_ray.spec import Rollout

__all__ = ["smallest_effects"]


def smallest_effects(evidence: Evidence, assessment: Assessment, rollout: Rollout) -> str:
    """The smallest error rate, and for undecided outcomes the smallest harm, that so much evidence shows.

    >>> from mlops_ray.rollout.assess import assess
    >>> nothing = Evidence.none(Rollout().analysis)
    >>> smallest_effects(nothing, assess(nothing, Rollout()), Rollout())
    'no rate of errors would have been found with so little traffic'
    """
    seen = evidence.errors
    found = smallest_detectable(
        seen.canary_requests, seen.champion_requests, champion_bad=seen.champion_bad, rollout=rollout
    )
    if found is None:
        parts = ["no rate of errors would have been found with so little traffic"]
    else:
        times = f" ({found.ratio:.3g} times the champion's)" if seen.champion_bad else ""
        parts = [f"errors of {found.canary_rate:.2%} and more{times} would probably have been found, fewer not"]
    for metric in assessment.metrics:
        if metric.holds and "lower" in metric.estimate:
            width = metric.estimate["harm"] - metric.estimate["lower"]
            parts.append(
                f"{metric.name}: a harm of {width:.3g} and more would probably have been found, a smaller one not"
            )
    return "; ".join(parts)
