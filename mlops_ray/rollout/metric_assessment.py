"""The verdict on one metric, as a value."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from mlops_ray.verdict import Verdict

__all__ = ["Kind", "MetricAssessment", "e_value"]

Kind = Literal["errors", "latency", "quantile", "predictions", "paired", "outcome", "promql"]

_LARGEST_LOG = 700.0  # exp of more does not fit a float, and no threshold is near it


@dataclass(frozen=True)
class MetricAssessment:
    """What one metric says."""

    name: str
    kind: Kind
    critical: bool
    """Whether its FAIL rolls back; else it is only reported."""
    holds: bool
    """Whether there is no PASS of the version as long as this metric stays as it is."""
    verdict: Verdict
    message: str
    estimate: Mapping[str, float] = field(default_factory=dict)
    """What was counted or estimated, by name."""
    must_have_data: bool = False
    """Whether there is no PASS of the version without data for this metric."""
    e_worse: float = 1.0
    """Evidence that the version is worse than it may be (1 = none), where the metric is an e-process."""
    e_fine: float = 1.0
    """Evidence that it is acceptable."""


def e_value(log: float) -> float:
    """exp, capped where floats end."""
    return math.exp(min(log, _LARGEST_LOG))
