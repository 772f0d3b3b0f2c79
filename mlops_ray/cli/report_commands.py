"""`report`, `explain`."""

import json
from pathlib import Path
from typing import Annotated

import typer

from mlops_ray.cli.context import HomeOption, JsonOption, command
from mlops_ray.errors import SourceError, SpecError

__all__ = ["add_to"]


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    app.command()(report)
    app.command()(explain)


def report(
    model: Annotated[str, typer.Argument(help="Name of a deployed model.")],
    *,
    since: Annotated[
        str | None, typer.Option(help="30m, 2h, 1d back, or a time [default: the monitor's window].")
    ] = None,
    alert: Annotated[str | None, typer.Option(help="Id of an alert: the report on it, instead of now.")] = None,
    output: Annotated[Path | None, typer.Option(help="Copy the page to this file.")] = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """An Evidently report of what the champion answered, against its training; kept in the lake and in MLflow."""
    with command(home=home, as_json=as_json) as context:
        # ray: seconds to import
        from mlops_ray.control.connection import connect
        from mlops_ray.control.reporting import make_now, report_order
        from mlops_ray.lake import Lake
        from mlops_ray.reports import RayReports

        workspace = context.workspace
        order = report_order(context.store, workspace, model, since=since, alert=alert, now_s=context.now_s)
        connect(workspace)
        result = make_now(order, RayReports())
        if output is not None:
            output.write_bytes(Lake(workspace.lake).read_bytes(f"{order.folder}/report.html"))
        drifted = ", ".join(result.summary["drifted"]) or "none"
        text = f"{output or result.uri}: {result.summary['rows']} rows; drifted by Evidently's tests: {drifted}"
        context.answer({"model": model, **vars(result)}, text)


def explain(
    request_id: Annotated[str | None, typer.Argument(help="The id in a served answer.")] = None,
    *,
    model: Annotated[str | None, typer.Option(help="With --file: name of a deployed model.")] = None,
    file: Annotated[
        Path | None, typer.Option(help='JSON: {"records": [...]}, or a list of records; asked of the server.')
    ] = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Why a request got its answer, or what rows of a file would get and why: a contribution for each feature."""
    with command(home=home, as_json=as_json) as context:
        # pyiceberg: a second to import
        from mlops_ray.control.client import ModelClient
        from mlops_ray.control.reporting import explain_request, explanation_text

        if (request_id is None) == (file is None) or (file is None) != (model is None):
            raise SpecError("expected the id of a request, or --model with --file")
        if request_id is not None:
            content = explain_request(context.store, context.workspace, request_id)
        else:
            assert file is not None
            client = ModelClient(context.workspace.serve, str(model), api_key=context.api_key)
            content = client.explain(_records(file))
        context.answer(content, explanation_text(content))


def _records(file: Path) -> list[dict[str, object]]:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise SourceError(f"{file}: expected a JSON file ({error})") from None
    records = content.get("records") if isinstance(content, dict) else content
    if not isinstance(records, list):
        raise SourceError(f'{file}: expected {{"records": [...]}} or a list of records')
    return records
