"""From judgements to alerts: raised when k of the newest m judgements agree, resolved when none of m does."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from mlops_ray.drift.judge import DriftReport
from mlops_ray.verdict import Verdict

__all__ = ["Persistence"]


@dataclass(frozen=True)
class Persistence:
    """What the newest judgements said per feature, and which features are alerted right now."""

    recent: Mapping[str, tuple[bool, ...]] = field(default_factory=dict)
    """Oldest first, m at most."""
    raised: frozenset[str] = frozenset()

    @classmethod
    def none(cls) -> Self:
        """Nothing judged yet."""
        return cls()

    def update(
        self, report: DriftReport, *, persist: tuple[int, int]
    ) -> tuple["Persistence", tuple[str, ...], tuple[str, ...]]:
        """Take one more judgement in: (the new value, features raised now, features resolved now).

        Between "raised" and "resolved" lies a band in which nothing changes, so that a feature at the edge does not
        flap. An INCONCLUSIVE report changes nothing.
        """
        if report.verdict is Verdict.INCONCLUSIVE:
            return self, (), ()
        return self.judged({feature.name: feature.drifted for feature in report.features}, persist=persist)

    def judged(
        self, found: Mapping[str, bool], *, persist: tuple[int, int]
    ) -> tuple["Persistence", tuple[str, ...], tuple[str, ...]]:
        """The same of what one judgement said of each feature."""
        needed, kept = persist
        recent = dict(self.recent)
        for name, flag in found.items():
            recent[name] = (*recent.get(name, ()), flag)[-kept:]
        raised = tuple(name for name in found if name not in self.raised and sum(recent[name]) >= needed)
        resolved = tuple(name for name in found if name in self.raised and not any(recent[name]))
        return Persistence(recent, self.raised.union(raised).difference(resolved)), raised, resolved

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {"recent": {name: list(flags) for name, flags in self.recent.items()}, "raised": sorted(self.raised)}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        """The inverse of `to_json`."""
        recent = {name: tuple(flags) for name, flags in content["recent"].items()}
        return cls(recent=recent, raised=frozenset(content["raised"]))
