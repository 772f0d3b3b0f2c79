"""`deploy`, `approve`, `reject`, `promote`, `pause`, `resume`, `abort`, `rollback`."""

import time
from pathlib import Path
from typing import Annotated

import typer

from mlops_ray.cli.context import AddressOption, Context, HomeOption, JsonOption, command
from mlops_ray.cli.remote import run_remotely
from mlops_ray.rollout import Action, Phase
from mlops_ray.spec import load_spec
from mlops_ray.store import RolloutRecord

__all__ = ["add_to"]

ReasonOption = Annotated[str, typer.Option(help="Why; kept in the audit chain.")]
ModelArgument = Annotated[str, typer.Argument(help="Name of the model.")]
_POLL_S = 0.5


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    app.command()(deploy)
    app.command()(approve)
    app.command()(reject)
    app.command()(rollback)
    app.command()(undeploy)
    for action, text in (
        ("promote", "Skip the rest of the analysis and make the version under delivery champion."),
        ("pause", "Hold the rollout at its present share."),
        ("resume", "Go on with a paused rollout."),
        ("abort", "Withdraw the version under delivery."),
    ):
        app.command(name=action, help=text)(_commanding(action))


def deploy(
    spec: Annotated[Path, typer.Argument(help="The spec of the model.")],
    *,
    version: Annotated[int | None, typer.Option(help="Model version [default: the newest candidate].")] = None,
    wait: Annotated[bool, typer.Option(help="Wait until the rollout has ended or needs people.")] = True,
    address: AddressOption = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Deliver a version: at once as the first champion, else as a canary that is judged step by step."""
    with command(home=home, as_json=as_json) as context:
        loaded = load_spec(spec)
        if address is not None:
            flags = ["--wait" if wait else "--no-wait", *(["--version", str(version)] if version else [])]
            run_remotely(context, address, ["deploy", str(spec), *flags])
            return
        # ray: seconds to import
        from mlops_ray.control import operations
        from mlops_ray.control.connection import connect, ensure_services
        from mlops_ray.control.ledger import raise_code
        from mlops_ray.control.plan import baseline_of, delivery_plan, plan_text
        from mlops_ray.tracking import code_version

        connect(context.workspace)
        ensure_services(context.workspace)
        store = context.store
        if loaded.rollout.strategy == "ab":
            # The power of the test is shown before it starts, when its shares and times can still be changed.
            baseline = baseline_of(loaded, context.workspace, now_s=context.now_s, requests_per_s=None)
            context.progress(plan_text(delivery_plan(loaded, baseline)))
        record = operations.deploy(store, loaded, version=version, actor=context.actor, now_s=context.now_s)
        # Code that made no version yet is a cause to retrain, if the spec says so.
        raise_code(store, loaded, code_version(Path.cwd()).to_json(), actor=context.actor, now_s=context.now_s)
        if wait:
            record = _await_end(context, record.id)
        _answer(context, record)
        if Phase(record.phase) in (Phase.ROLLED_BACK, Phase.ABORTED):
            raise typer.Exit(1)


def approve(
    model: ModelArgument,
    version: Annotated[int, typer.Argument(help="Model version.")],
    *,
    reason: ReasonOption = "",
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say yes to a version."""
    _say(model, version, approved=True, reason=reason, home=home, as_json=as_json)


def reject(
    model: ModelArgument,
    version: Annotated[int, typer.Argument(help="Model version.")],
    *,
    reason: ReasonOption = "",
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say no to a version; its rollout ends."""
    _say(model, version, approved=False, reason=reason, home=home, as_json=as_json)


def rollback(
    model: ModelArgument, *, reason: ReasonOption = "", home: HomeOption = None, as_json: JsonOption = False
) -> None:
    """Undo the rollout under way, or else the last promotion: the previous champion takes over at once."""
    with command(home=home, as_json=as_json) as context:
        from mlops_ray.control.operations import roll_back_champion

        after = roll_back_champion(context.store, model, by=context.actor, reason=reason, now_s=context.now_s)
        text = (
            f"rollout {after.id} is being rolled back"
            if isinstance(after, RolloutRecord)
            else f"version {after.champion} of {model} is champion again"
        )
        context.answer(after, text)


def undeploy(
    model: ModelArgument, *, reason: ReasonOption = "", home: HomeOption = None, as_json: JsonOption = False
) -> None:
    """Take a model away: its replicas go, its versions stay."""
    with command(home=home, as_json=as_json) as context:
        from mlops_ray.control import operations

        after = operations.undeploy(context.store, model, by=context.actor, reason=reason, now_s=context.now_s)
        context.answer(after, f"{model} is not served any more; `mlops-ray deploy` brings a version back")


def _say(model: str, version: int, *, approved: bool, reason: str, home: Path | None, as_json: bool) -> None:
    with command(home=home, as_json=as_json) as context:
        from mlops_ray.control import operations

        operations.approve(
            context.store,
            model,
            version,
            approver=context.actor,
            approved=approved,
            reason=reason,
            now_s=context.now_s,
        )
        verb = "approved" if approved else "rejected"
        content = {"model": model, "version": version, "approved": approved, "by": context.actor}
        context.answer(content, f"{model} v{version} {verb} by {context.actor}")


def _commanding(action: str):  # type: ignore[no-untyped-def] # Typer reads the signature of what comes back
    def run(
        model: ModelArgument, *, reason: ReasonOption = "", home: HomeOption = None, as_json: JsonOption = False
    ) -> None:
        with command(home=home, as_json=as_json) as context:
            from mlops_ray.control.operations import command_rollout

            chosen: Action = action  # type: ignore[assignment] # one of the four above
            by, now_s = context.actor, context.now_s
            _answer(context, command_rollout(context.store, model, chosen, by=by, reason=reason, now_s=now_s))

    return run


def _await_end(context: Context, rollout_id: str) -> RolloutRecord:
    shown = ""
    while True:
        record = context.store.rollout(rollout_id)
        sentence = _sentence(record)
        if sentence != shown:
            context.progress(sentence)
            shown = sentence
        if Phase(record.phase).ended or Phase(record.phase) in (Phase.PAUSED, Phase.WAITING):
            return record
        time.sleep(_POLL_S)


def _answer(context: Context, record: RolloutRecord) -> None:
    context.answer(record, f"rollout {record.id}: {_sentence(record)}")


def _sentence(record: RolloutRecord) -> str:
    state = record.state["rollout"]
    share = f", share {state['share']:g}" if state["share"] else ""
    return f"{record.model} v{record.version} {record.phase}{share}: {state['reason']}"
