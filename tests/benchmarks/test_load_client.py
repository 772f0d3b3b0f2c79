"""The client of the throughput benchmark ends, and counts what it sent, in a closed loop and in an open one."""

import json
import subprocess
import sys
from collections.abc import Iterator

import pytest

from benchmarks.server_process import ROOT, ServerProcess
from benchmarks.throughput import SYSTEMS
from benchmarks.workload import make_workload

PLAIN = next(system for system in SYSTEMS if system.name == "plain_fastapi")


@pytest.fixture(scope="module")
def command(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[str]]:
    """The client's command line for a server that is there."""
    workload = make_workload(tmp_path_factory.mktemp("workload"), seed=7)
    server = ServerProcess(PLAIN, workload.folder)
    try:
        server.wait_until_right(workload)
        yield [sys.executable, "-m", "benchmarks.load_client", server.url, str(workload.bodies(PLAIN.shape))]
    finally:
        server.stop()


@pytest.mark.parametrize("rate", [None, 30])
def test_a_load_ends_and_every_request_is_answered(command: list[str], rate: int | None) -> None:
    options = ["--connections", "8", "--seconds", "0.3", *(["--rate", str(rate)] if rate else [])]
    done = subprocess.run([*command, *options], cwd=ROOT, check=True, capture_output=True, text=True, timeout=60)
    found = json.loads(done.stdout)
    assert (found["failed"], found["problem"]) == (0, "")
    assert found["sent"] >= found["requests"] > 0
    # On a schedule of a second, of which the first 0.7 s are warm-up; connecting takes some of it.
    assert rate is None or (found["sent"] <= rate + 1 and found["requests"] <= 0.3 * rate + 1)
