import asyncio
import itertools
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from mlops_ray.serve import Versions
from mlops_ray.serve.loaded import LoadedModel
from mlops_ray.serve.pairing import with_paired_scores
from mlops_ray.serve.recorder import Served
from tests.serve.samples import Register, booster, lightgbm_model, python_model, run, sample


def canarys(champion: LoadedModel, rows: Any, **changes: Any) -> Served:
    """A request that the canary answered and the champion is to score."""
    values: dict[str, Any] = {
        "request_id": "r",
        "unit": "u",
        "time_s": 1.0,
        "version": 2,
        "role": "canary",
        "assigned": "canary",
        "canary": 2,
        "epoch": 1,
        "status": 200,
        "error": None,
        "latency_ms": 1.0,
        "matrix": np.asarray(rows, dtype=float),
        "scores": np.zeros(len(rows)),
        "encoded_by": champion,
        "to_pair": True,
    }
    return Served(**(values | changes))


@dataclass
class Counted:
    """A champion that counts what it is asked for; it must not be asked for more rows at once than a request has."""

    model: LoadedModel
    rows: list[int] = field(default_factory=list)

    async def predict(self, matrix: Any, *, deadline_s: float) -> Any:
        self.rows.append(len(matrix))
        return await self.model.predict(matrix, deadline_s=deadline_s)


@pytest.fixture
def champion(versions: Versions, register: Register) -> LoadedModel:
    return versions.load(register(lightgbm_model(5)))


def test_each_record_gets_the_champions_scores_of_its_own_rows(champion: LoadedModel) -> None:
    rows = sample(300)
    sizes = [1, 5, 1, 130, 2, 1, 60, 100]
    starts = np.cumsum([0, *sizes])
    records = [canarys(champion, rows[a:b]) for a, b in itertools.pairwise(starts)]
    paired = run(with_paired_scores(records))
    expected = np.asarray(booster(5).predict(rows))
    assert [len(p.scores) for p in paired] == sizes
    np.testing.assert_allclose(np.concatenate([p.paired_scores for p in paired]), expected, atol=1e-12)
    assert not any(p.to_pair for p in paired)


def test_records_that_are_not_to_be_paired_stay_as_they_are(champion: LoadedModel) -> None:
    records = [canarys(champion, [[1, 1, 1, 1]], to_pair=i == 1) for i in range(3)]
    paired = run(with_paired_scores(records))
    assert [p.paired_scores is not None for p in paired] == [False, True, False]
    assert (paired[0] is records[0], paired[2] is records[2]) == (True, True)


def test_rows_are_scored_a_few_requests_at_a_time(champion: LoadedModel) -> None:
    counted: Any = Counted(champion)
    run(with_paired_scores([canarys(counted, np.ones((1, 4))) for _ in range(200)]))
    assert counted.rows == [64, 64, 64, 8]


def test_each_champion_scores_what_it_encoded(versions: Versions, register: Register, champion: LoadedModel) -> None:
    other = versions.load(register(python_model("Half")))
    records = [canarys(model, [[1, 1, 1, 1]]) for model in (champion, other, champion)]
    scores = [float(p.paired_scores[0]) for p in run(with_paired_scores(records)) if p.paired_scores is not None]
    assert scores[0] == scores[2] != scores[1] == 0.5


def test_a_row_that_the_champion_cannot_score_takes_no_others_score_away(
    versions: Versions, register: Register
) -> None:
    picky = versions.load(register(python_model("FirstInput")))
    records = [canarys(picky, [[first, 1, 1, 1]]) for first in (0.25, -1.0, 0.5)]
    paired = run(with_paired_scores(records))
    assert [None if p.paired_scores is None else p.paired_scores.tolist() for p in paired] == [[0.25], None, [0.5]]


def test_when_there_is_no_time_left_the_rest_stays_unpaired(versions: Versions, register: Register) -> None:
    slow = versions.load(register(python_model("Slow")))
    paired = run(with_paired_scores([canarys(slow, np.ones((64, 4))) for _ in range(3)], budget_s=0.1))
    assert [p.paired_scores is not None for p in paired] == [True, False, False]


def test_requests_are_answered_while_rows_are_paired(champion: LoadedModel) -> None:
    async def drive() -> int:
        turns = 0
        pairing = with_paired_scores([canarys(champion, np.ones((64, 4))) for _ in range(10)])
        task = asyncio.get_running_loop().create_task(pairing)
        while not task.done():
            await asyncio.sleep(0)
            turns += 1
        return turns

    assert run(drive()) >= 10
