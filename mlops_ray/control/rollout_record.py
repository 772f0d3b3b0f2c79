"""A rollout as the store keeps it: its state, where its evidence goes on, and what has to change together with it."""

from collections.abc import Mapping
from dataclasses import astuple, replace

from mlops_ray.control.desired import PAIRED, UNDO, desired_route
from mlops_ray.monitor import Cursor
from mlops_ray.rollout import Phase, RolloutState
from mlops_ray.store import Change, RolloutRecord, RouteRecord, Stage

__all__ = ["begun", "change_rollout", "load_state", "saved_state"]

_STAGES: Mapping[Phase, Stage] = {
    Phase.COMPLETED: Stage.CHAMPION,
    Phase.ROLLED_BACK: Stage.ROLLED_BACK,
    Phase.ABORTED: Stage.REJECTED,
}


def load_state(rollout: RolloutRecord) -> tuple[RolloutState, Cursor]:
    """The state of a rollout as it was saved, and where its evidence goes on."""
    return RolloutState.from_json(rollout.state["rollout"]), Cursor(*rollout.state["cursor"])


def saved_state(rollout: RolloutRecord, state: RolloutState, cursor: Cursor, now_s: float) -> RolloutRecord:
    """The record that keeps `state`."""
    content = {**rollout.state, "rollout": state.to_json(), "cursor": list(astuple(cursor))}
    return replace(rollout, phase=state.phase.value, state=content, updated_s=now_s)


def begun(
    id: str,
    model: str,
    version: int,
    *,
    previous: int | None,
    route: RouteRecord | None,
    state: RolloutState,
    paired: float = 0.0,
) -> RolloutRecord:
    """The record of a rollout that begins now, beside `route`."""
    now_s = state.phase_since_s
    record = RolloutRecord(
        id=id,
        model=model,
        version=version,
        previous=previous,
        phase=state.phase.value,
        state={UNDO: route.previous if route else None, PAIRED: paired},
        revision=1,
        created_s=now_s,
        updated_s=now_s,
    )
    return saved_state(record, state, Cursor(since_epoch=route.epoch + 1 if route else 1), now_s)


def change_rollout(
    change: Change, rollout: RolloutRecord, state: RolloutState, cursor: Cursor, now_s: float
) -> RolloutRecord:
    """Write a rollout's next state, the route it asks for and the stage it gives the version: never one without the
    others, whoever decided it.

    Raises:
        ConflictError: the rollout or the route was changed by somebody else.
    """
    stored = change.put_rollout(saved_state(rollout, state, cursor, now_s), expected_revision=rollout.revision)
    route = desired_route(change.route(rollout.model), rollout, state, now_s)
    if route is not None:
        change.put_route(route)
    if state.phase in _STAGES:
        change.set_stage(rollout.model, rollout.version, _STAGES[state.phase])
    return stored
