"""A model of several classes and a table behind a front door."""

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from mlops_ray.errors import PredictionError
from mlops_ray.serve.labels import read_labels
from mlops_ray.serve.remote_version import predicted_of
from tests.serve.house import House, Open, answers_why_not, good, with_canary
from tests.serve.pictures import TABLE
from tests.serve.samples import Register, python_model, record, route, run


@pytest.fixture
def opened(open_door: Open, register: Register) -> Any:
    """Opens a door on two versions of which the second answers as told."""

    def build(remote: Any) -> House:
        first = register(python_model("Likeliest"), TABLE)
        register(python_model("Likeliest"), TABLE)
        return open_door(route(1, first), remote)

    return build


def asked(house: House, **share: Any) -> Any:
    async def ask() -> Any:
        await with_canary(house, **share)
        return await house.predict(record(0), record(2))

    return run(ask())


async def thirds(matrix: Any) -> Any:
    return np.tile([0.2, 0.5, 0.3], (len(matrix), 1))


def test_each_row_has_the_likeliest_class_and_the_probability_of_each(opened: Any) -> None:
    house = opened(good)
    reply = run(house.predict(record(0), record(1), record(5)))
    first, second, third = reply.json()["predictions"]
    assert first == {"label": "red", "score": 0.8, "scores": {"red": 0.8, "green": 0.1, "blue": 0.1}}
    assert (second["label"], third["label"]) == ("green", "blue")


def test_a_canary_answers_for_its_share_and_its_record_is_condensed(opened: Any) -> None:
    house = opened(thirds)
    reply = asked(house, share=1.0)
    assert (reply.json()["role"], reply.json()["predictions"][0]["label"]) == ("canary", "green")
    (handover,) = house.outbox.recorder.handovers(house.records())
    assert handover.records["score"].to_pylist() == [1.0, 1.0]
    assert handover.records["confidence"].to_pylist() == [0.5, 0.5]
    assert handover.records["scores"].type == pa.list_(pa.float32())


@pytest.mark.parametrize("remote", [good, answers_why_not])
def test_a_canary_that_answers_something_else_falls_back_on_the_champion(opened: Any, remote: Any) -> None:
    house = opened(remote)
    reply = asked(house, share=1.0)
    assert (reply.json()["role"], reply.json()["predictions"][0]["label"]) == ("champion", "red")


def test_records_with_and_without_scores_are_one_hand_over(opened: Any) -> None:
    house = opened(thirds)
    run(house.predict(record(1)))
    asked(house, share=1.0)
    kept = house.records()
    nothing = type(kept[0])(
        **{name: getattr(kept[0], name) for name in kept[0].__struct_fields__}
        | {"scores": np.full(1, np.nan), "status": 500, "paired_scores": np.array([[0.1, 0.8, 0.1]])}
    )
    (handover,) = house.outbox.recorder.handovers([kept[0], nothing, *kept[1:]])
    assert handover.records["score"].to_pylist() == [1.0, None, 1.0, 1.0]
    assert handover.records["paired_score"].to_pylist() == [None, 1.0, None, None]
    assert [None if s is None else len(s) for s in handover.records["scores"].to_pylist()] == [3, None, 3, 3]


@pytest.mark.parametrize("scores", [np.ones(2), np.ones((2, 2)), np.full((2, 3), np.nan)])
def test_an_outcome_of_another_shape_is_no_prediction(scores: Any) -> None:
    with pytest.raises(PredictionError, match="no prediction"):
        predicted_of((scores, None, 1.0, 1.0), 2, "it", each=(3,))
    assert predicted_of((np.ones((2, 3)), None, 1.0, 1.0), 2, "it", each=(3,)).scores.shape == (2, 3)


def test_classes_that_are_numbers_are_named_by_them_too() -> None:
    digits = replace(TABLE, classes=("0", "1", "2.5"))
    sent = [{"request_id": "a", "label": label} for label in (1, 2.5, "0")]
    assert [label.label for label in read_labels(json.dumps({"labels": sent}).encode(), digits)] == [1.0, 2.0, 0.0]
