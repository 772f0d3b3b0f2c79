"""A store with published versions of one model, and front doors that open on them."""

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mlops_ray.drift import build_reference
from mlops_ray.lake import Lake
from mlops_ray.model import Probe, Signature, TrainedModel, publish_bundle, write_bundle
from mlops_ray.serve import Versions
from mlops_ray.spec import Workspace, parse_spec
from mlops_ray.store import Event, ModelRecord, ModelVersionRecord, RouteRecord, Stage, Store
from tests.serve.house import House, Open, Remote, good, open_house
from tests.serve.samples import MODEL, SIGNATURE, SPEC, Register, sample


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

    def publish(model: TrainedModel, signature: Signature = SIGNATURE, *, probe: Probe | None = None) -> int:
        number = next(numbers)
        matrix = np.zeros((40, signature.width)) if signature is not SIGNATURE else sample()
        columns = [*signature.columns(), signature.prediction_column()]
        predictions = (
            np.arange(len(matrix)) % len(signature.classes) if signature.classes else np.linspace(0, 1, len(matrix))
        )
        reference = build_reference(columns, np.column_stack((signature.profiled(matrix), predictions)))
        folder = tmp_path / f"bundle-{number}"
        manifest = write_bundle(folder, model=model, signature=signature, reference=reference, card="", probe=probe)
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


@pytest.fixture
def open_door(versions: Versions) -> Open:
    """Opens a front door on a route, with a canary that answers as it should unless told otherwise."""

    def build(first: RouteRecord, remote: Remote = good, **options: Any) -> House:
        return open_house(versions, first, remote, **options)

    return build
