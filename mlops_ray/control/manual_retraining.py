"""A retraining that a person starts, in the person's own process: in the ledger like any other."""

from collections.abc import Callable
from dataclasses import replace

import ray

from mlops_ray.control.ledger import begin_manual, end_manual, manual_trigger, warnings_on
from mlops_ray.control.operations import stored_spec
from mlops_ray.control.outcomes_in_a_row import VERSION
from mlops_ray.control.ray_jobs import DRIVER
from mlops_ray.control.retrain_model import Retrained, retrain_model
from mlops_ray.spec import Workspace
from mlops_ray.store import Store, TriggerRecord

__all__ = ["refuse_by_hand", "retrain_by_hand"]


def refuse_by_hand(store: Store, model: str, *, key: str | None, actor: str, now_s: float, force: bool = False) -> None:
    """Say at once, before there is a cluster, that `retrain_by_hand` would be refused.

    Raises:
        NotFoundError: no such model.
        ConflictError: as `retrain_by_hand` raises.
    """
    spec = stored_spec(store, model)
    manual_trigger(store, spec, key=_name(key, now_s), submission_id="", by=actor, now_s=now_s, force=force)


def retrain_by_hand(
    store: Store,
    workspace: Workspace,
    model: str,
    *,
    key: str | None,
    actor: str,
    clock: Callable[[], float],
    progress: Callable[[str], None],
    force: bool = False,
) -> Retrained:
    """Retrain under a trigger of its own; a key given before starts nothing, and the answer is what came of it.

    The ledger names the driver of this process: if that dies, the loop finds it gone and writes that it failed. What
    the guards would say to a retraining by itself is told, and holds nothing back; a data_quality alert asks for
    `force`.

    Raises:
        NotFoundError: no such model.
        ConflictError: another retraining of it is running, or a rollout under way; or a data_quality alert is open and
            `force` not given.
        MlopsRayError: as `retrain_model` raises.
    """
    spec, now_s = stored_spec(store, model), clock()
    driver = f"{DRIVER}{ray.get_runtime_context().get_job_id()}"
    trigger, new = begin_manual(
        store, spec, key=_name(key, now_s), submission_id=driver, by=actor, now_s=now_s, force=force
    )
    if not new:
        return _earlier(store, trigger)
    for hold in warnings_on(trigger):
        progress(f"warning: {hold.guard}: {hold.reason}")
    try:
        result = retrain_model(store, workspace, model, trigger=trigger.id, actor=actor, clock=clock, progress=progress)
    except BaseException as error:
        end_manual(store, trigger.id, "failed", f"{type(error).__name__}: {error}", now_s=clock())
        raise
    end_manual(store, trigger.id, "succeeded", result.reason, now_s=clock())
    return replace(result, warnings=warnings_on(trigger))


def _name(key: str | None, now_s: float) -> str:
    return key if key is not None else f"{now_s:.6f}"


def _earlier(store: Store, trigger: TriggerRecord) -> Retrained:
    """What the retraining under the same key came to, or is doing."""
    model, id = trigger.model, trigger.id
    number = trigger.evidence.get(VERSION)
    version = store.model_version(model, int(number)) if number is not None else None
    begun = [r for r in store.rollouts(model) if version is not None and r.version == version.version]
    reason = f"key {id.removeprefix(f'{model}-manual-')!r} was given before, and is {trigger.state}: {trigger.reason}"
    dataset = str(trigger.evidence.get("trained_on", ""))
    return Retrained(model, id, dataset, version, begun[-1] if begun else None, reason, warnings_on(trigger))
