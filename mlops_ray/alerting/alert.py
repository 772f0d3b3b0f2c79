"""What a person is told: one thing about one alert, and the message it goes out in."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, Self

__all__ = ["Alert", "AlertEvent", "Message", "Severity", "rank"]

Severity = Literal["info", "warning", "critical"]
AlertEvent = Literal["raised", "updated", "escalated", "resolved", "repeated"]
"""updated: other features. escalated: more severe. repeated: it lasts, for receivers that forget."""

_ORDER: Sequence[str] = ("info", "warning", "critical")


def rank(severity: str) -> int:
    """How severe, from 0.

    >>> rank("info") < rank("warning") < rank("critical")
    True
    """
    return _ORDER.index(severity)


@dataclass(frozen=True)
class Alert:
    """An alert as it was at `at_s`; the same `id` means the same episode, from its first sign to its end."""

    id: str
    model: str
    kind: str  # "drift", "decay"
    severity: Severity
    message: str  # a sentence
    features: tuple[str, ...]  # which it is about, if any
    evidence: Mapping[str, Any]  # JSON values, see `mlops_ray.alerting.evidence`
    at_s: float
    version: int | None = None
    event: AlertEvent = "raised"
    raised_s: float = 0.0
    reason: str = ""  # why it is over
    severity_before: str = ""  # of one that escalated

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self) | {"evidence": dict(self.evidence), "features": list(self.features)}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        """The inverse of `to_json`."""
        return cls(**{**content, "features": tuple(content["features"])})


@dataclass(frozen=True)
class Message:
    """What a sink sends at once. A second sending of the same message has the same `id` and the same alerts."""

    id: str  # letters, digits, "-", "_" and "."
    model: str
    alerts: tuple[Alert, ...]  # at least one, oldest first
    at_s: float  # of the first attempt to send it
    sent_s: float  # of this one
    shown_features: int = 5
