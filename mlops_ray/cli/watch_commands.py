"""`watch`: ingest whatever arrives."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mlops_ray.cli.context import Context, HomeOption, JsonOption, command
from mlops_ray.spec import load_spec

if TYPE_CHECKING:
    from mlops_ray.data import IngestResult

__all__ = ["add_to"]


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command()(watch)


def watch(
    spec: Annotated[Path, typer.Argument(help="The spec of the model.")],
    *,
    once: Annotated[bool, typer.Option("--once", help="Look once, and end.")] = False,
    every_s: Annotated[float, typer.Option(min=1, help="Seconds after which the source is listed without event.")] = 60,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Ingest new data as it arrives: on an S3 event (data.events), else whenever the time has come."""
    with command(home=home, as_json=as_json) as context:
        loaded = load_spec(spec)
        # ray and pyiceberg: seconds to import
        from mlops_ray.control.connection import connect
        from mlops_ray.control.operations import ingest_batch, register
        from mlops_ray.control.watching import Watch
        from mlops_ray.data.events import EventQueue

        connect(context.workspace)
        store = context.store

        def look() -> "IngestResult":
            result = ingest_batch(
                store,
                loaded,
                context.workspace,
                actor=context.actor,
                clock=time.time,
                progress=context.progress,
            )
            register(store, loaded, actor=context.actor, now_s=context.now_s, replace_known=False)
            return result

        queue = EventQueue(loaded.data.events.queue) if loaded.data.events is not None else None
        watching = Watch(look, queue, every_s=every_s, clock=time.monotonic, sleep=time.sleep)
        if once:
            _answer(context, watching.once())
        else:
            watching.forever(lambda result: _answer(context, result) if result.committed else None)


def _answer(context: Context, result: "IngestResult") -> None:
    version = result.version
    text = f"{version.ref}: {version.added_rows} rows added, {version.rows} in all"
    context.answer(
        {"dataset": version.ref, "committed": result.committed, "version": version.to_json()},
        text if result.committed else f"nothing new; the latest version is {version.ref} with {version.rows} rows",
    )
