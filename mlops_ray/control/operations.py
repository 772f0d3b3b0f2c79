"""What a person or a job may ask of a model: register, ingest, deploy, approve, promote, abort, roll back."""

import hashlib
import uuid
from collections.abc import Callable
from dataclasses import replace

from mlops_ray.control.approvals import standing_approvals
from mlops_ray.control.rollout_record import begun, change_rollout, load_state
from mlops_ray.data import DatasetTable, DatasetVersion, IngestResult, ingest
from mlops_ray.errors import ConflictError, GateError, NotFoundError, RolloutError
from mlops_ray.rollout import Action, begin, command
from mlops_ray.spec import ModelSpec, Workspace
from mlops_ray.store import (
    ApprovalRecord,
    Change,
    Event,
    ModelRecord,
    ModelVersionRecord,
    RolloutRecord,
    RouteRecord,
    Stage,
    Store,
)
from mlops_ray.verdict import Verdict

__all__ = [
    "approve",
    "command_rollout",
    "deploy",
    "ingest_batch",
    "register",
    "roll_back_champion",
    "stored_spec",
    "tell_of_versions",
    "undeploy",
]

_COMMITTED = "dataset.committed"


def register(
    store: Store,
    spec: ModelSpec,
    *,
    actor: str,
    now_s: float,
    replace_known: bool = True,
    refuse: Callable[[Change], None] = lambda _: None,
) -> None:
    """Make `spec` the spec of its model; nothing happens when it is so already.

    What runs goes by the registered spec (approvals, steps, analysis, alerts), so only a delivery replaces it:
    `replace_known=False` registers a model that is not known yet and leaves a known one alone. `refuse` raises what
    speaks against it, where nobody else is writing.
    """
    text = spec.model_dump_json()
    payload = {"name": spec.name, "spec_digest": hashlib.sha256(text.encode()).hexdigest()}
    with store.change(Event("model.registered", spec.name, payload, actor, now_s)) as change:
        refuse(change)
        known = change.model(spec.name)
        if known is not None and (not replace_known or known.spec_json == text):
            change.skip()
            return
        change.put_model(ModelRecord(spec.name, text, now_s))


def stored_spec(store: Store, model: str) -> ModelSpec:
    """The spec a model was registered with.

    Raises:
        NotFoundError: no such model; the message lists those there are.
    """
    record = store.model(model)
    if record is None:
        known = ", ".join(m.name for m in store.models()) or "none"
        raise NotFoundError(f"no model {model!r}; models in the store: {known}")
    return ModelSpec.model_validate_json(record.spec_json)


def ingest_batch(
    store: Store,
    spec: ModelSpec,
    workspace: Workspace,
    *,
    branch: str = "main",
    actor: str,
    clock: Callable[[], float],
    progress: Callable[[str], None],
) -> IngestResult:
    """Commit the new files of the spec's source as a dataset version, and say so in the audit chain once."""
    result = ingest(spec, workspace, now_s=clock(), run_id=uuid.uuid4().hex, branch=branch, progress=progress)
    tell_of_versions(store, DatasetTable.of(spec, workspace), actor=actor, now_s=clock())
    if result.committed and result.version.number is None:
        _tell_of(store, result.version, actor=actor, now_s=clock())
    return result


def tell_of_versions(store: Store, dataset: DatasetTable, *, actor: str, now_s: float) -> None:
    """Write an event for every version that has none: one killed after its commit gets it from the next command."""
    known = {event.subject for event in store.events(kind=_COMMITTED)}
    for version in dataset.versions():
        if version.ref not in known:
            _tell_of(store, version, actor=actor, now_s=now_s)


def _tell_of(store: Store, version: DatasetVersion, *, actor: str, now_s: float) -> None:
    payload = {
        "rows": version.rows,
        "added_rows": version.added_rows,
        "quarantined_rows": version.quarantined_rows,
        "snapshot_id": version.snapshot_id,
        "digest": version.digest,
        "sources": [source.uri for source in version.sources],
    }
    with store.change(Event(_COMMITTED, version.ref, payload, actor, now_s)) as change:
        # Other writers wait from here on, so nobody can have told of it between this look and the write.
        if store.events(subject=version.ref, kind=_COMMITTED, limit=1):
            change.skip()


