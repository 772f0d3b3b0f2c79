"""`init` and `spec`: begin with a model, and check what was written."""

from pathlib import Path
from typing import Annotated

import typer

from mlops_ray.cli.context import JsonOption, command
from mlops_ray.errors import ConflictError, SpecError
from mlops_ray.spec import json_schema, load_spec, parse_spec, spec_template

__all__ = ["add_to"]


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    app.command()(init)
    spec = typer.Typer(help="Check a spec, or print its JSON schema.", no_args_is_help=True)
    spec.command()(check)
    spec.command()(schema)
    app.add_typer(spec, name="spec")


def init(
    name: Annotated[str, typer.Argument(help="Name of the model: lower-case letters, digits and _.")],
    *,
    force: Annotated[bool, typer.Option(help="Overwrite a file that is there.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Write NAME.yaml, a commented spec to edit."""
    with command(home=None, as_json=as_json) as context:
        text = spec_template(name)
        try:
            parse_spec(text, origin=f"{name}.yaml")
        except SpecError:
            raise SpecError(
                f"name {name!r} is not usable: expected a lower-case letter, then letters, digits or _"
            ) from None
        file = Path(f"{name}.yaml")
        if file.exists() and not force:
            raise ConflictError(f"{file} exists; choose another name, or overwrite it with --force")
        file.write_text(text, encoding="utf-8")
        context.answer({"spec": str(file)}, f"wrote {file}: edit its data section, then `mlops-ray ingest {file}`")


def check(spec: Annotated[Path, typer.Argument()], *, as_json: JsonOption = False) -> None:
    """Say whether a spec is as it should be."""
    with command(home=None, as_json=as_json) as context:
        loaded = load_spec(spec)
        text = (
            f"{spec}: model {loaded.name}, {len(loaded.data.features)} features, trainer {loaded.train.trainer}: fine"
        )
        context.answer({"spec": loaded.model_dump(mode="json")}, text)


def schema() -> None:
    """Print the JSON schema of a spec, for editors."""
    print(json_schema())
