"""`ingest`."""

import time
from pathlib import Path
from typing import Annotated

import typer

from mlops_ray.cli.context import AddressOption, HomeOption, JsonOption, command
from mlops_ray.cli.remote import run_remotely
from mlops_ray.spec import load_spec

__all__ = ["add_to"]


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    app.command()(ingest)


def ingest(
    spec: Annotated[Path, typer.Argument(help="The spec of the model.")],
    *,
    branch: Annotated[
        str, typer.Option(help="Put it on this branch, which leaves `latest` alone until `data publish`.")
    ] = "main",
    address: AddressOption = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Validate the new files of the source and commit them as an immutable dataset version."""
    with command(home=home, as_json=as_json) as context:
        loaded = load_spec(spec)
        if address is not None:
            run_remotely(context, address, ["ingest", str(spec), *(["--branch", branch] if branch != "main" else [])])
            return
        # ray and pyiceberg: seconds to import
        from mlops_ray.control.connection import connect
        from mlops_ray.control.operations import ingest_batch, register

        connect(context.workspace)
        result = ingest_batch(
            context.store,
            loaded,
            context.workspace,
            branch=branch,
            actor=context.actor,
            clock=time.time,
            progress=context.progress,
        )
        # Last, so that a batch that is refused changes nothing.
        register(context.store, loaded, actor=context.actor, now_s=context.now_s, replace_known=False)
        version = result.version
        reasons = ", ".join(f"{reason}: {count}" for reason, count in result.reasons.items())
        text = (
            f"{version.ref}: {version.added_rows} rows added, {version.rows} in all, "
            f"{version.quarantined_rows} quarantined{f' ({reasons})' if reasons else ''}"
            if result.committed
            else f"nothing new in {loaded.data.source}; {_newest(branch)} is {version.ref} with {version.rows} rows"
        )
        content = {"dataset": version.ref, "committed": result.committed, "version": version.to_json()}
        context.answer(content | {"quarantine_reasons": dict(result.reasons)}, text)


def _newest(branch: str) -> str:
    return "the latest version" if branch == "main" else f"the head of branch {branch}"
