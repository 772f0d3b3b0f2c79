"""This engine as in production, one replica, every record kept: `python -m benchmarks.engine_app FOLDER PORT`."""

import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmarks.lifetime import wait_for_the_end
from benchmarks.workload import NAMES, load_booster
from mlops_ray.control.local_cluster import LocalCluster, Ports
from mlops_ray.control.operations import deploy
from mlops_ray.drift import Column, build_reference
from mlops_ray.lake import Lake
from mlops_ray.model import InputColumn, Signature, TrainedModel, publish_bundle, write_bundle
from mlops_ray.spec import ModelSpec, Workspace, parse_spec
from mlops_ray.store import Event, ModelVersionRecord, Stage, Store

MODEL = "bench"


def main(folder: Path, port: int) -> None:
    """Serve until standard input closes."""
    with tempfile.TemporaryDirectory(prefix="bm", dir="/tmp") as home:
        cluster = LocalCluster(Workspace.at(home))
        try:
            workspace = cluster.up(replace(Ports.free(), serve=port), cpus=2, mlflow_ui=False, progress=_say)
            store = Store(workspace.store)
            _register(store, workspace, folder)
            deploy(store, _spec(), actor="benchmark", now_s=time.time())
            wait_for_the_end()
        finally:
            cluster.down()


def _spec() -> ModelSpec:
    features = "\n".join(f"    {name}: float" for name in NAMES)
    return parse_spec(
        f"name: {MODEL}\ndata:\n  source: /nowhere\n  label: y\n  features:\n{features}\n"
        "serve: {resources: {cpus: 0.5}}\n"
    )


def _register(store: Store, workspace: Workspace, folder: Path) -> None:
    """The model of the workload as version 1, as a training would leave it."""
    signature = Signature(tuple(InputColumn(name, "float", nullable=False) for name in NAMES), "binary")
    booster = load_booster(folder)
    matrix = np.load(folder / "training.npy")
    columns = [*signature.columns(), Column("prediction", "numeric", ())]
    reference = build_reference(columns, np.column_stack((matrix, np.asarray(booster.predict(matrix)))))
    model = TrainedModel("lightgbm", {"model.lgb.txt": booster.model_to_string().encode()})
    with tempfile.TemporaryDirectory() as bundle:
        manifest = write_bundle(Path(bundle), model=model, signature=signature, reference=reference, card="benchmark")
        uri = publish_bundle(Path(bundle), Lake(workspace.lake), MODEL)
    now_s = time.time()
    record = ModelVersionRecord(
        model=MODEL,
        version=1,
        digest=manifest.digest,
        bundle_uri=uri,
        run_id="benchmark",
        dataset="benchmark@v1",
        code={},
        metrics={},
        gates={},
        verdict="PASS",
        stage=Stage.CANDIDATE,
        created_s=now_s,
    )
    with store.change(Event("model_version.created", f"{MODEL}@1", {}, "benchmark", now_s)) as change:
        change.put_model_version(record)


def _say(message: str) -> None:
    print(message, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
