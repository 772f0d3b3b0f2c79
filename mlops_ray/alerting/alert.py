"""What a person is told."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

__all__ = ["Alert", "Severity"]

Severity = Literal["info", "warning", "critical"]


@dataclass(frozen=True)
class Alert:
    """One thing that a person should know, once: the same `id` means the same thing."""

    id: str
    model: str
    kind: str  # "drift", "decay", "rollback"
    severity: Severity
    message: str  # a sentence
    features: tuple[str, ...]  # which it is about, if any
    evidence: Mapping[str, Any]  # JSON values
    at_s: float
