"""Whether a cause to retrain may start a job now. Pure."""

from collections.abc import Sequence

from mlops_ray.spec import Guards
from mlops_ray.store import TriggerRecord

__all__ = ["DAY_S", "STARTED_S", "started_s", "superseded_by", "waits_for"]

DAY_S = 86_400.0
STARTED_S = "started_s"
"""Key in a trigger's evidence: when its job was started."""


def started_s(trigger: TriggerRecord) -> float | None:
    """When the trigger's job was started, None if it was not."""
    moment = trigger.evidence.get(STARTED_S)
    return None if moment is None else float(moment)


def superseded_by(trigger: TriggerRecord, others: Sequence[TriggerRecord]) -> TriggerRecord | None:
    """A retraining that was started after this cause arose, and so has dealt with it."""
    starts = ((other, started_s(other)) for other in others if other.id != trigger.id)
    return next((other for other, at_s in starts if at_s is not None and at_s >= trigger.created_s), None)


def waits_for(others: Sequence[TriggerRecord], guards: Guards, *, rollout_active: bool, now_s: float) -> str | None:
    """Why a retraining may not start yet; None when it may. What became of an earlier one makes no difference."""
    running = [o for o in others if o.state == "submitted"]
    if running:
        return f"retraining {running[0].id} is running"
    if rollout_active:
        return "a rollout is under way"
    started = [(o, at_s) for o in others if (at_s := started_s(o)) is not None]
    today = [o for o, at_s in started if now_s - at_s < DAY_S]
    if len(today) >= guards.max_per_day:
        return f"{len(today)} retrainings in 24 hours, retrain.guards.max_per_day allows {guards.max_per_day}"
    left_s = max((o.updated_s + guards.cooldown_s - now_s for o, _ in started), default=0.0)
    if left_s > 0:
        return f"cooldown of {guards.cooldown_s:g} s, {left_s:.0f} s are left"
    return None
