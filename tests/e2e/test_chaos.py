"""One round of the loop in which a process dies at every edge; `make chaos` goes round five times."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1300)]

ROOT = Path(__file__).parents[2]
TIMEOUT_S = 1200


def test_the_loop_goes_round_once_whoever_is_killed() -> None:
    # A process of its own: the loop runs on a cluster of its own, with an MLflow server that can be killed.
    command = [sys.executable, "-m", "benchmarks.chaos", "--cycles", "1", "--json"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    report = json.loads(done.stdout.splitlines()[-1])
    assert report["broken_promises"] == []
    assert [cycle["promotions"] for cycle in report["cycles"]] == [1]
    killed = {kill["victim"] for kill in report["kills"] if kill["pid"] is not None}
    assert killed >= {"control actor", "drift actor", "MLflow server", "champion replica"}
    assert report["killed"] >= 7
    assert report["labels_accepted"] > 500
    assert report["audit"]["verified"]
