import numpy as np
import pytest

from mlops_ray.serve import VersionDoor, Versions
from mlops_ray.serve.outbox import Outbox
from tests.serve.asgi_client import get, post
from tests.serve.samples import MODEL, Register, booster, lightgbm_model, python_model, record, run
from tests.serve.test_outbox import Mailbox

BASE = f"/v2/models/{MODEL}"


def door(versions: Versions, version: int) -> tuple[VersionDoor, Outbox]:
    outbox = Outbox(Mailbox(), replica="r", flush_s=60)
    return VersionDoor(MODEL, versions.spec().serve, model=versions.load(version), outbox=outbox), outbox


def test_the_front_door_gets_scores(versions: Versions, register: Register) -> None:
    app, outbox = door(versions, register(lightgbm_model(7)))
    scores = run(app.predict(np.ones((2, 4))))
    assert not isinstance(scores, str)
    np.testing.assert_allclose(scores, np.asarray(booster(7).predict(np.ones((2, 4)))), atol=1e-12)
    assert outbox.recorder.take() == []


def test_the_front_door_gets_the_reason_when_there_are_none(versions: Versions, register: Register) -> None:
    app, _ = door(versions, register(python_model("FirstInput")))
    assert run(app.predict(np.full((1, 4), -1.0))) == "model version 1 raised ValueError: negative amount"


@pytest.mark.parametrize("prefix", ["", "/versions/1"])
def test_a_request_that_names_the_version_is_answered_and_recorded_apart(
    versions: Versions, register: Register, prefix: str
) -> None:
    app, outbox = door(versions, register(lightgbm_model(7)))
    reply = run(post(app, f"{BASE}{prefix}/predict", {"records": [record()], "request_id": "r", "unit": "u"}))
    assert (reply.json()["role"], reply.json()["model_version"], reply.json()["request_id"]) == ("direct", "1", "r")
    (kept,) = outbox.recorder.take()
    assert (kept.assigned, kept.unit, kept.status) == ("direct", "u", 200)


def test_labels_belong_to_the_model_as_a_whole(versions: Versions, register: Register) -> None:
    app, _ = door(versions, register(lightgbm_model(7)))
    reply = run(post(app, f"{BASE}/labels", {"labels": [{"request_id": "a", "label": 1}]}))
    assert reply.status == 404
    assert f"{BASE}/labels" in reply.json()["error"]


def test_another_version_is_not_here(versions: Versions, register: Register) -> None:
    app, _ = door(versions, register(lightgbm_model(7)))
    assert run(get(app, f"{BASE}/versions/2/ready")).status == 404
    assert run(get(app, f"{BASE}/versions/1/ready")).json()["version"] == "1"
