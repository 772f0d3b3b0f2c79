"""How the chances of wrong verdicts are shared among the metrics of a rollout."""

from dataclasses import dataclass
from typing import Self

from mlops_ray.spec import Outcome, Rollout

__all__ = ["Budget", "outcomes_of"]


@dataclass(frozen=True)
class Budget:
    """Levels of single tests."""

    critical: float
    """Of a test that rolls back: alpha over the number of such tests that are switched on."""
    reported: float
    """Of a test that only warns: alpha over the number of those."""
    beta: float
    """Of a PASS; not shared, since a version passes only when every metric does."""

    @classmethod
    def of(cls, rollout: Rollout) -> Self:
        """The budget of a rollout; from its spec alone, so that nothing that was seen changes it.

        >>> budget = Budget.of(Rollout())
        >>> budget.critical, round(budget.reported, 4), budget.beta
        (0.025, 0.0125, 0.05)
        """
        tests = _tests(rollout)
        critical = sum(tests)
        alpha = rollout.analysis.alpha
        return cls(
            critical=alpha / max(critical, 1),
            reported=alpha / max(len(tests) - critical, 1),
            beta=rollout.analysis.beta,
        )


def outcomes_of(rollout: Rollout) -> tuple[Outcome, ...]:
    """The outcomes that are guardrails: all but an AB test's primary one, and none of a shadow, which nobody labels."""
    if rollout.strategy == "shadow":
        return ()
    primary = rollout.ab.primary.name if rollout.ab is not None else None
    return tuple(outcome for outcome in rollout.analysis.outcomes if outcome.name != primary)


def _tests(rollout: Rollout) -> list[bool]:
    """Whether it is critical, for every test that is switched on. A query is no test: its bounds are its owner's."""
    analysis = rollout.analysis
    tests = [True]  # errors
    if rollout.strategy != "shadow":
        tests.append(True)  # the latency objective
    tests += [analysis.latency.critical] * len(analysis.latency.quantiles)
    if analysis.predictions.bins:
        tests.append(analysis.predictions.critical)
    if analysis.paired.max_disagreement is not None:
        tests.append(analysis.paired.critical)
    tests += [outcome.critical for outcome in outcomes_of(rollout)]
    if rollout.ab is not None:
        tests.append(True)  # the primary outcome
    return tests
