import numpy as np
import pytest

from mlops_ray.serve import VersionDoor, Versions
from mlops_ray.serve.outbox import Outbox
from mlops_ray.serve.remote_version import no_room
from tests.serve.asgi_client import get, post
from tests.serve.samples import MODEL, Register, booster, lightgbm_model, python_model, record, run
from tests.serve.test_outbox import Mailbox

BASE = f"/v2/models/{MODEL}"


def door(versions: Versions, version: int) -> tuple[VersionDoor, Outbox]:
    outbox = Outbox(Mailbox(), replica="r", flush_s=60)
    return VersionDoor(MODEL, versions.spec().serve, model=versions.load(version), outbox=outbox), outbox


def test_the_front_door_gets_scores(versions: Versions, register: Register) -> None:
    app, outbox = door(versions, register(lightgbm_model(7)))
    ((scores, error, _, predict_ms),) = run(app.predict_many([np.ones((2, 4))], [1.0]))
    assert (error, predict_ms > 0) == (None, True)
    np.testing.assert_allclose(scores, np.asarray(booster(7).predict(np.ones((2, 4)))), atol=1e-12)  # type: ignore[arg-type]
    assert outbox.recorder.take() == []


def test_a_request_without_scores_says_why_and_harms_no_other(versions: Versions, register: Register) -> None:
    app, _ = door(versions, register(python_model("FirstInput")))
    matrices = [np.full((1, 4), first) for first in (0.25, -1.0, 9.0, 0.5)]
    outcomes = run(app.predict_many(matrices, [1.0] * 4))
    assert [None if scores is None else scores.tolist() for scores, _, _, _ in outcomes] == [[0.25], None, None, [0.5]]
    assert [error for _, error, _, _ in outcomes if error] == [
        "model version 1 raised ValueError: negative amount",
        "model version 1 answered NaN or infinity",
    ]


def test_a_request_whose_time_is_up_is_not_predicted(versions: Versions, register: Register) -> None:
    app, _ = door(versions, register(python_model("Half")))
    outcomes = run(app.predict_many([np.ones((1, 4))] * 2, [0.0, 1.0]))
    assert [scores is None for scores, _, _, _ in outcomes] == [True, False]
    assert "no answer within 0 ms" in str(outcomes[0][1])


def test_a_request_for_which_there_is_no_room_has_neither_scores_nor_an_error(
    versions: Versions, register: Register
) -> None:
    app, _ = door(versions, register(python_model("Slow")))
    # serve.max_rows (50) and 64 single requests may wait
    outcomes = run(app.predict_many([np.ones((60, 4)), np.ones((60, 4)), np.ones((60, 4))], [0.1] * 3))
    assert no_room(outcomes[2])


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
