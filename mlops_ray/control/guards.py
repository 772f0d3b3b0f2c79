"""Whether a cause to retrain may start a job now. Pure."""

from collections.abc import Sequence

from mlops_ray.spec import Guards
from mlops_ray.store import TriggerRecord

__all__ = ["DAY_S", "superseded_by", "waits_for"]

DAY_S = 86_400.0
_STARTED = ("submitted", "succeeded", "failed")


def superseded_by(trigger: TriggerRecord, others: Sequence[TriggerRecord]) -> TriggerRecord | None:
    """A retraining that was started after this cause arose, and so has dealt with it."""
    return next(
        (o for o in others if o.state in _STARTED and o.updated_s >= trigger.created_s and o.id != trigger.id), None
    )


def waits_for(others: Sequence[TriggerRecord], guards: Guards, *, rollout_active: bool, now_s: float) -> str | None:
    """Why a retraining may not start yet; None when it may."""
    started = [o for o in others if o.state in _STARTED]
    running = [o for o in started if o.state == "submitted"]
    if running:
        return f"retraining {running[0].id} is running"
    if rollout_active:
        return "a rollout is under way"
    today = [o for o in started if now_s - o.created_s < DAY_S]
    if len(today) >= guards.max_per_day:
        return f"{len(today)} retrainings in 24 hours, retrain.guards.max_per_day allows {guards.max_per_day}"
    newest_s = max((o.updated_s for o in started), default=None)
    if newest_s is not None and now_s - newest_s < guards.cooldown_s:
        return f"cooldown of {guards.cooldown_s:g} s, {guards.cooldown_s - (now_s - newest_s):.0f} s are left"
    return None
