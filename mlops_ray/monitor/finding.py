"""What a judge of served traffic finds wrong with a version."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

__all__ = ["Finding", "FindingKind"]

FindingKind = Literal[
    "data_quality",  # broken upstream: repair the data, never retrain on it
    "drift",  # features look different from the reference
    "prediction_drift",  # answers do
    "label_drift",  # outcomes do
    "concept_drift",  # the same features mean other outcomes: the error stream changed
    "decay",  # a metric on outcomes is worse than on the holdout
    "fairness",
    "attribution",  # the model reasons with other features than it did
    "operational",  # errors, latency, no traffic: retraining does not help
    "sample_ratio",
]
"""Each kind has an action of its own."""


@dataclass(frozen=True)
class Finding:
    """Something wrong with a version right now."""

    kind: FindingKind
    severity: Literal["info", "warning", "critical"]
    version: int
    message: str
    features: tuple[str, ...] = ()
    evidence: Mapping[str, Any] = field(default_factory=dict)
