"""HAProxy as Ray Serve starts it, with a guard beside it that brings it back at once when it is killed.

Serve notices a killed HAProxy after three health checks, and the next one knows no route at first: half a minute of
refused connections, then a second of 404. Serve runs this file in HAProxy's place (RAY_SERVE_HAPROXY_BINARY_PATH); it
becomes HAProxy under the same process id, and leaves a guard behind:

- When HAProxy has ended and nobody listens in its place, the guard starts a stand-in with the same configuration, and
  ends Serve's manager of that HAProxy, which could not reload it any more: Serve makes a new one.
- The first HAProxy of a manager goes on with the listeners and the configuration of the one that is there. So does a
  reload without any route after one with some: a new manager that was told of nothing yet. (There is always a route
  while a cluster is up: the server's own.)
- One starts at a time. An HAProxy that cannot have its port takes the admin socket with it when it ends, and the one
  that lives is reached no more: who lives is therefore told by who listens, and it is then taken over by signals.

Only the standard library, nothing of this package: the file is run by itself, at every reload.
"""

import fcntl
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
_START_S = 10.0  # an HAProxy listens within .1 s of its start


def main(haproxy: str, arguments: list[str]) -> None:
    """Become HAProxy, started with `arguments`: `-f CONFIG` among them, and `-sf` when it is a reload."""
    config = Path(arguments[arguments.index("-f") + 1])
    turn = _await_turn(config)
    if "-sf" in arguments:
        if _has_routes(config) or not (_kept(config).exists() and _has_routes(_kept(config))):
            shutil.copyfile(config, _kept(config))
        else:
            shutil.copyfile(_kept(config), config)
        arguments = _reachable(config, arguments)
    else:
        arguments = [*arguments, *_take_over(config)]
    pid, manager = os.getpid(), os.getppid()
    if os.fork() == 0:
        _leave_the_parents_files(turn)
        command = [haproxy, *(a for a in arguments if a in ("-db", "-dR")), "-f", str(_kept(config))]
        _guard(command, config, pid=pid, manager=manager, turn=turn)
        os._exit(0)
    os.close(turn)
    os.execv(haproxy, [haproxy, *arguments])


def _await_turn(config: Path) -> int:
    """A lock, as a file descriptor: held from before an HAProxy is started until it listens."""
    turn = os.open(config.with_name(f"{config.name}.turn"), os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(turn, fcntl.LOCK_EX)
    return turn


def _await_listener(config: Path, pid: int, process: int) -> bool:
    """Wait until HAProxy `pid` listens, whose pidfd is `process`; false: it ended before, or did not come to it."""
    until_s = time.monotonic() + _START_S
    while time.monotonic() < until_s and not _ended(process):
        if pid in _listeners(config):
            return True
        time.sleep(0.02)
    return False


def _take_over(config: Path) -> list[str]:
    """Options with which a manager's first HAProxy goes on where the last one of this configuration stands."""
    if not _kept(config).exists():
        return []
    shutil.copyfile(_kept(config), config)
    admin = _admin_socket(config)
    pid = _pid_behind(admin)
    if pid is not None:
        return ["-sf", str(pid), "-x", admin]
    return ["-sf", *map(str, listeners)] if (listeners := _listeners(config)) else []


def _reachable(config: Path, arguments: list[str]) -> list[str]:
    """The arguments of a reload; an HAProxy without admin socket is asked by signals to make room."""
    if "-x" not in arguments or _pid_behind(_admin_socket(config)) is not None:
        return arguments
    place = arguments.index("-x")
    without = [*arguments[:place], *arguments[place + 2 :]]
    first = without.index("-sf") + 1
    return [*without[:first], *(str(p) for p in _listeners(config) if str(p) not in without), *without[first:]]


def _guard(command: list[str], config: Path, *, pid: int, manager: int, turn: int) -> None:
    """Wait for the end of HAProxy `pid`; stand in for it with `command` unless another one took over."""
    ours, managers, raylets = os.pidfd_open(pid), os.pidfd_open(manager), os.pidfd_open(_parent(manager))
    _await_listener(config, pid, ours)
    os.close(turn)
    select.select([ours], [], [])
    until_s = time.monotonic() + _SUCCESSOR_S
    process = None
    while _kept(config).exists() and not _ended(raylets):
        if process is None or process.poll() is not None:
            process = _stand_in(command, config, managers)
            if process is None:
                return
        elif time.monotonic() > until_s:
            _kept(config).unlink()
        time.sleep(_LOOK_S)
    if process is not None:
        process.kill()


def _stand_in(command: list[str], config: Path, managers: int) -> subprocess.Popen[bytes] | None:
    """Start an HAProxy and end the manager that cannot reload it; None: another one listens."""
    turn = _await_turn(config)
    try:
        if _listeners(config):
            return None
        process = subprocess.Popen(command)
        listens = _await_listener(config, process.pid, os.pidfd_open(process.pid))
    finally:
        os.close(turn)
    if listens and not _ended(managers):
        signal.pidfd_send_signal(managers, signal.SIGKILL)
    return process


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


def _listeners(config: Path) -> list[int]:
    """The HAProxys of this configuration that listen on its ports."""
    sockets = _listening_sockets(_ports(config))
    found = []
    for process in Path("/proc").iterdir() if sockets else ():
        if process.name.isdigit() and _is_haproxy_of(config, process) and sockets & _open_files(process):
            found.append(int(process.name))
    return found


def _ports(config: Path) -> set[int]:
    text = _kept(config).read_text() if _kept(config).exists() else config.read_text()
    return {int(port) for port in re.findall(r"^\s*bind \S*:(\d+)", text, re.MULTILINE)}


def _listening_sockets(ports: set[int]) -> set[str]:
    """As the links in /proc/PID/fd name them; formats: proc_net_tcp of the kernel's documentation."""
    sockets = set()
    for table in (Path("/proc/net/tcp"), Path("/proc/net/tcp6")):
        for line in table.read_text().splitlines()[1:] if table.exists() else ():
            fields = line.split()
            if fields[3] == "0A" and int(fields[1].rpartition(":")[2], 16) in ports:
                sockets.add(f"socket:[{fields[9]}]")
    return sockets


def _is_haproxy_of(config: Path, process: Path) -> bool:
    try:
        arguments = (process / "cmdline").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return False
    own = {str(config), str(_kept(config))}
    return "python" not in Path(arguments[0]).name and not own.isdisjoint(arguments)


def _open_files(process: Path) -> set[str]:
    try:
        return {os.readlink(file) for file in (process / "fd").iterdir()}
    except OSError:  # it has ended meanwhile
        return set()


def _parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def _ended(process: int) -> bool:
    """Whether the process behind a pidfd has ended."""
    return bool(select.select([process], [], [], 0)[0])


def _leave_the_parents_files(turn: int) -> None:
    """A guard outlives its HAProxy and the manager, and holds nothing of theirs open but the lock `turn`."""
    os.setsid()
    null = os.open(os.devnull, os.O_RDWR)
    for standard in range(3):
        os.dup2(null, standard)
    os.closerange(3, turn)
    os.closerange(turn + 1, 4096)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
