import json
import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from mlops_ray.control.processes import Processes

SLEEPER = [sys.executable, "-c", "import time; print('up', flush=True); time.sleep(100)"]
STUBBORN = [
    sys.executable,
    "-c",
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(100)",
]
PARENT = [
    sys.executable,
    "-c",
    "import subprocess, sys, time; print(subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(100)']).pid,"
    " flush=True); time.sleep(100)",
]


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[Processes]:
    """Processes of an empty home; whatever a test starts is ended."""
    processes = Processes(tmp_path)
    yield processes
    for name in ("a", "b"):
        processes.stop(name, patience_s=0.1)


def said(processes: Processes, name: str) -> str:
    """What the process wrote first."""
    for _ in range(200):
        if text := processes.log_tail(name):
            return text
        time.sleep(0.05)
    raise AssertionError(f"{name} says nothing")


def test_a_process_is_found_again_by_its_name_from_another_object(processes: Processes, tmp_path: Path) -> None:
    pid = processes.start("a", SLEEPER, environment=os.environ)
    found = Processes(tmp_path).running("a")
    assert found is not None
    assert found.pid == pid


def test_its_output_is_kept(processes: Processes) -> None:
    processes.start("a", SLEEPER, environment=os.environ)
    assert said(processes, "a") == "up"


def test_stopping_ends_it_and_forgets_it(processes: Processes) -> None:
    pid = processes.start("a", SLEEPER, environment=os.environ)
    assert processes.stop("a")
    assert not psutil.pid_exists(pid)
    assert processes.running("a") is None
    assert not processes.stop("a")


def test_children_end_with_their_parent(processes: Processes) -> None:
    processes.start("a", PARENT, environment=os.environ)
    child = int(said(processes, "a"))
    processes.stop("a")
    assert not psutil.pid_exists(child) or psutil.Process(child).status() == psutil.STATUS_ZOMBIE


def test_one_that_will_not_go_is_killed(processes: Processes) -> None:
    pid = processes.start("a", STUBBORN, environment=os.environ)
    said(processes, "a")
    assert processes.stop("a", patience_s=0.2)
    assert not psutil.pid_exists(pid)


def test_a_process_that_died_is_not_running(processes: Processes) -> None:
    os.kill(processes.start("a", SLEEPER, environment=os.environ), signal.SIGKILL)
    for _ in range(100):
        if processes.running("a") is None:
            return
        time.sleep(0.05)
    raise AssertionError("still said to be running")


def test_another_process_under_the_same_id_is_never_touched(processes: Processes, tmp_path: Path) -> None:
    other = processes.start("b", SLEEPER, environment=os.environ)
    file = tmp_path / "processes.json"
    known = json.loads(file.read_text())
    file.write_text(json.dumps(known | {"a": {"pid": other, "started_s": known["b"]["started_s"] - 1000}}))
    assert processes.running("a") is None
    assert not processes.stop("a")
    assert processes.running("b") is not None


def test_one_process_leaves_the_memory_of_the_others_alone(processes: Processes) -> None:
    processes.start("a", SLEEPER, environment=os.environ)
    processes.start("b", SLEEPER, environment=os.environ)
    processes.stop("a")
    assert processes.running("b") is not None
