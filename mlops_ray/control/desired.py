"""What the routes of a model should be, given where its rollout stands. Pure."""

from dataclasses import replace

from mlops_ray.rollout import Phase, RolloutState
from mlops_ray.store import RolloutRecord, RouteRecord

__all__ = ["desired_route", "versions_wanted"]

_WITH_CANARY = (Phase.CANARY, Phase.PAUSED)


def desired_route(
    route: RouteRecord | None, rollout: RolloutRecord, state: RolloutState, now_s: float
) -> RouteRecord | None:
    """The next route record (epoch one higher), or None when the present one is as it should be."""
    base = route or RouteRecord(
        model=rollout.model, epoch=0, champion=None, canary=None, share=0.0, salt="", previous=None, updated_s=now_s
    )
    wanted = _wanted(base, rollout, state)
    if (wanted.champion, wanted.canary, wanted.share) == (base.champion, base.canary, base.share):
        return None
    return replace(wanted, epoch=base.epoch + 1, updated_s=now_s)


def versions_wanted(rollout: RolloutRecord, phase: Phase) -> set[int]:
    """Versions that need an application of their own in this phase."""
    if rollout.previous is None:
        return set()
    return {rollout.version} if phase in (Phase.STARTING, Phase.CANARY, Phase.PAUSED, Phase.PROMOTING) else set()


def _wanted(base: RouteRecord, rollout: RolloutRecord, state: RolloutState) -> RouteRecord:
    phase = state.phase
    if phase in _WITH_CANARY and state.share > 0:
        return replace(base, canary=rollout.version, share=state.share, salt=rollout.id)
    if phase in (Phase.PROMOTING, Phase.COMPLETED):
        previous = base.previous if base.champion == rollout.version else base.champion
        return replace(base, champion=rollout.version, canary=None, share=0.0, previous=previous)
    if phase in (Phase.ROLLING_BACK, Phase.ROLLED_BACK, Phase.ABORTED) and rollout.version in (
        base.canary,
        base.champion,
    ):
        champion = rollout.previous if base.champion == rollout.version else base.champion
        return replace(base, champion=champion, canary=None, share=0.0, previous=None)
    return base
