"""What every command shares: where the home is, who asks, how the answer is shown, and how an error ends it."""

import getpass
import json
import logging
import os
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from mlops_ray.errors import MlopsRayError
from mlops_ray.spec import Workspace
from mlops_ray.store import Store

__all__ = ["AddressOption", "Context", "HomeOption", "JsonOption", "command", "json_ready"]

JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object as the last line of stdout.")]
HomeOption = Annotated[Path | None, typer.Option(help="Folder of the workspace [default: .mlops_ray].")]
AddressOption = Annotated[
    str | None, typer.Option(help="Ray dashboard of a cluster, http://host:8265: run there as a Ray job.")
]

_DEMO_HOME = Path(".mlops_ray") / "demo"


class Context:
    """One invocation: lazily opened workspace and store, and the answer it gives."""

    def __init__(self, *, home: Path | None, as_json: bool) -> None:
        self._home = home
        self._as_json = as_json

    @property
    def workspace(self) -> Workspace:
        """The workspace of --home, else MLOPS_RAY_HOME, else ./.mlops_ray, else the demo's in ./.mlops_ray/demo."""
        return Workspace.load(self.home, os.environ)

    @property
    def home(self) -> Path:
        """The folder of the workspace."""
        if self._home is not None:
            return self._home
        if "MLOPS_RAY_HOME" in os.environ:
            return Path(os.environ["MLOPS_RAY_HOME"])
        usual = Path(".mlops_ray")
        only_demo = not (usual / "store.db").exists() and (_DEMO_HOME / "store.db").exists()
        return _DEMO_HOME if only_demo else usual

    @property
    def store(self) -> Store:
        """The store of the workspace, its tables made where they are missing."""
        Path(self.workspace.home).mkdir(parents=True, exist_ok=True)
        store = Store(self.workspace.store)
        store.create()
        return store

    @property
    def actor(self) -> str:
        """Who asks, for the audit chain."""
        return os.environ.get("MLOPS_RAY_ACTOR") or getpass.getuser()

    @property
    def api_key(self) -> str | None:
        """The key that requests to models carry: MLOPS_RAY_API_KEY."""
        return os.environ.get("MLOPS_RAY_API_KEY")

    @property
    def now_s(self) -> float:
        """Seconds since 1970."""
        return time.time()

    def progress(self, sentence: str) -> None:
        """Tell a person how far it is; on stderr, so that stdout is the answer only."""
        print(f"  {sentence}", file=sys.stderr, flush=True)

    def answer(self, content: Mapping[str, Any] | Any, text: str) -> None:
        """Show the result: the text for people, the content with --json."""
        if self._as_json:
            print(json.dumps(json_ready(content), sort_keys=True), flush=True)
        else:
            print(text, flush=True)

    def refuse(self, error: MlopsRayError) -> None:
        """Show why it could not be done."""
        print(f"error: {error}", file=sys.stderr, flush=True)
        if self._as_json:
            print(json.dumps({"error": str(error), "kind": type(error).__name__}), flush=True)


@contextmanager
def command(*, home: Path | None, as_json: bool) -> Iterator[Context]:
    """Run a command: an error of ours ends it with exit code 1 and a sentence, never with a stack trace."""
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    for noisy in ("ray.data", "ray.serve", "mlflow", "alembic"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    context = Context(home=home, as_json=as_json)
    try:
        yield context
    except MlopsRayError as error:
        context.refuse(error)
        raise typer.Exit(1) from None


def json_ready(value: Any) -> Any:
    """Plain JSON values out of records, enums and tuples."""
    if is_dataclass(value) and not isinstance(value, type):
        return json_ready(asdict(value))
    if isinstance(value, Mapping):
        return {str(k): json_ready(v) for k, v in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [json_ready(v) for v in value]
    if isinstance(value, str):
        return str(value)
    return value
