"""What a replica tells of its traffic since it told last."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from mlops_ray.telemetry.tally import Tally

__all__ = ["TrafficReport"]


@dataclass(frozen=True)
class TrafficReport:
    """Numbered by its replica, so that one that comes twice counts once."""

    replica: str
    number: int
    version: int
    """That the replica holds: a front door's champion, or the version under delivery."""
    role: str
    """`champion` for a front door, `version` for a version under delivery."""
    tally: Tally = field(default_factory=Tally)
    last_request_s: float | None = None
    """When the newest request in the tally was answered."""
    gauges: Mapping[str, float] = field(default_factory=dict)
    """By metric, what is true of the replica at the moment."""

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "replica": self.replica,
            "number": self.number,
            "version": self.version,
            "role": self.role,
            "tally": self.tally.to_json(),
            "last_request_s": self.last_request_s,
            "gauges": dict(self.gauges),
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        """The inverse of `to_json`."""
        return cls(**{**content, "tally": Tally.from_json(content["tally"])})
