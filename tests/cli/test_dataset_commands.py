"""`mlops-ray data ...` as processes."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mlops_ray.spec import Workspace
from tests.cli.command import mlops_ray
from tests.data.batches import commit


def test_versions_are_shown_named_and_deleted_without_a_cluster(tmp_path: Path) -> None:
    home = tmp_path / "home"
    commit(Workspace.at(home), now_s=60)
    commit(Workspace.at(home), now_s=120)

    def data(line: str, *, as_json: bool = True) -> str:
        done = mlops_ray("data", *line.split(), cwd=tmp_path, home=home, as_json=as_json)
        return done.out if done.code == 0 else done.error

    assert "tag audited is mlops.churn@v1" in data("tag churn@v1 audited", as_json=False)
    assert "has a tag 'audited' already" in data("tag churn@v2 audited")
    lines = data("log churn", as_json=False).splitlines()
    assert [line.split()[0] for line in lines] == ["mlops.churn@v2", "mlops.churn@v1"]
    assert lines[1].endswith("[tag audited]")
    assert json.loads(data("checkout churn 1970-01-01T00:01:59Z"))["names"] == ["tag audited"]
    assert json.loads(data("tag churn audited --delete"))["deleted"]
    assert "mlops.churn has no version 'audited'; it has v1 to v2" in data("show churn@audited")
    assert "nothing to remove" in data("gc --older-than-s 0 --dry-run", as_json=False)


SPEC = {
    "name": "orders",
    "data": {"source": "raw", "label": "y", "features": {"a": "float", "b": "int", "plan": "category"}},
}


def _orders(seed: int, *, shift: float = 0.0) -> pa.Table:
    generator = np.random.default_rng(seed)
    a = generator.normal(shift, 1, 1000)
    return pa.table(
        {
            "a": a,
            "b": generator.integers(0, 9, 1000),
            "plan": generator.choice(["free", "pro"], 1000),
            "y": (generator.random(1000) < 0.3).astype(np.int64),
        }
    )


@pytest.mark.slow
def test_people_write_audit_and_publish_by_commands(tmp_path: Path, live: Workspace) -> None:
    (tmp_path / "orders.yaml").write_text(json.dumps(SPEC))
    (tmp_path / "raw").mkdir()
    environment = {"MLOPS_RAY_RAY_ADDRESS": live.ray_address, "MLOPS_RAY_SERVE": live.serve}

    def run(line: str) -> dict[str, object]:
        done = mlops_ray(*line.split(), cwd=tmp_path, home=tmp_path / "home", environment=environment)
        assert done.code == 0, done.err
        return done.answer

    pq.write_table(_orders(0), tmp_path / "raw" / "1.parquet")
    assert run("ingest orders.yaml")["dataset"] == "mlops.orders@v1"
    run("data branch orders.yaml@latest audit")
    pq.write_table(_orders(1, shift=1.0), tmp_path / "raw" / "2.parquet")
    assert str(run("ingest orders.yaml --branch audit")["dataset"]).startswith("mlops.orders@snapshot:")
    assert run("data diff orders@latest orders@audit")["drifted"] == ["a"]
    assert run("data show orders.yaml")["number"] == 1
    assert run("data publish orders@audit")["versions"] == ["mlops.orders@v2"]
    assert run("data verify orders@v2")["altered"] == []
    run("data checkout orders v2 --output out")
    assert pq.read_table(tmp_path / "out").num_rows == 2000
    kinds = [event["kind"] for event in run("audit log")["events"]]  # type: ignore[attr-defined]
    assert kinds.count("dataset.published") == 1
    assert kinds.count("dataset.committed") == 3
    file = next((tmp_path / "home" / "lake" / "warehouse").rglob("data/*/*.parquet"))
    file.write_bytes(file.read_bytes()[:-1])
    broken = mlops_ray("data", "verify", "orders", cwd=tmp_path, home=tmp_path / "home", environment=environment)
    assert f"altered file://{file}" in broken.error