def deploy(store: Store, spec: ModelSpec, *, version: int | None = None, actor: str, now_s: float) -> RolloutRecord:
    """Begin the delivery of a version, the newest candidate by default; the control actor carries it out.

    What is refused changes nothing, not even the stored spec.

    Raises:
        NotFoundError: no such version, or no candidate.
        GateError: its gates did not pass, or it was turned down and not approved since.
        ConflictError: another rollout of the model is under way, or it is the champion.
    """
    chosen = store.model_version(spec.name, version) if version is not None else _newest_candidate(store, spec.name)
    _refuse_unfit(store, chosen)

    def refuse(change: Change) -> None:
        _refuse_unfit(change, change.model_version(spec.name, chosen.version))

    register(store, spec, actor=actor, now_s=now_s, refuse=refuse)
    payload = {"model": spec.name, "version": chosen.version}
    rollout_id = f"{spec.name}-v{chosen.version}-{uuid.uuid4().hex[:8]}"
    with store.change(Event("rollout.begun", rollout_id, payload, actor, now_s)) as change:
        # Once more where nobody else is writing: much may have happened since.
        refuse(change)
        # Somebody else may have registered another spec in between, and this rollout goes by its own.
        change.put_model(ModelRecord(spec.name, spec.model_dump_json(), now_s))
        champion = change.champion(spec.name)
        record = begun(
            rollout_id,
            spec.name,
            chosen.version,
            previous=champion.version if champion is not None else None,
            route=change.route(spec.name),
            state=begin(now_s, analysis=spec.rollout.analysis, needs_approval=spec.approval.required > 0),
            paired=spec.rollout.analysis.paired.fraction,
        )
        change.put_rollout(record, expected_revision=None)
    return record


def approve(
    store: Store, model: str, version: int, *, approver: str, approved: bool, reason: str, now_s: float
) -> None:
    """Keep what a person said about a version; a no ends a rollout that is under way.

    Raises:
        NotFoundError: no such version.
        RolloutError: a no to the champion, which only a rollback takes away.
    """
    store.model_version(model, version)
    kind = "version.approved" if approved else "version.rejected"
    payload = {"model": model, "version": version, "reason": reason}
    with store.change(Event(kind, f"{model}@{version}", payload, approver, now_s)) as change:
        change.put_approval(ApprovalRecord(model, version, approver, approved, reason, now_s))
        if approved:
            return
        stage = change.model_version(model, version).stage
        active = [r for r in change.rollouts(model, active_only=True) if r.version == version]
        if stage is Stage.CHAMPION:
            raise RolloutError(f"{model} version {version} is the champion; `mlops-ray rollback {model}` takes it away")
        if active:
            _command(change, active[0], "reject", by=approver, reason=reason, now_s=now_s)
        elif stage in (Stage.CANDIDATE, Stage.RETIRED):
            change.set_stage(model, version, Stage.REJECTED)


def command_rollout(store: Store, model: str, action: Action, *, by: str, reason: str, now_s: float) -> RolloutRecord:
    """Promote, abort, pause or resume the rollout that is under way.

    Raises:
        RolloutError: none is under way, or its phase does not allow it.
    """
    payload = {"model": model, "reason": reason}
    active = store.rollouts(model, active_only=True)
    if not active:
        raise RolloutError(f"{action}: no rollout of {model!r} is under way")
    with store.change(Event(f"rollout.{action}", active[0].id, payload, by, now_s)) as change:
        return _command(change, change.rollout(active[0].id), action, by=by, reason=reason, now_s=now_s)


def roll_back_champion(store: Store, model: str, *, by: str, reason: str, now_s: float) -> RouteRecord | RolloutRecord:
    """Undo: the rollout under way, or else the last promotion (the previous champion takes over at once).

    Raises:
        RolloutError: nothing is under way and there is no previous champion.
    """
    if store.rollouts(model, active_only=True):
        return command_rollout(store, model, "rollback", by=by, reason=reason, now_s=now_s)
    route = store.route(model)
    if route is None or route.previous is None or route.champion is None:
        raise RolloutError(f"rollback: model {model!r} has no previous champion to go back to")
    payload = {"model": model, "from": route.champion, "to": route.previous, "reason": reason}
    with store.change(Event("champion.rolled_back", model, payload, by, now_s)) as change:
        if change.route(model) != route or change.rollouts(model, active_only=True):
            raise ConflictError(f"the route of {model!r} has just changed; look at it and try again")
        after = replace(route, epoch=route.epoch + 1, champion=route.previous, previous=None, updated_s=now_s)
        change.put_route(after)
        change.set_stage(model, route.previous, Stage.CHAMPION)
        change.set_stage(model, route.champion, Stage.ROLLED_BACK)
        # Turned down by a person: approvals from before do not let it in again.
        change.put_approval(ApprovalRecord(model, route.champion, by, False, f"rolled back: {reason}", now_s))
    return after


