"""`plan`, `analysis`, `assign`, `postmortem`: what a rollout will take, has shown, whom it meets, why it failed."""

from pathlib import Path
from typing import Annotated

import typer

from mlops_ray.cli.context import HomeOption, JsonOption, command
from mlops_ray.spec import load_spec

__all__ = ["add_to"]

ModelArgument = Annotated[str, typer.Argument(help="Name of the model.")]
RolloutOption = Annotated[str | None, typer.Option("--rollout", help="Id of a rollout [default: the newest].")]


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    app.command()(plan)
    app.command()(analysis)
    app.command()(assign)
    app.command()(postmortem)


def plan(
    spec: Annotated[Path, typer.Argument(help="The spec of the model.")],
    *,
    requests_per_s: Annotated[
        float | None, typer.Option(min=0.001, help="Traffic to reckon with [default: as seen in the last hour].")
    ] = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """What a delivery by this spec will take: time for each step, what it finds and when, labels for an A/B test."""
    with command(home=home, as_json=as_json) as context:
        from mlops_ray.control.plan import baseline_of, delivery_plan, plan_text

        loaded, now_s = load_spec(spec), context.now_s
        baseline = baseline_of(loaded, context.workspace, now_s=now_s, requests_per_s=requests_per_s)
        content = delivery_plan(loaded, baseline)
        context.answer(content, plan_text(content))


def analysis(
    model: ModelArgument, *, rollout: RolloutOption = None, home: HomeOption = None, as_json: JsonOption = False
) -> None:
    """The verdict on every metric of a rollout, with the evidence for and against."""
    with command(home=home, as_json=as_json) as context:
        # ray: seconds to import
        from mlops_ray.control.inspection import analysis_of, analysis_text

        content = analysis_of(context.store, model, rollout)
        context.answer(content, analysis_text(content))


def assign(
    model: ModelArgument,
    units: Annotated[list[str], typer.Argument(help="Units, as requests name them.")],
    *,
    rollout: RolloutOption = None,
    share: Annotated[
        float | None, typer.Option(min=0, max=1, help="Share of the units [default: the largest the rollout had].")
    ] = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Which version each unit meets in a rollout, computed offline as every replica computes it."""
    with command(home=home, as_json=as_json) as context:
        from mlops_ray.control.inspection import assignments, assignments_text

        content = assignments(context.store, model, units, rollout_id=rollout, share=share)
        context.answer(content, assignments_text(content))


def postmortem(
    model: ModelArgument, *, rollout: RolloutOption = None, home: HomeOption = None, as_json: JsonOption = False
) -> None:
    """Why a version was rolled back: history, verdicts, errors, and where its failed requests lie."""
    with command(home=home, as_json=as_json) as context:
        from mlops_ray.control.postmortem import postmortem_text, read_postmortem

        content = read_postmortem(context.workspace, context.store, model, rollout)
        context.answer(content, postmortem_text(content))
