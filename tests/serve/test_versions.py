import asyncio
import json
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from mlops_ray.errors import ModelError, NotFoundError
from mlops_ray.model import Probe, TrainedModel, build_probe, write_bundle
from mlops_ray.serve import Versions
from mlops_ray.serve.versions import app_name
from tests.serve import predictors
from tests.serve.samples import MODEL, SIGNATURE, Register, booster, lightgbm_model, python_model, record, run

RECORDS = pa.Table.from_pylist([record(float(i), visits=i % 3 or None) for i in range(30)])


def probe_of(trees: int, shift: float = 0.0) -> Probe | None:
    """What a booster predicts for some records, or something else."""
    return build_probe(
        SIGNATURE,
        RECORDS,
        model=TrainedModel("lightgbm", {}),
        predict=lambda matrix: np.asarray(booster(trees).predict(matrix)) + shift,
    )


@pytest.fixture
def gate() -> Iterator[threading.Event]:
    """What predictors of the class `Gated` wait for; opened at last, so that no thread stays."""
    predictors.OPEN.set()
    yield predictors.OPEN
    predictors.OPEN.set()


@pytest.mark.parametrize("probe", [probe_of(8), probe_of(7, shift=2e-6)])
def test_a_version_that_predicts_something_else_is_not_loaded(
    versions: Versions, register: Register, probe: Probe
) -> None:
    with pytest.raises(ModelError, match=r"model version 1 is not what was trained: of 30 rows, row \d+ of the probe"):
        versions.load(register(lightgbm_model(7), probe=probe))


def test_a_bundle_that_was_replaced_is_not_loaded(versions: Versions, register: Register, tmp_path: Path) -> None:
    number = register(lightgbm_model(7))
    place = Path(versions.store.model_version(MODEL, number).bundle_uri.removeprefix("file://"))
    reference = versions.load(number).bundle.reference
    write_bundle(place, model=lightgbm_model(8), signature=SIGNATURE, reference=reference, card="")
    with pytest.raises(ModelError, match=r"it was registered with, found .* somebody has replaced it"):
        versions.load(number)


def test_a_version_that_is_not_in_the_store_is_said_so(versions: Versions) -> None:
    with pytest.raises(NotFoundError):
        versions.load(3)


def test_the_signature_is_read_without_the_model(versions: Versions, register: Register) -> None:
    number = register(TrainedModel("python", {"predictor.json": json.dumps({"class": "nowhere:Model"}).encode()}))
    assert versions.signature(number) == SIGNATURE


def test_without_a_version_in_memory_nothing_is_busy(versions: Versions) -> None:
    assert versions.busy_s() == 0


def test_a_call_that_hangs_is_seen_as_long_as_it_does(
    versions: Versions, register: Register, gate: threading.Event
) -> None:
    async def scenario() -> None:
        asking = asyncio.create_task(loaded.predict(np.zeros((1, 4)), deadline_s=60))
        await asyncio.to_thread(predictors.ENTERED.wait, 60)
        assert versions.busy_s() > 0
        gate.set()
        await asking

    loaded = versions.load(register(python_model("Gated")))
    gate.clear()
    predictors.ENTERED.clear()
    run(scenario())
    assert versions.busy_s() == 0


def test_an_application_is_named_by_model_and_version() -> None:
    assert app_name("shop", 3) == "shop-v3"