def undeploy(store: Store, model: str, *, by: str, reason: str, now_s: float) -> RouteRecord:
    """Take a model away: nobody is champion any more, its replicas go. Its versions stay, and may be deployed again.

    Raises:
        RolloutError: a rollout is under way, or nothing is deployed.
    """
    payload = {"model": model, "reason": reason}
    with store.change(Event("model.undeployed", model, payload, by, now_s)) as change:
        route, active = change.route(model), change.rollouts(model, active_only=True)
        if active:
            raise RolloutError(f"undeploy: rollout {active[0].id!r} is {active[0].phase}; abort it first")
        if route is None or route.champion is None:
            raise RolloutError(f"undeploy: model {model!r} is not deployed")
        champion = route.champion
        after = replace(route, epoch=route.epoch + 1, champion=None, previous=None, updated_s=now_s)
        change.put_route(after)
        change.set_stage(model, champion, Stage.RETIRED)
    return after


def _command(
    change: Change, rollout: RolloutRecord, action: Action, *, by: str, reason: str, now_s: float
) -> RolloutRecord:
    state, cursor = load_state(rollout)
    return change_rollout(change, rollout, command(state, action, now_s, by=by, reason=reason), cursor, now_s)


def _newest_candidate(store: Store, model: str) -> ModelVersionRecord:
    candidates = [v for v in store.model_versions(model) if v.stage is Stage.CANDIDATE]
    if not candidates:
        raise NotFoundError(f"model {model!r} has no candidate to deploy; train one, or name a version")
    return max(candidates, key=lambda v: v.version)


def _refuse_unfit(reads: Store | Change, chosen: ModelVersionRecord) -> None:
    name = f"{chosen.model} version {chosen.version}"
    if chosen.stage is Stage.CHAMPION:
        raise ConflictError(f"{name} is the champion already")
    active = reads.rollouts(chosen.model, active_only=True)
    if active:
        raise ConflictError(
            f"model {chosen.model!r} is being delivered: rollout {active[0].id!r} of version {active[0].version} is "
            f"{active[0].phase}; wait for its end, or abort it first"
        )
    if chosen.verdict != Verdict.PASS:
        failed = [r["message"] for r in chosen.gates.get("results", []) if r.get("verdict") != Verdict.PASS]
        raise GateError(f"{name} did not pass its gates ({chosen.verdict}): {'; '.join(failed) or 'no details'}")
    _refuse_quarantined(reads, chosen)


def _refuse_quarantined(reads: Store | Change, chosen: ModelVersionRecord) -> None:
    """What was turned down is a content, not a number: the same model under another number is the same model.

    Raises:
        GateError: the version, or one of the same digest, was turned down, and nobody approved this one since.
    """
    turned_down = [
        v
        for v in reads.model_versions(chosen.model)
        if v.digest == chosen.digest and v.stage in (Stage.ROLLED_BACK, Stage.REJECTED)
    ]
    if not turned_down:
        return
    others = [a for v in turned_down for a in reads.approvals(v.model, v.version) if not a.approved]
    approvals, rollouts = [*reads.approvals(chosen.model, chosen.version), *others], reads.rollouts(chosen.model)
    if standing_approvals(approvals, rollouts, versions={chosen.version, *(v.version for v in turned_down)}):
        return
    found = turned_down[-1]
    same = "" if found.version == chosen.version else f" has the contents of version {found.version}, which"
    raise GateError(
        f"{chosen.model} version {chosen.version}{same} is {found.stage.value.replace('_', ' ')} and in quarantine; "
        f"look why (`mlops-ray postmortem {chosen.model}`), then `mlops-ray approve {chosen.model} {chosen.version}` "
        "allows to deploy it again"
    )
