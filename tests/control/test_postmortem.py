import json
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mlops_ray.control.postmortem import PostMortems, read_postmortem
from mlops_ray.errors import NotFoundError
from mlops_ray.lake import Lake
from mlops_ray.records import RecordLog, served_schema
from mlops_ray.rollout import Phase
from mlops_ray.spec import Workspace
from mlops_ray.store import RolloutRecord
from tests.control.world import WORSE, World


def served(canary: int, errors: Sequence[str | None], at_s: float) -> pa.Table:
    """One request for the canary for each error, None being a good answer."""
    n = len(errors)
    columns = {
        "request_id": [f"r{i}" for i in range(n)],
        "row": [0] * n,
        "unit": [f"u{i}" for i in range(n)],
        "time_s": [at_s] * n,
        "version": [1 if e else canary for e in errors],
        "role": ["champion" if e else "canary" for e in errors],
        "assigned": ["canary"] * n,
        "canary": [canary] * n,
        "epoch": [3] * n,
        "share": [0.1] * n,
        "status": [200] * n,
        "error": errors,
        "latency_ms": [1.0] * n,
        "queue_ms": [0.0] * n,
        "predict_ms": [1.0] * n,
        "score": [0.5] * n,
        "paired_score": [None] * n,
        "confidence": [None] * n,
        "scores": [None] * n,
        "features": [{"a": float(i)} for i in range(n)],
    }
    return pa.Table.from_pydict(columns, schema=served_schema(pa.struct([("a", pa.float64())])))


@pytest.fixture
def failed(tmp_path: Path) -> tuple[World, Workspace, RolloutRecord]:
    """A world in which version 2 was rolled back after four failed requests."""
    world, workspace = World(tmp_path).champion(1), Workspace.at(tmp_path)
    world.traffic = WORSE
    rollout = world.run(world.deploy(2))
    assert rollout.phase == Phase.ROLLED_BACK
    log = RecordLog(Lake(workspace.lake), "toy")
    log.append_served("a-00000001", served(2, ["boom"] * 3 + ["late", None], rollout.created_s + 1), rollout.created_s)
    return world, workspace, rollout


def postmortems(world: World, workspace: Workspace) -> PostMortems:
    return PostMortems(workspace, world.store, clock=lambda: world.now_s)


def test_a_rolled_back_version_leaves_its_reasons_its_errors_and_its_failed_requests(
    failed: tuple[World, Workspace, RolloutRecord],
) -> None:
    world, workspace, rollout = failed
    world.now_s += 60
    postmortems(world, workspace).tick()
    report = read_postmortem(workspace, world.store, "toy", None)
    assert (report["rollout"], report["version"], report["champion"]) == (rollout.id, 2, 1)
    assert report["errors"] == {"boom": 3, "late": 1}
    assert [mark["phase"] for mark in report["history"]][-1] == "ROLLED_BACK"
    assert "FAIL" in {v["verdict"] for v in report["verdicts"]}
    folder = f"postmortems/toy/{rollout.id}"
    rows = pq.read_table(pa.BufferReader(Lake(workspace.lake).read_bytes(f"{folder}/failed.parquet")))
    assert rows["request_id"].to_pylist() == ["r0", "r1", "r2", "r3"]
    assert report["reason"] in Lake(workspace.lake).read_bytes(f"{folder}/README.md").decode()


def test_it_is_written_once_whoever_looks_and_however_often(failed: tuple[World, Workspace, RolloutRecord]) -> None:
    world, workspace, rollout = failed
    world.now_s += 60
    first = postmortems(world, workspace)
    first.tick()
    first.tick()
    postmortems(world, workspace).tick()
    assert world.kinds(rollout.id).count("rollout.postmortem") == 1
    assert world.store.verify().verified


def test_it_waits_for_the_last_records_of_the_replicas(failed: tuple[World, Workspace, RolloutRecord]) -> None:
    world, workspace, _ = failed
    postmortems(world, workspace).tick()
    with pytest.raises(NotFoundError, match="no post-mortem yet"):
        read_postmortem(workspace, world.store, "toy", None)


def test_a_rollout_that_is_not_there_is_answered_with_those_that_are(
    failed: tuple[World, Workspace, RolloutRecord],
) -> None:
    world, workspace, rollout = failed
    with pytest.raises(NotFoundError, match=rollout.id):
        read_postmortem(workspace, world.store, "toy", "toy-v9")


def test_the_report_is_plain_json(failed: tuple[World, Workspace, RolloutRecord]) -> None:
    world, workspace, rollout = failed
    world.now_s += 60
    postmortems(world, workspace).tick()
    text = Lake(workspace.lake).read_bytes(f"postmortems/toy/{rollout.id}/report.json")
    assert json.loads(text)["evidence"]["canary_requests"] > 0
