import time
import uuid
from pathlib import Path

import boto3
import pyarrow.parquet as pq
import pytest

from mlops_ray.data import ingest
from mlops_ray.lake import Lake
from mlops_ray.model import load_bundle
from mlops_ray.spec import Workspace
from mlops_ray.train import run_training
from tests.train.conftest import CODE, churn_table, spec_of

pytestmark = pytest.mark.slow


def test_with_a_lake_on_s3_trials_bundle_and_artifacts_lie_there(ray_cluster: str, s3: str, tmp_path: Path) -> None:
    bucket = f"lake-{uuid.uuid4().hex[:8]}"
    boto3.client("s3", endpoint_url=s3).create_bucket(Bucket=bucket)
    workspace = Workspace.at(tmp_path / "home", lake=f"s3://{bucket}/lake")
    (tmp_path / "raw").mkdir()
    pq.write_table(churn_table(), tmp_path / "raw" / "1.parquet")
    spec = spec_of("on_s3", data={"source": str(tmp_path / "raw")}, train={"trials": 2})
    ingest(spec, workspace, now_s=1.0, run_id="r")
    record = run_training(spec, workspace, actor="test", clock=time.time, code=CODE, progress=lambda _: None)
    lake = Lake(workspace.lake)
    assert record.bundle_uri.startswith(f"s3://{bucket}/lake/models/on_s3/")
    assert load_bundle(record.bundle_uri, cache=tmp_path / "cache").manifest.digest == record.digest
    assert lake.list("tune", suffix="model.lgb.txt")
    assert lake.list("mlflow/on_s3", suffix="MLmodel")
    assert not (Path(workspace.home) / "tune").exists()
