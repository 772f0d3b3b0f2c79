"""Finding and stopping exactly the processes that carry a mark."""

import os
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator

import psutil
import pytest

from mlops_ray.control.marked_processes import MARK_VARIABLE, find_marked, stop_marked

SLEEP = "import time; time.sleep(60)"
STUBBORN = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('ready', flush=True); time.sleep(60)"
)
WITH_A_CHILD = f"import subprocess, sys, time; subprocess.Popen([sys.executable, '-c', {SLEEP!r}]); time.sleep(60)"


class Started:
    """Processes of a test, ended with it."""

    def __init__(self) -> None:
        self.all: list[subprocess.Popen[bytes]] = []

    def __call__(self, code: str, mark: str) -> subprocess.Popen[bytes]:
        environment = os.environ | {MARK_VARIABLE: mark}
        process = subprocess.Popen([sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE)
        self.all.append(process)
        return process


@pytest.fixture
def start() -> Iterator[Started]:
    started = Started()
    yield started
    for process in started.all:
        process.kill()
        process.communicate()


@pytest.fixture
def mark() -> Iterator[str]:
    mark = uuid.uuid4().hex
    yield mark
    stop_marked(mark, grace_s=0)


def wait_for(count: int, mark: str) -> list[psutil.Process]:
    deadline_s = time.monotonic() + 10
    while len(found := find_marked(mark)) != count and time.monotonic() < deadline_s:
        time.sleep(0.05)
    assert len(found) == count
    return found


def test_a_process_and_the_child_it_left_behind_are_found(start: Started, mark: str) -> None:
    parent = start(WITH_A_CHILD, mark)
    child = next(process for process in wait_for(2, mark) if process.pid != parent.pid)
    parent.kill()
    parent.wait()
    assert [process.pid for process in wait_for(1, mark)] == [child.pid]


def test_only_processes_with_this_mark_are_stopped(start: Started, mark: str) -> None:
    own, other = start(SLEEP, mark), start(SLEEP, uuid.uuid4().hex)
    wait_for(1, mark)
    assert stop_marked(mark) == 1
    assert own.wait(timeout=5) is not None
    assert other.poll() is None


def test_a_mark_that_only_begins_alike_is_another(start: Started, mark: str) -> None:
    other = start(SLEEP, mark + "0")
    wait_for(1, mark + "0")
    assert stop_marked(mark) == 0
    assert other.poll() is None


def test_a_process_that_does_not_listen_is_killed_after_the_grace(start: Started, mark: str) -> None:
    process = start(STUBBORN, mark)
    assert process.stdout is not None
    process.stdout.readline()
    assert stop_marked(mark, grace_s=0.3) == 1
    assert not psutil.pid_exists(process.pid)


def test_the_caller_is_spared_even_with_the_mark(mark: str) -> None:
    code = f"from mlops_ray.control.marked_processes import stop_marked; print(stop_marked({mark!r}))"
    environment = os.environ | {MARK_VARIABLE: mark}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "0"


def test_nothing_to_stop_is_fine(mark: str) -> None:
    assert stop_marked(mark) == 0
