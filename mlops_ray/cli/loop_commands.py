"""`triggers`, `loop`, `loop pause`, `loop resume`: what retrains a model, what holds it back, and people's word in it.

Exit codes of `loop MODEL`: 0 the loop goes on, 3 people are needed (paused, breaker open, a blocking alert), 4 nobody
drives it (no control actor holds the lease).
"""

from typing import Annotated, Any, Literal

import typer

from mlops_ray.cli.context import Context, HomeOption, JsonOption, command
from mlops_ray.spec import ModelSpec

__all__ = ["add_to"]

_PEOPLE, _NOBODY = 3, 4
_FOR_PEOPLE = ("paused", "breaker", "data_quality", "operational")
ReasonOption = Annotated[str, typer.Option(help="Why; kept in the audit chain.")]
StateOption = Annotated[
    Literal["pending", "refused", "submitted", "succeeded", "failed"] | None, typer.Option(help="Only these.")
]


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    app.command()(triggers)
    app.command()(loop)


def triggers(
    model: Annotated[str, typer.Argument(help="Name of the model.")],
    *,
    state: StateOption = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """The ledger of a model's retrainings: cause, key, state, the guard that holds it and why, and its job."""
    with command(home=home, as_json=as_json) as context:
        from mlops_ray.control.loop_status import trigger_list, trigger_text

        found = trigger_list(context.store, model, state)
        context.answer({"model": model, "triggers": found}, trigger_text(found))


def loop(
    what: Annotated[
        str | None, typer.Argument(help="A model, or pause or resume before one [default: all models].")
    ] = None,
    model: Annotated[str | None, typer.Argument(help="Name of the model to pause or resume.")] = None,
    *,
    reason: ReasonOption = "",
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """What the loop does and why not. Exit code 3: people are needed; 4: no control actor drives it.

    `loop pause MODEL` lets no retraining start by itself, `loop resume MODEL` lets it again, after its breaker too.
    """
    with command(home=home, as_json=as_json) as context:
        if what in ("pause", "resume") and model is not None:
            _say(context, what, model, reason)
        elif model is None and not reason:
            _show(context, what)
        else:
            raise typer.BadParameter("expected `loop [MODEL]`, or `loop pause|resume MODEL --reason WHY`")


def _say(context: Context, what: str, model: str, reason: str) -> None:
    from mlops_ray.control.loop_breaker import pause_loop, resume_loop

    say = pause_loop if what == "pause" else resume_loop
    record = say(context.store, model, by=context.actor, reason=reason, now_s=context.now_s)
    context.answer(record, f"{model}: {'paused' if record.paused else 'goes on'}")


def _show(context: Context, model: str | None) -> None:
    # ray, through the records' hashes: seconds to import
    from mlops_ray.control.label_counts import RecordCounts
    from mlops_ray.control.loop_status import loop_status, loop_text
    from mlops_ray.control.operations import stored_spec
    from mlops_ray.lake import Lake

    store = context.store
    names = [model] if model is not None else [record.name for record in store.models()]
    specs: list[ModelSpec] = [stored_spec(store, name) for name in names]
    counts = RecordCounts(Lake(context.workspace.lake))
    found = [loop_status(store, spec, counts=counts, now_s=context.now_s) for spec in specs]
    texts = "\n".join(loop_text(content) for content in found) or "no models yet"
    context.answer({"models": found} if model is None else found[0], texts)
    code = max((_exit_code(content) for content in found), default=0)
    if code:
        raise typer.Exit(code)


def _exit_code(content: dict[str, Any]) -> int:
    lease = content["lease"]
    if lease is None or lease["expires_in_s"] <= 0:
        return _NOBODY
    return _PEOPLE if any(hold["guard"] in _FOR_PEOPLE for hold in content["holds"]) else 0
