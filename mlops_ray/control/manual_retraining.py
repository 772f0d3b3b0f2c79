"""A retraining that a person starts, in the person's own process: in the ledger like any other."""

from collections.abc import Callable

import ray

from mlops_ray.control.ledger import begin_manual, end_manual
from mlops_ray.control.operations import stored_spec
from mlops_ray.control.outcomes_in_a_row import VERSION
from mlops_ray.control.ray_jobs import DRIVER
from mlops_ray.control.retrain_model import Retrained, retrain_model
from mlops_ray.spec import Workspace
from mlops_ray.store import Store

__all__ = ["retrain_by_hand"]


def retrain_by_hand(
    store: Store,
    workspace: Workspace,
    model: str,
    *,
    key: str | None,
    actor: str,
    clock: Callable[[], float],
    progress: Callable[[str], None],
) -> Retrained:
    """Retrain under a trigger of its own; a key given before starts nothing, and the answer is what came of it.

    The ledger names the driver of this process: if that dies, the loop finds it gone and writes that it failed.

    Raises:
        NotFoundError: no such model.
        ConflictError: another retraining of it is running.
        MlopsRayError: as `retrain_model` raises.
    """
    stored_spec(store, model)
    name = key if key is not None else f"{clock():.6f}"
    driver = f"{DRIVER}{ray.get_runtime_context().get_job_id()}"
    trigger, new = begin_manual(store, model, key=name, submission_id=driver, by=actor, now_s=clock())
    if not new:
        return _earlier(store, model, trigger.id)
    try:
        result = retrain_model(store, workspace, model, trigger=trigger.id, actor=actor, clock=clock, progress=progress)
    except BaseException as error:
        end_manual(store, trigger.id, "failed", f"{type(error).__name__}: {error}", now_s=clock())
        raise
    end_manual(store, trigger.id, "succeeded", result.reason, now_s=clock())
    return result


def _earlier(store: Store, model: str, id: str) -> Retrained:
    """What the retraining under the same key came to, or is doing."""
    trigger = store.trigger(id)
    number = trigger.evidence.get(VERSION)
    version = store.model_version(model, int(number)) if number is not None else None
    begun = [r for r in store.rollouts(model) if version is not None and r.version == version.version]
    reason = f"key {id.removeprefix(f'{model}-manual-')!r} was given before, and is {trigger.state}: {trigger.reason}"
    dataset = str(trigger.evidence.get("trained_on", ""))
    return Retrained(model, id, dataset, version, begun[-1] if begun else None, reason)
