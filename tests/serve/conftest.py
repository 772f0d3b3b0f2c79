"""A store with published versions of one model, real LightGBM boosters among them."""

import asyncio
import itertools
import json
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar

import lightgbm
import numpy as np
import pytest
from numpy.typing import NDArray

from mlops_ray.drift import Column, build_reference
from mlops_ray.lake import Lake
from mlops_ray.model import InputColumn, Signature, TrainedModel, publish_bundle, write_bundle
from mlops_ray.serve import Versions
from mlops_ray.spec import Workspace, parse_spec
from mlops_ray.store import Event, ModelRecord, ModelVersionRecord, RouteRecord, Stage, Store

MODEL = "shop"
SIGNATURE = Signature(
    inputs=(
        InputColumn("amount", "float", nullable=False),
        InputColumn("visits", "int", nullable=True),
        InputColumn("member", "bool", nullable=True),
        InputColumn("plan", "category", nullable=True, categories=("free", "paid")),
    ),
    task="binary",
    unit="customer",
)
SPEC = """
name: shop
data:
  source: /nowhere
  label: bought
  unit: customer
  features:
    amount: float
    visits: {type: int, max_null_share: 0.5}
    member: {type: bool, max_null_share: 0.5}
    plan: {type: category, categories: [free, paid], max_null_share: 0.5}
serve: {canary_deadline_ms: 100, deadline_ms: 2000, max_rows: 50, max_body_bytes: 20000}
"""
T = TypeVar("T")


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine on a loop of its own."""
    return asyncio.run(coroutine)


def sample(rows: int = 300, seed: int = 3) -> NDArray[np.float64]:
    """Encoded rows of SIGNATURE."""
    generator = np.random.default_rng(seed)
    matrix = np.column_stack(
        [
            generator.normal(5, 2, rows),
            generator.integers(0, 9, rows).astype(float),
            generator.integers(0, 2, rows).astype(float),
            generator.integers(0, 3, rows).astype(float),
        ]
    )
    matrix[::7, 1] = np.nan
    return matrix


def booster(trees: int) -> lightgbm.Booster:
    """A model whose answers depend on its number of trees."""
    matrix = sample()
    labels = (matrix[:, 0] + matrix[:, 2] > 5).astype(float)
    return lightgbm.train(
        {"objective": "binary", "verbose": -1, "num_threads": 1}, lightgbm.Dataset(matrix, labels), trees
    )


def lightgbm_model(trees: int) -> TrainedModel:
    """`booster(trees)` as a trained model."""
    return TrainedModel("lightgbm", {"model.lgb.txt": booster(trees).model_to_string().encode()})


def python_model(name: str) -> TrainedModel:
    """A class of tests/serve/predictors.py as a trained model."""
    return TrainedModel("python", {"predictor.json": json.dumps({"class": f"tests.serve.predictors:{name}"}).encode()})


def route(
    epoch: int, champion: int, *, canary: int | None = None, share: float = 0.0, previous: int | None = None
) -> RouteRecord:
    """A route of the model."""
    return RouteRecord(MODEL, epoch, champion, canary, share, f"salt-{canary}", previous, 0.0)


def record(amount: float = 5.0, **fields: Any) -> dict[str, Any]:
    """A record that the model accepts."""
    return {"amount": amount, "visits": 3, "member": True, "plan": "paid", **fields}


Register = Callable[..., int]


@pytest.fixture
def versions(workspace: Workspace) -> Versions:
    """The versions of the model, none so far."""
    store = Store(workspace.store)
    store.create()
    with store.change(Event("model.registered", MODEL, {}, "test", 0.0)) as change:
        change.put_model(ModelRecord(MODEL, parse_spec(SPEC).model_dump_json(), 0.0))
    return Versions(MODEL, workspace)


@pytest.fixture
def register(versions: Versions, workspace: Workspace, tmp_path: Path) -> Register:
    """Publishes a model as the next version and says its number."""
    numbers = itertools.count(1)

    def publish(model: TrainedModel, signature: Signature = SIGNATURE) -> int:
        number = next(numbers)
        matrix = np.zeros((40, len(signature.inputs))) if signature is not SIGNATURE else sample()
        columns = [*signature.columns(), Column("prediction", "numeric", ())]
        reference = build_reference(columns, np.column_stack((matrix, np.linspace(0, 1, len(matrix)))))
        folder = tmp_path / f"bundle-{number}"
        manifest = write_bundle(folder, model=model, signature=signature, reference=reference, card="")
        kept = ModelVersionRecord(
            model=MODEL,
            version=number,
            digest=manifest.digest,
            bundle_uri=publish_bundle(folder, Lake(workspace.lake), MODEL),
            run_id="run",
            dataset="mlops.shop@v1",
            code={},
            metrics={},
            gates={},
            verdict="PASS",
            stage=Stage.CANDIDATE,
            created_s=0.0,
        )
        with versions.store.change(Event("model_version.created", f"{MODEL}@{number}", {}, "test", 0.0)) as change:
            change.put_model_version(kept)
        return number

    return publish
