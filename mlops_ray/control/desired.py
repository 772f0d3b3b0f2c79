"""What the routes of a model should be, given where its rollout stands. Pure."""

from dataclasses import replace

from mlops_ray.rollout import Phase, RolloutState
from mlops_ray.store import RolloutRecord, RouteRecord

__all__ = ["PAIRED", "UNDO", "desired_route", "versions_kept", "versions_wanted"]

UNDO = "undo"
"""Key in a rollout's content: the route's `previous` when it began, to be put back when it is withdrawn."""
PAIRED = "paired"
"""Key in a rollout's content: the share of canary requests that the champion scores, too."""

_WANTED = (Phase.STARTING, Phase.CANARY, Phase.PAUSED, Phase.PROMOTING)
_WITHDRAWN = (Phase.ROLLING_BACK, Phase.ROLLED_BACK, Phase.ABORTED)


def desired_route(
    route: RouteRecord | None, rollout: RolloutRecord, state: RolloutState, now_s: float
) -> RouteRecord | None:
    """The next route record (epoch one higher), or None when the present one is as it should be."""
    base = route or RouteRecord(
        model=rollout.model, epoch=0, champion=None, canary=None, share=0.0, salt="", previous=None, updated_s=now_s
    )
    wanted = _wanted(base, rollout, state)
    return None if wanted == base else replace(wanted, epoch=base.epoch + 1, updated_s=now_s)


def versions_wanted(rollout: RolloutRecord, phase: Phase) -> set[int]:
    """Versions that need an application of their own in this phase."""
    if rollout.previous is None:
        return set()
    return {rollout.version} if phase in _WANTED else set()


def versions_kept(rollout: RolloutRecord, phase: Phase) -> set[int]:
    """Versions whose application stays if it is there: replicas ask it until they know that its share is 0."""
    if rollout.previous is not None and phase is Phase.ROLLING_BACK:
        return {rollout.version}
    return versions_wanted(rollout, phase)


def _wanted(base: RouteRecord, rollout: RolloutRecord, state: RolloutState) -> RouteRecord:
    phase = state.phase
    if phase in (Phase.CANARY, Phase.PAUSED) and (state.share > 0 or state.mirror > 0):
        paired = rollout.state.get(PAIRED, 0.0)
        return replace(
            base, canary=rollout.version, share=state.share, mirror=state.mirror, paired=paired, salt=rollout.id
        )
    if phase in (Phase.PROMOTING, Phase.COMPLETED):
        return _promoted(base, rollout)
    if phase in _WITHDRAWN and base.champion == rollout.version:
        undo = rollout.state.get(UNDO)
        return replace(_without_canary(base), champion=rollout.previous, previous=undo)
    if phase in _WITHDRAWN and base.canary == rollout.version:
        return _without_canary(base)
    return base


def _promoted(base: RouteRecord, rollout: RolloutRecord) -> RouteRecord:
    if base.champion == rollout.version:
        return _without_canary(base)
    return replace(_without_canary(base), champion=rollout.version, previous=base.champion)


def _without_canary(base: RouteRecord) -> RouteRecord:
    return replace(base, canary=None, share=0.0, mirror=0.0, paired=0.0)
