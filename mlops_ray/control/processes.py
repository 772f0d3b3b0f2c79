"""Processes this package started and may end: remembered by pid, start time and a mark, so that no other is touched."""

import json
import os
import subprocess
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil

from mlops_ray.control.marked_processes import MARK_VARIABLE, stop_marked

__all__ = ["Processes"]

_SAME_START_S = 1.0


class Processes:
    """The background processes of one home, by name."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._file = home / "processes.json"
        self._children: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, name: str, command: Sequence[str], *, environment: Mapping[str, str]) -> int:
        """Start `command` in the background, its output in `<home>/logs/<name>.log`; the process id."""
        mark = uuid.uuid4().hex
        logs = self._home / "logs"
        logs.mkdir(parents=True, exist_ok=True)
        with (logs / f"{name}.log").open("wb") as log:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**environment, MARK_VARIABLE: mark},
                start_new_session=True,
            )
        self._children[name] = process
        known = self._read()
        known[name] = {
            "pid": process.pid,
            "started_s": psutil.Process(process.pid).create_time(),
            "mark": mark,
        }
        self._write(known)
        return process.pid

    def running(self, name: str) -> psutil.Process | None:
        """The process of that name if it lives and is ours."""
        known = self._read().get(name)
        if known is None:
            return None
        try:
            process = psutil.Process(int(known["pid"]))
            ours = abs(process.create_time() - known["started_s"]) < _SAME_START_S
            return process if ours and process.status() != psutil.STATUS_ZOMBIE else None
        except psutil.NoSuchProcess:
            return None

    def log_tail(self, name: str, lines: int = 15) -> str:
        """The last lines of a process's output."""
        file = self._home / "logs" / f"{name}.log"
        text = file.read_text(errors="replace") if file.exists() else ""
        return "\n".join(text.splitlines()[-lines:])

    def stop(self, name: str, *, patience_s: float = 20.0) -> bool:
        """End a process and all it started, politely first; False when nothing of it was running.

        What it started carries its mark, also what has left its process tree as HAProxy does.
        """
        mark = self._read().get(name, {}).get("mark")
        process = self.running(name)
        if process is not None:
            process.terminate()
            psutil.wait_procs([process], timeout=patience_s)
        left = stop_marked(str(mark)) if mark is not None else 0
        self._forget(name)
        return process is not None or left > 0

    def _forget(self, name: str) -> None:
        child = self._children.pop(name, None)
        if child is not None:
            child.poll()  # a child that has ended is a zombie until its parent asks
        known = self._read()
        if known.pop(name, None) is not None:
            self._write(known)

    def _read(self) -> dict[str, dict[str, Any]]:
        if not self._file.exists():
            return {}
        content: dict[str, dict[str, Any]] = json.loads(self._file.read_text())
        return content

    def _write(self, content: Mapping[str, Mapping[str, Any]]) -> None:
        self._home.mkdir(parents=True, exist_ok=True)
        temporary = self._file.with_suffix(f".{os.getpid()}")
        temporary.write_text(json.dumps(content))
        temporary.replace(self._file)
