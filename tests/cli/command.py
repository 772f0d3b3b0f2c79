"""Runs `mlops-ray` as a user does: as a process, in some folder, in an environment without traces of a test."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

__all__ = ["Done", "mlops_ray", "running_for"]

# What the session's cluster left in this process; a user's shell has none of it.
_OURS = ("RAY_", "MLOPS_RAY_", "MLFLOW_", "PYTHONPATH", "PYTEST_")


@dataclass(frozen=True)
class Done:
    """A command that ended."""

    code: int
    out: str
    err: str

    @property
    def answer(self) -> dict[str, Any]:
        """The JSON object in the last line of stdout."""
        content = json.loads(self.out.splitlines()[-1])
        assert isinstance(content, dict)
        return content

    @property
    def error(self) -> str:
        """Why the command was refused; asserts that it was, in the way every command has to refuse."""
        assert self.code == 1, self
        assert "Traceback" not in self.out + self.err, self.err
        assert set(self.answer) == {"error", "kind"}, self.out
        # Ray may say something after it.
        assert f"\nerror: {self.answer['error']}\n" in f"\n{self.err}", self.err
        return str(self.answer["error"])


def mlops_ray(
    *arguments: str | Path,
    cwd: Path,
    home: str | Path | None = None,
    as_json: bool = True,
    environment: Mapping[str, str] | None = None,
    timeout_s: float = 400.0,
) -> Done:
    """Run `mlops-ray <arguments>` in `cwd` and wait for its end."""
    options = [*(["--home", str(home)] if home is not None else []), *(["--json"] if as_json else [])]
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(_OURS)}
    done = subprocess.run(
        [sys.executable, "-m", "mlops_ray.cli", *map(str, arguments), *options],
        cwd=cwd,
        env=inherited | dict(environment or {}),
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )
    return Done(done.returncode, done.stdout, done.stderr)


def running_for(home: Path) -> list[str]:
    """Names of the processes that live for the cluster of `home`: `up` marks all of them."""
    return [p.name() for p in psutil.process_iter() if p.pid != os.getpid() and _home_of(p) == str(home)]


def _home_of(process: psutil.Process) -> str | None:
    try:
        return process.environ().get("MLOPS_RAY_HOME")
    except (psutil.Error, OSError):  # ended meanwhile
        return None
