"""Run the commands of a local node in bash on this machine, as Ray's SSH runner does on a machine of its own."""

# ruff: noqa: ARG002, PLR0917  # the signatures are Ray's; most of their arguments are about SSH and docker

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
from ray.autoscaler.command_runner import CommandRunnerInterface

from mlops_ray.control.local_nodes import LocalNode, LocalNodes
from mlops_ray.control.marked_processes import MARK_VARIABLE, stop_marked

__all__ = ["LocalCommandRunner", "node_environment", "without_ray_stop"]

_RAY_STOP = re.compile(r"\bray\s+stop\b(?:\s+--?[\w-]+(?:=[^\s;&|]+)?)*")
_START_TIMEOUT_S = 300  # a cold `ray start` on a busy machine takes well over Ray's default of two minutes
_SHOWN_OUTPUT = 2000  # characters of a failed command's output that an error shows


class LocalCommandRunner(CommandRunnerInterface):
    """Runs a node's commands in bash on this machine, with the node's environment."""

    def __init__(self, nodes: LocalNodes, node_id: str) -> None:
        self._nodes, self._node_id = nodes, node_id

    def run(
        self,
        cmd: str | None = None,
        timeout: int = _START_TIMEOUT_S,
        exit_on_fail: bool = False,
        port_forward: Any = None,
        with_output: bool = False,
        environment_variables: dict[str, object] | None = None,
        run_env: str = "auto",
        ssh_options_override_ssh_key: str = "",
        shutdown_after_run: bool = False,
    ) -> str:
        """Run `cmd`; its output is returned when `with_output`, and shown when it fails.

        `ray stop` would stop every Ray process on this machine; here it stops those of this node, before anything else
        in the command.

        Raises:
            click.ClickException: the command failed; SystemExit instead when `exit_on_fail`.
        """
        node = self._nodes.get(self._node_id)
        command, stops = without_ray_stop(cmd or "true")
        if stops:
            stop_marked(node.mark)
        home = self._nodes.home(node.id)
        home.mkdir(parents=True, exist_ok=True)
        variables = node_environment(node, home, os.environ, environment_variables or {})
        done = self._bash(command, variables, timeout_s=timeout)
        if done.returncode and exit_on_fail:
            sys.stderr.write(done.stdout)
            raise SystemExit(done.returncode)
        if done.returncode:
            raise click.ClickException(
                f"local node {node.id}: exit code {done.returncode} of: {command}\n{done.stdout[-_SHOWN_OUTPUT:]}"
            )
        return done.stdout if with_output else ""

    def run_rsync_up(self, source: str, target: str, options: dict[str, Any] | None = None) -> None:
        """Copy a file or folder to the node; `~` in `target` is the node's folder, which two clusters do not share."""
        destination = self._on_node(target)
        destination.parent.mkdir(parents=True, exist_ok=True)
        _copy(Path(source), destination)

    def run_rsync_down(self, source: str, target: str, options: dict[str, Any] | None = None) -> None:
        """Copy a file or folder from the node; `~` in `source` is the node's folder."""
        _copy(self._on_node(source), Path(target).expanduser())

    def remote_shell_command_str(self) -> str:
        """What a person types for a shell on the node."""
        return "bash"

    def run_init(self, *, as_head: bool, file_mounts: dict[str, str], sync_run_yet: bool) -> bool | None:
        """Nothing to prepare on this machine."""
        return None

    def _on_node(self, path: str) -> Path:
        home = self._nodes.home(self._node_id)
        return home / path[2:] if path.startswith("~/") else Path(path)

    def _bash(
        self, command: str, variables: Mapping[str, str], *, timeout_s: float
    ) -> subprocess.CompletedProcess[str]:
        # A file, not a pipe: daemons that `ray start` leaves behind keep a pipe open, and reading it would never end.
        log = self._nodes.home(self._node_id) / "command.log"
        with log.open("w+", encoding="utf-8", errors="replace") as output:
            try:
                done = subprocess.run(
                    ["bash", "-c", command],
                    env=dict(variables),
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    timeout=timeout_s,
                    check=False,
                )
            except subprocess.TimeoutExpired:
                raise click.ClickException(f"local node: no end after {timeout_s:g} s of: {command}") from None
            output.seek(0)
            return subprocess.CompletedProcess(command, done.returncode, output.read())


def without_ray_stop(command: str) -> tuple[str, bool]:
    """The command with every `ray stop` taken out, and whether there was one.

    >>> without_ray_stop("export A=1; ray stop --force; ray start --head")
    ('export A=1; true; ray start --head', True)
    """
    rest, count = _RAY_STOP.subn("true", command)
    return rest, count > 0


def node_environment(
    node: LocalNode, home: Path, inherited: Mapping[str, str], extra: Mapping[str, object]
) -> dict[str, str]:
    """The environment of a node's commands; `extra` is Ray's, values that are not text become JSON."""
    here = str(Path(sys.executable).parent)
    own = {
        "PATH": os.pathsep.join([here, inherited.get("PATH", os.defpath)]),
        "NODE_IP": node.ip,
        "NODE_HOME": str(home),
        MARK_VARIABLE: node.mark,
    }
    # An address in the caller's environment is that of another cluster, or of the head that starts this worker.
    base = {name: value for name, value in inherited.items() if name != "RAY_ADDRESS"}
    return base | {name: value if isinstance(value, str) else json.dumps(value) for name, value in extra.items()} | own


def _copy(source: Path, destination: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, destination, dirs_exist_ok=True)
    else:
        shutil.copy2(source, destination)
