"""`drift`, `labels`, `lineage`, `audit`."""

import json
from pathlib import Path
from typing import Annotated

import typer

from mlops_ray.cli.context import HomeOption, JsonOption, command
from mlops_ray.errors import AuditError

__all__ = ["add_to"]


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    app.command()(drift)
    app.command()(labels)
    app.command()(lineage)
    audit = typer.Typer(help="The audit chain: everything that changed, in order.", no_args_is_help=True)
    audit.command()(verify)
    audit.command()(log)
    app.add_typer(audit, name="audit")


def drift(
    model: Annotated[str, typer.Argument(help="Name of a deployed model.")],
    *,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """The newest judgement on a model's served traffic, and its alerts."""
    with command(home=home, as_json=as_json) as context:
        from mlops_ray.control.connection import connect
        from mlops_ray.control.operations import stored_spec
        from mlops_ray.control.overview import drift_text
        from mlops_ray.monitor import drift_status

        stored_spec(context.store, model)
        connect(context.workspace)
        content = drift_status(context.workspace, model)
        context.answer(content, drift_text(content))


def labels(
    model: Annotated[str, typer.Argument(help="Name of a deployed model.")],
    file: Annotated[Path, typer.Argument(help="CSV, JSON lines or Parquet with request_id, label and maybe row.")],
    *,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Send outcomes of answered requests."""
    with command(home=home, as_json=as_json) as context:
        from mlops_ray.control.client import ModelClient, read_labels

        kept = ModelClient(context.workspace.serve, model, api_key=context.api_key).send_labels(read_labels(file))
        context.answer({"model": model, "kept": kept}, f"{kept} labels kept")


def lineage(
    request_id: Annotated[str, typer.Argument(help="The id in a served answer.")],
    *,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """From a served answer back to model version, run, dataset version, source files and code."""
    with command(home=home, as_json=as_json) as context:
        # pyiceberg: a second to import
        from mlops_ray.control.lineage import lineage_of, lineage_text

        content = lineage_of(context.store, context.workspace, request_id)
        context.answer(content, lineage_text(content))


def verify(*, home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Check every link of the audit chain."""
    with command(home=home, as_json=as_json) as context:
        report = context.store.verify()
        if not report.verified:
            raise AuditError(f"the audit chain does not verify: {report.problem}")
        context.answer(report, f"{report.events} events, the chain verifies; head {report.head[:16]}")


def log(
    *,
    subject: Annotated[str | None, typer.Option(help="Only events about this.")] = None,
    limit: Annotated[int, typer.Option(help="The newest so many.", min=1)] = 50,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """The newest events of the audit chain."""
    with command(home=home, as_json=as_json) as context:
        events = context.store.events(subject=subject, limit=limit)
        lines = [
            f"{e.seq:5} {e.at_s:14.3f} {e.actor:10} {e.kind:22} {e.subject} {json.dumps(e.payload)}" for e in events
        ]
        context.answer({"events": events}, "\n".join(lines) or "no events")
