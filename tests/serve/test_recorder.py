from typing import Any

import numpy as np
import pytest

from mlops_ray import drift
from mlops_ray.serve import Versions
from mlops_ray.serve.loaded import LoadedModel
from mlops_ray.serve.recorder import Recorder, Served
from tests.serve.samples import Register, lightgbm_model, sample


@pytest.fixture
def champion(versions: Versions, register: Register) -> LoadedModel:
    return versions.load(register(lightgbm_model(5)))


def served(champion: LoadedModel, request_id: str, rows: list[list[float]], **changes: Any) -> Served:
    values: dict[str, Any] = {
        "request_id": request_id,
        "unit": f"unit of {request_id}",
        "time_s": 1000.0,
        "version": champion.version,
        "role": "champion",
        "assigned": "champion",
        "canary": 0,
        "epoch": 4,
        "status": 200,
        "error": None,
        "latency_ms": 1.5,
        "matrix": np.array(rows, dtype=float),
        "scores": np.linspace(0.1, 0.9, len(rows)),
        "encoded_by": champion,
    }
    return Served(**(values | changes))


NAN = float("nan")


def test_records_are_what_was_served(champion: LoadedModel) -> None:
    recorder = Recorder("replica")
    recorder.add(served(champion, "a", [[1.5, 3, 1, 0], [2, NAN, NAN, NAN]]))
    recorder.add(served(champion, "b", [[0, -2, 0, 1]], role="canary", assigned="canary", version=9, canary=9))
    (handover,) = recorder.handovers(recorder.take())
    rows = handover.records.to_pylist()
    assert [(r["request_id"], r["row"], r["unit"], r["version"], r["role"]) for r in rows] == [
        ("a", 0, "unit of a", 1, "champion"),
        ("a", 1, "unit of a", 1, "champion"),
        ("b", 0, "unit of b", 9, "canary"),
    ]
    assert [r["score"] for r in rows] == [0.1, 0.9, 0.1]
    assert [r["features"] for r in rows] == [
        {"amount": 1.5, "visits": 3, "member": True, "plan": "free"},
        {"amount": 2.0, "visits": None, "member": None, "plan": None},
        {"amount": 0.0, "visits": -2, "member": False, "plan": "paid"},
    ]
    assert (rows[0]["status"], rows[0]["error"], rows[0]["latency_ms"], rows[0]["epoch"]) == (200, None, 1.5, 4)


def test_an_unseen_category_is_recorded_as_such(champion: LoadedModel) -> None:
    recorder = Recorder("replica")
    recorder.add(served(champion, "a", [[1, 1, 1, 2]]))
    (handover,) = recorder.handovers(recorder.take())
    assert handover.records["features"][0].as_py()["plan"] == "<unseen>"


def test_a_failed_request_is_recorded_without_a_score(champion: LoadedModel) -> None:
    recorder = Recorder("replica")
    recorder.add(served(champion, "a", [[1, 1, 1, 1]], scores=np.array([NAN]), status=500, error="broken"))
    (handover,) = recorder.handovers(recorder.take())
    (row,) = handover.records.to_pylist()
    assert (row["score"], row["status"], row["error"]) == (None, 500, "broken")


def test_the_profile_holds_the_rows_the_champion_answered_by_itself(champion: LoadedModel) -> None:
    matrix, scores = sample(50), np.linspace(0, 1, 50)
    recorder = Recorder("replica")
    recorder.add(served(champion, "own", matrix.tolist(), scores=scores))
    recorder.add(served(champion, "fell back", matrix.tolist(), assigned="canary", error="late"))
    recorder.add(served(champion, "canary", matrix.tolist(), assigned="canary", role="canary"))
    recorder.add(served(champion, "failed", [[1, 1, 1, 1]], scores=np.array([NAN]), status=500))
    (handover,) = recorder.handovers(recorder.take())
    expected = drift.fold(champion.bundle.reference, np.column_stack((matrix, scores)))
    assert drift.Profile.from_bytes(handover.profile) == expected


def test_without_rows_of_its_own_the_profile_is_empty(champion: LoadedModel) -> None:
    recorder = Recorder("replica")
    recorder.add(served(champion, "a", [[1, 1, 1, 1]], assigned="canary"))
    (handover,) = recorder.handovers(recorder.take())
    assert drift.Profile.from_bytes(handover.profile).rows == 0


def test_memory_is_bounded_and_what_is_dropped_is_counted(champion: LoadedModel) -> None:
    recorder = Recorder("replica", capacity_rows=3)
    for request_id in "abc":
        recorder.add(served(champion, request_id, [[1, 1, 1, 1], [1, 1, 1, 1]]))
    assert [s.request_id for s in recorder.take()] == ["a"]
    assert recorder.dropped_rows == 4
    recorder.add(served(champion, "d", [[1, 1, 1, 1]]))
    assert len(recorder.take()) == 1


def test_each_champion_and_each_hour_has_a_handover_of_its_own(
    versions: Versions, register: Register, champion: LoadedModel
) -> None:
    other = versions.load(register(lightgbm_model(6)))
    recorder = Recorder("replica")
    for number, (model, time_s) in enumerate([(champion, 100.0), (other, 200.0), (champion, 300.0), (other, 4000.0)]):
        recorder.add(served(model, str(number), [[1, 1, 1, 1]], time_s=time_s))
    handovers = recorder.handovers(recorder.take())
    assert [(h.version, h.time_s, h.records.num_rows) for h in handovers] == [(1, 100, 2), (2, 200, 1), (2, 4000, 1)]
    assert len({h.name for h in handovers}) == 3
