"""The state of one rollout as a value: what the store keeps, and all that `advance` and `command` look at."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Self

from mlops_ray.rollout.evidence import Evidence
from mlops_ray.rollout.phase import Phase
from mlops_ray.spec import Analysis

__all__ = ["Mark", "Observation", "RolloutState", "begin", "moved"]


@dataclass(frozen=True)
class Mark:
    """One transition, as history tells it."""

    phase: Phase
    step: int
    share: float
    at_s: float
    reason: str
    mirror: float = 0.0


@dataclass(frozen=True)
class Observation:
    """What the cluster looks like right now."""

    approved: bool = False
    """Enough people said yes."""
    canary_ready: bool = False
    """Canary replicas answer their health checks."""
    canary_failed: str | None = None
    """Why the new version cannot run; None while it can."""
    promoted: bool = False
    """Every champion replica holds the new version."""
    withdrawn: bool = False
    """Share 0 has reached every replica."""


@dataclass(frozen=True)
class RolloutState:
    """Where a rollout stands, since when, and what it has seen."""

    phase: Phase
    step: int
    """Index into `rollout.plan`."""
    share: float
    """Share of the units that should be on the canary now; 0 outside CANARY, PAUSED and PROMOTING."""
    phase_since_s: float
    step_since_s: float
    """Start of the step's clock; a resumed step gets its time anew."""
    step_requests: int
    """Canary requests seen before the step began."""
    evidence: Evidence
    reason: str
    """Why the phase or step was entered."""
    history: tuple[Mark, ...]
    resume_to: Phase | None = None
    """Where `resume` leads; set in PAUSED only."""
    mirror: float = 0.0
    """Share of the requests that should be copied to the new version now; 0 outside CANARY and PAUSED."""

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        """The inverse of `to_json`."""
        resume_to = content["resume_to"]
        parts = {
            "phase": Phase(content["phase"]),
            "evidence": Evidence.from_json(content["evidence"]),
            "history": tuple(Mark(**{**mark, "phase": Phase(mark["phase"])}) for mark in content["history"]),
            "resume_to": None if resume_to is None else Phase(resume_to),
        }
        return cls(**{**content, **parts})


def begin(now_s: float, *, analysis: Analysis, needs_approval: bool) -> RolloutState:
    """The first state of a rollout: WAITING for people, or STARTING at once.

    >>> begin(0.0, analysis=Analysis(), needs_approval=False).phase.value
    'STARTING'
    """
    phase = Phase.WAITING if needs_approval else Phase.STARTING
    reason = "waits for approval" if needs_approval else "no approval needed"
    return RolloutState(
        phase=phase,
        step=0,
        share=0.0,
        phase_since_s=now_s,
        step_since_s=now_s,
        step_requests=0,
        evidence=Evidence.none(analysis),
        reason=reason,
        history=(Mark(phase, 0, 0.0, now_s, reason),),
    )


def moved(
    state: RolloutState,
    phase: Phase,
    now_s: float,
    reason: str,
    *,
    share: float = 0.0,
    mirror: float = 0.0,
    step: int | None = None,
) -> RolloutState:
    """The state after a transition, with its mark in the history; `step` starts that step's clock."""
    at = state.step if step is None else step
    entered = replace(
        state,
        phase=phase,
        step=at,
        share=share,
        mirror=mirror,
        phase_since_s=state.phase_since_s if phase is state.phase else now_s,
        reason=reason,
        history=(*state.history, Mark(phase, at, share, now_s, reason, mirror)),
        resume_to=None,
    )
    if step is None:
        return entered
    return replace(entered, step_since_s=now_s, step_requests=state.evidence.canary_requests)
