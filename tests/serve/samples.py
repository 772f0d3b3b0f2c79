"""The model of these tests: its signature, spec, records, routes and trained versions."""

import asyncio
import json
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import lightgbm
import numpy as np
from numpy.typing import NDArray

from mlops_ray.model import InputColumn, Signature, TrainedModel
from mlops_ray.serve import Applied
from mlops_ray.store import RouteRecord

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
    epoch: int,
    champion: int,
    *,
    canary: int | None = None,
    share: float = 0.0,
    previous: int | None = None,
    mirror: float = 0.0,
    paired: float = 0.0,
) -> RouteRecord:
    """A route of the model."""
    return RouteRecord(MODEL, epoch, champion, canary, share, f"salt-{canary}", previous, 0.0, mirror, paired)


def applied(epoch: int, champion: int, canary: int | None = None, share: float = 0.0, mirror: float = 0.0) -> Applied:
    """What a replica of the model that was started with SPEC holds."""
    return Applied(epoch, champion, canary, share, mirror)


def record(amount: Any = 5.0, **fields: Any) -> dict[str, Any]:
    """A record that the model accepts."""
    return {"amount": amount, "visits": 3, "member": True, "plan": "paid", **fields}


Register = Callable[..., int]
