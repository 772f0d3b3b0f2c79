import re
from hashlib import blake2b
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from mlops_ray import drift
from mlops_ray.records import not_kept
from mlops_ray.serve import Versions
from mlops_ray.serve.captured import Captured
from mlops_ray.serve.loaded import LoadedModel
from mlops_ray.serve.recorder import Recorder, Served
from mlops_ray.spec import Capture
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


# -- what is kept ------------------------------------------------------------------------------------------------------


def kept_with(champion: LoadedModel, *requests: Served, model: str = "shop", **capture: Any) -> pa.Table:
    """The records of these requests under a `serve.capture` section."""
    recorder = Recorder("replica", captured=Captured(Capture.model_validate(capture), model))
    for one in requests:
        recorder.add(one)
    (handover,) = recorder.handovers(recorder.take())
    expected = Recorder("replica")
    for one in requests:
        expected.add(one)
    assert handover.profile == expected.handovers(expected.take())[0].profile, "drift sees the true values"
    return handover.records


def test_a_feature_is_kept_hashed_or_dropped(champion: LoadedModel) -> None:
    rows = [[1.5, 3, 1, 0], [1.5, NAN, 0, NAN], [2.5, 4, 1, 1]]
    table = kept_with(champion, served(champion, "a", rows), fields={"amount": "hash", "visits": "drop"})
    features = table["features"].combine_chunks()
    assert [features.type.field(name).type for name in ("amount", "visits", "member", "plan")] == [
        pa.string(),
        pa.int64(),
        pa.bool_(),
        pa.string(),
    ]
    amounts = features.field("amount").to_pylist()
    assert all(re.fullmatch("[0-9a-f]{16}", amount) for amount in amounts)
    assert amounts[0] == amounts[1] != amounts[2]
    assert features.field("visits").to_pylist() == [None] * 3
    assert features.field("plan").to_pylist() == ["free", None, "paid"]
    assert not_kept(table.schema) == {"amount", "visits"}


def test_what_is_kept_whole_needs_no_note(champion: LoadedModel) -> None:
    assert not_kept(kept_with(champion, served(champion, "a", [[1, 1, 1, 1]]), fields={"unit": "hash"}).schema) == set()


def test_a_missing_value_has_no_hash(champion: LoadedModel) -> None:
    table = kept_with(
        champion,
        served(champion, "a", [[1, NAN, NAN, NAN]]),
        fields={"visits": "hash", "member": "hash", "plan": "hash"},
    )
    assert table["features"].to_pylist() == [{"amount": 1.0, "visits": None, "member": None, "plan": None}]


def test_the_hash_of_a_value_is_the_same_everywhere_and_another_one_for_another_model(champion: LoadedModel) -> None:
    one = served(champion, "a", [[1.5, 3, 1, 1]])
    fields = {"amount": "hash", "visits": "hash", "member": "hash", "plan": "hash"}
    here = kept_with(champion, one, fields=fields)["features"][0].as_py()
    key = blake2b(b"mlops_ray.capture\0shop", digest_size=32).digest()
    assert here == {
        name: blake2b(text, key=key, digest_size=8).hexdigest()
        for name, text in (("amount", b"1.5"), ("visits", b"3"), ("member", b"true"), ("plan", b'"paid"'))
    }
    there = kept_with(champion, one, model="other", fields=fields)["features"][0].as_py()
    assert not set(here.values()) & set(there.values())


@pytest.mark.parametrize("policy", ["hash", "drop"])
def test_a_unit_that_is_not_to_be_known_still_tells_requests_apart(champion: LoadedModel, policy: str) -> None:
    requests = [served(champion, f"r{i}", [[1, 1, 1, 1]], unit=f"customer {i // 2}") for i in range(4)]
    units = kept_with(champion, *requests, fields={"unit": policy})["unit"].to_pylist()
    assert not {f"customer {i}" for i in range(2)} & set(units)
    if policy == "hash":
        assert units[0] == units[1] != units[2] == units[3]
    else:
        assert units == ["r0", "r1", "r2", "r3"]


def test_when_nothing_is_captured_nothing_is_remembered(champion: LoadedModel) -> None:
    recorder = Recorder("replica", captured=Captured(Capture(enabled=False), "shop"))
    recorder.add(served(champion, "a", [[1, 1, 1, 1]]))
    assert (recorder.take(), recorder.dropped_rows) == ([], 0)


def test_latency_parts_and_paired_scores_are_recorded(champion: LoadedModel) -> None:
    recorder = Recorder("replica")
    recorder.add(served(champion, "a", [[1, 1, 1, 1]], queue_ms=1.0, predict_ms=2.0, share=0.25))
    recorder.add(
        served(champion, "b", [[1, 1, 1, 1]], role="shadow", assigned="shadow", paired_scores=np.array([0.75]))
    )
    (handover,) = recorder.handovers(recorder.take())
    rows = handover.records.to_pylist()
    assert [(r["queue_ms"], r["predict_ms"], r["share"], r["paired_score"]) for r in rows] == [
        (1.0, 2.0, 0.25, None),
        (0.0, 0.0, 0.0, 0.75),
    ]
    assert drift.Profile.from_bytes(handover.profile).rows == 1


def test_a_hand_over_says_what_was_dropped_since_the_one_before(champion: LoadedModel) -> None:
    recorder = Recorder("replica", capacity_rows=2)

    def hand_over() -> tuple[int, int]:
        (handover,) = recorder.handovers(recorder.take())
        return handover.dropped, handover.dropped_copies

    for request_id in "abcd":
        recorder.add(served(champion, request_id, [[1, 1, 1, 1]]))
    recorder.dropped_copies += 3
    assert hand_over() == (2, 3)
    recorder.add(served(champion, "e", [[1, 1, 1, 1]]))
    assert hand_over() == (0, 0)
