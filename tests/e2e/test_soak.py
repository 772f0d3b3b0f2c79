"""Every request gets the right answer while versions come and go and processes are killed; `make soak` for longer."""

import pytest

from benchmarks.soak import run
from mlops_ray.spec import Workspace

pytestmark = pytest.mark.slow

WHILE = {
    "deploy",
    "canary steps",
    "promote",
    "rollback of a promotion",
    "canary of a bad version",
    "rollback of a bad version",
    "a canary replica killed",
    "the control actor killed",
    "a champion replica killed",
    "HAProxy killed",
}


def test_every_request_is_answered_right_through_deliveries_and_kills(live: Workspace) -> None:
    report = run(live, name="soaked", rate_per_s=60, step_s=2, minutes=0)
    assert report["broken_promises"] == []
    by_name = {row["episode"]: row for row in report["rows"]}
    assert by_name.keys() >= WHILE - {"promote"}
    assert {name: row["wrong"] + row["failed"] for name, row in by_name.items()} == dict.fromkeys(by_name, 0)
    assert sum(row["requests"] for row in report["rows"]) == report["requests"] > 60 * 30
    assert report["audit_chain_verified"]
    assert "ROLLED_BACK, errors" in report["rollouts"][1]
