"""The demo as a user runs it: the whole loop, what it tells, and what can be asked about it afterwards."""

import json
from pathlib import Path
from typing import Any

import pytest

from mlops_ray.spec import Workspace
from tests.cli.command import Done, mlops_ray, running_for

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

ROOT = Path(__file__).parents[2]
_LIMIT_BYTES = 8 * 2**30


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the demo lives; a folder of its own, so that a demo somebody looks at stays."""
    return tmp_path_factory.mktemp("demo") / "home"


@pytest.fixture(scope="module")
def demo(home: Path) -> Done:
    """The demo that ended, run once in the clone."""
    done = mlops_ray("demo", cwd=ROOT, home=home, timeout_s=840)
    assert done.code == 0, done.err[-2000:]
    return done


@pytest.fixture(scope="module")
def report(demo: Done, home: Path) -> dict[str, Any]:
    """What it wrote."""
    content = json.loads((home / "report.json").read_text())
    assert isinstance(content, dict)
    return content


@pytest.fixture
def elsewhere(live: Workspace) -> dict[str, str]:
    """What makes commands work on another cluster: the demo has ended its own."""
    return {"MLOPS_RAY_RAY_ADDRESS": live.ray_address}


def test_the_report_is_the_answer_too_and_has_every_part(demo: Done, report: dict[str, Any]) -> None:
    assert demo.answer == report
    parts = (
        *("dataset_versions", "model_versions", "gates", "alerts", "retraining", "rollouts", "requests"),
        *("answers_by_version", "audit", "steps", "wall_s", "peak_memory_bytes"),
    )
    assert [part for part in parts if not report.get(part)] == []


def test_no_request_failed(report: dict[str, Any]) -> None:
    requests = report["requests"]
    assert (requests["failed"], requests["first_error"]) == (0, None)
    assert requests["answered"] == requests["sent"] >= 2000
    assert sum(report["answers_by_version"].values()) == requests["answered"]


def test_data_came_in_versions_and_bad_rows_were_left_out(report: dict[str, Any]) -> None:
    versions = report["dataset_versions"]
    assert [v["ref"] for v in versions] == [f"mlops.churn@v{n + 1}" for n in range(len(versions))]
    assert len({v["snapshot_id"] for v in versions}) == len(versions) >= 2
    assert any(v["quarantined_rows"] > 0 for v in versions)


def test_drift_was_seen_and_answered_by_a_retraining(report: dict[str, Any]) -> None:
    drift = [alert for alert in report["alerts"] if alert["kind"] == "drift"]
    assert drift
    assert drift[0]["features"]
    retraining = report["retraining"]
    assert retraining["job_id"]
    assert (retraining["cause"], retraining["state"]) == ("drift", "succeeded")
    assert retraining["alert"] in {alert["id"] for alert in drift}


def test_a_good_version_became_champion_and_a_bad_one_was_rolled_back(report: dict[str, Any]) -> None:
    first, canary, bad = report["rollouts"]
    assert [r["phase"] for r in (first, canary, bad)] == ["COMPLETED", "COMPLETED", "ROLLED_BACK"]
    shares = [mark["share"] for mark in canary["phases"] if mark["phase"] == "CANARY"]
    assert shares == sorted(shares)
    assert len(shares) >= 2
    for rollout in (canary, bad):
        times = [mark["after_s"] for mark in rollout["phases"]]
        assert times == sorted(times)
        assert report["answers_by_version"][str(rollout["version"])] > 0
    stages = {v["version"]: v["stage"] for v in report["model_versions"]}
    assert (stages[canary["version"]], stages[bad["version"]]) == ("champion", "rolled_back")


def test_every_version_passed_its_gates_before_it_was_delivered(report: dict[str, Any]) -> None:
    verdicts = {gate["version"]: gate["verdict"] for gate in report["gates"]}
    assert {rollout["version"] for rollout in report["rollouts"]} <= {v for v in verdicts if verdicts[v] == "PASS"}


def test_it_tells_its_times_and_kept_to_its_memory(report: dict[str, Any]) -> None:
    assert 0 < sum(report["steps"].values()) <= report["wall_s"]
    assert 0 < report["peak_memory_bytes"] < _LIMIT_BYTES


def test_the_audit_chain_verifies_afterwards(home: Path, report: dict[str, Any]) -> None:
    verified = mlops_ray("audit", "verify", cwd=ROOT, home=home)
    assert verified.code == 0, verified.err
    assert report["audit"]["verified"] is True
    assert verified.answer["events"] >= report["audit"]["events"] > 0


def test_the_bad_version_leaves_a_post_mortem_with_its_errors(home: Path, report: dict[str, Any]) -> None:
    left = mlops_ray("postmortem", "churn", cwd=ROOT, home=home)
    assert (left.code, left.answer["version"]) == (0, 3), left.err
    assert left.answer["rollout"] in {rollout["id"] for rollout in report["rollouts"]}
    assert left.answer["errors"], "the bad version failed requests, and nobody wrote down why"


def test_a_served_request_leads_back_to_all_that_made_it(home: Path, report: dict[str, Any]) -> None:
    lineage = mlops_ray("lineage", report["sample_request"], cwd=ROOT, home=home)
    assert lineage.code == 0, lineage.err
    content = lineage.answer
    assert content["request"]["request_id"] == report["sample_request"]
    version = content["model_version"]
    known = {v["version"]: v for v in report["model_versions"]}[version["version"]]
    assert (version["model"], content["run"]["run_id"], content["dataset_version"]["ref"]) == (
        "churn",
        known["run"],
        known["dataset"],
    )
    assert all(source["uri"].endswith(".parquet") and len(source["sha256"]) == 64 for source in content["sources"])
    assert {source["uri"].rsplit("/", 1)[1] for source in content["sources"]} >= {"batch-1.parquet", "batch-2.parquet"}
    assert set(content["code_version"]) >= {"sha", "dirty", "lock_digest"}
    text = mlops_ray("lineage", report["sample_request"], cwd=ROOT, home=home, as_json=False).out
    for word in (f"churn v{version['version']}", known["run"], known["dataset"], "sha256", "code version"):
        assert word in text


def test_a_model_of_it_comes_out_again_equal_to_the_bit(
    home: Path, report: dict[str, Any], elsewhere: dict[str, str]
) -> None:
    version = report["model_versions"][0]["version"]
    again = mlops_ray("reproduce", f"churn@{version}", cwd=ROOT, home=home, environment=elsewhere)
    assert again.code == 0, again.err[-2000:]
    assert (again.answer["verdict"], again.answer["bytes_equal"]) == ("PASS", True)


def test_the_difference_of_its_batches_names_what_drifted(
    home: Path, report: dict[str, Any], elsewhere: dict[str, str]
) -> None:
    first, last = report["dataset_versions"][0]["ref"], report["dataset_versions"][-1]["ref"]
    told = mlops_ray("data", "diff", first, last, cwd=ROOT, home=home, environment=elsewhere)
    assert told.code == 0, told.err
    alert = next(alert for alert in report["alerts"] if alert["kind"] == "drift")
    assert set(told.answer["drifted"]) & set(alert["features"])


def test_nothing_of_it_is_left_running(demo: Done, home: Path) -> None:
    assert demo.code == 0
    assert running_for(home) == []
