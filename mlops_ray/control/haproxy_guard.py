"""HAProxy as Ray Serve starts it, with a guard beside it that brings it back at once when it is killed.

Serve notices a killed HAProxy after three health checks, and the next one knows no route at first: half a minute of
refused connections, then a second of 404. Serve runs this file in HAProxy's place (RAY_SERVE_HAPROXY_BINARY_PATH); it
becomes HAProxy under the same process id, and leaves a guard behind:

- When HAProxy has ended and nobody answers on its admin socket, the guard starts a stand-in with the same
  configuration, and ends Serve's manager of that HAProxy, which could not reload it any more: Serve makes a new one.
- The first HAProxy of a manager goes on with the listeners and the configuration of the one that is there. So does a
  reload without any route after one with some: a new manager that was told of nothing yet. (There is always a route
  while a cluster is up: the server's own.)

Only the standard library, nothing of this package: the file is run by itself, at every reload.
"""

import os
import re
import select
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

__all__ = ["main"]

_SUCCESSOR_S = 60.0  # Serve takes seconds to make a new manager; longer only when it is being shut down
_LOOK_S = 0.2
_ANSWER_S = 2.0


def main(haproxy: str, arguments: list[str]) -> None:
    """Become HAProxy, started with `arguments`: `-f CONFIG` among them, and `-sf` when it is a reload."""
    config = Path(arguments[arguments.index("-f") + 1])
    if "-sf" in arguments:
        if _has_routes(config) or not (_kept(config).exists() and _has_routes(_kept(config))):
            shutil.copyfile(config, _kept(config))
        else:
            shutil.copyfile(_kept(config), config)
    else:
        arguments = [*arguments, *_take_over(config)]
    pid, manager = os.getpid(), os.getppid()
    if os.fork() == 0:
        _leave_the_parents_files()
        _guard(haproxy, config, pid=pid, manager=manager, options=[a for a in arguments if a in ("-db", "-dR")])
        os._exit(0)
    os.execv(haproxy, [haproxy, *arguments])


def _take_over(config: Path) -> list[str]:
    """Options with which a manager's first HAProxy goes on where the last one of this configuration stands."""
    if not _kept(config).exists():
        return []
    shutil.copyfile(_kept(config), config)
    admin = _admin_socket(config)
    pid = _pid_behind(admin)
    return [] if pid is None else ["-sf", str(pid), "-x", admin]


def _guard(haproxy: str, config: Path, *, pid: int, manager: int, options: list[str]) -> None:
    """Wait for the end of HAProxy `pid`; stand in for it unless another one took over."""
    ours, managers, raylets = os.pidfd_open(pid), os.pidfd_open(manager), os.pidfd_open(_parent(manager))
    select.select([ours], [], [])
    command = [haproxy, *options, "-f", str(_kept(config))]
    until_s = time.monotonic() + _SUCCESSOR_S
    process = None
    while _kept(config).exists() and not _ended(raylets):
        if process is None or process.poll() is not None:
            if _pid_behind(_admin_socket(config)) is not None:
                return
            process = subprocess.Popen(command)
            if not _ended(managers):
                signal.pidfd_send_signal(managers, signal.SIGKILL)
        elif time.monotonic() > until_s:
            _kept(config).unlink()
        time.sleep(_LOOK_S)
    if process is not None:
        process.kill()


def _has_routes(config: Path) -> bool:
    return re.search(r"^\s*use_backend \S+ if is_", config.read_text(), re.MULTILINE) is not None


def _kept(config: Path) -> Path:
    """The configuration of the last reload, which knows the routes."""
    return config.with_name(f"{config.name}.kept")


def _admin_socket(config: Path) -> str:
    found = re.search(r"^\s*stats socket (\S+)", _kept(config).read_text(), re.MULTILINE)
    return found.group(1) if found else ""


def _pid_behind(admin: str) -> int | None:
    """Which HAProxy answers on the admin socket; None: nobody does."""
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(_ANSWER_S)
            connection.connect(admin)
            connection.sendall(b"show info\n")
            with connection.makefile() as lines:
                found = [line.split(":")[1] for line in lines if line.startswith("Pid:")]
    except OSError:
        return None
    return int(found[0]) if found else None


def _parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def _ended(process: int) -> bool:
    """Whether the process behind a pidfd has ended."""
    return bool(select.select([process], [], [], 0)[0])


def _leave_the_parents_files() -> None:
    """A guard outlives its HAProxy and the manager, and holds nothing of theirs open."""
    os.setsid()
    null = os.open(os.devnull, os.O_RDWR)
    for standard in range(3):
        os.dup2(null, standard)
    os.closerange(3, 4096)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
