"""`ci`: workflows for the repository of a model."""

from pathlib import Path
from typing import Annotated

import typer

from mlops_ray.ci import smoke_spec, workflow_files
from mlops_ray.cli.context import JsonOption, command
from mlops_ray.errors import ConflictError, SpecError
from mlops_ray.spec import load_spec

__all__ = ["add_to"]


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    ci = typer.Typer(help="Workflows for the repository of a model.", no_args_is_help=True)
    ci.command()(init)
    ci.command()(smoke)
    app.add_typer(ci, name="ci")


def init(
    spec: Annotated[Path, typer.Argument(help="The spec, relative to the repository's root.")],
    folder: Annotated[Path, typer.Argument(help="The repository's root.")] = Path(),
    *,
    gitlab: Annotated[bool, typer.Option("--gitlab", help="For GitLab in the place of GitHub.")] = False,
    force: Annotated[bool, typer.Option(help="Overwrite a workflow that is there.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Write a workflow: tests, data validation, training smoke, model sanity, performance, staged delivery."""
    with command(home=None, as_json=as_json) as context:
        if spec.is_absolute():
            raise SpecError(f"expected the spec's path relative to the repository's root, found {spec}")
        loaded = load_spec(folder / spec)
        provider = "gitlab" if gitlab else "github"
        texts = workflow_files(provider, spec=spec.as_posix(), model=loaded.name)  # type: ignore[arg-type]
        workflow = next(iter(texts))
        if (folder / workflow).exists() and not force:
            raise ConflictError(f"{folder / workflow} exists; overwrite it with --force")
        # A test or requirements that are there are better than ours.
        written = [path for path in texts if path == workflow or not (folder / path).exists()]
        for path in written:
            file = folder / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(texts[path], encoding="utf-8")
        wanted = "ci/sample/ with some rows, ci/fixed.parquet with labelled ones, and ci/baseline.json"
        context.answer(
            {"files": written}, f"wrote {', '.join(written)}; the head of {workflow} says what it needs: {wanted}"
        )


def smoke(
    spec: Annotated[Path, typer.Argument(help="The spec of the model.")],
    *,
    source: Annotated[str, typer.Option(help="Rows to try it with, in the place of data.source.")],
    output: Annotated[Path, typer.Option(help="The file to write.")] = Path("smoke.yaml"),
    as_json: JsonOption = False,
) -> None:
    """Write the spec again, made small: one trial of few iterations, no gates, other rows."""
    with command(home=None, as_json=as_json) as context:
        load_spec(spec)
        there = source if "://" in source else str(Path(source).resolve())
        made = smoke_spec(spec.read_text(encoding="utf-8"), source=there, origin=str(spec))
        output.write_text(made, encoding="utf-8")
        context.answer({"spec": str(output)}, f"wrote {output}, which reads {there}")
