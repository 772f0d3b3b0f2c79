import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from mlops_ray.drift import build_reference
from mlops_ray.errors import DeadlineError, ModelError, PredictionError, RequestError
from mlops_ray.model import Bundle, Flavor, Manifest, Probe
from mlops_ray.serve import Versions
from mlops_ray.serve.loaded import LoadedModel
from mlops_ray.spec import Batching, Serve
from tests.serve.samples import SIGNATURE, Register, booster, lightgbm_model, python_model, run, sample

Matrix = NDArray[np.float64]
Answer = Callable[[Matrix], Matrix]


class Noting:
    """Answers as it is told, and remembers how many rows it was asked for, which and on which thread."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self.asked: list[Matrix] = []
        self.threads: list[int] = []

    @property
    def sizes(self) -> list[int]:
        return [len(matrix) for matrix in self.asked]

    def predict(self, matrix: Matrix) -> Matrix:
        self.asked.append(matrix)
        self.threads.append(threading.get_ident())
        return self._answer(matrix)


def half(matrix: Matrix) -> Matrix:
    return np.full(len(matrix), 0.5)


def slow(matrix: Matrix) -> Matrix:
    time.sleep(0.002)
    return half(matrix)


def load(answer: Answer = half, *, flavor: Flavor = "python", **serve: Any) -> tuple[LoadedModel, Noting]:
    predictor = Noting(answer)
    reference = build_reference(SIGNATURE.columns(), sample())
    bundle = Bundle(Manifest(flavor, "0" * 64, {}), SIGNATURE, reference, predictor, "memory")
    return LoadedModel(1, bundle, Serve(**serve)), predictor


def with_serve(loaded: LoadedModel, serve: Serve) -> LoadedModel:
    return LoadedModel(loaded.version, loaded.bundle, serve)


@pytest.mark.parametrize("rows", [1, 2, 20, 200])
def test_answers_are_the_models_own(versions: Versions, register: Register, rows: int) -> None:
    loaded = versions.load(register(lightgbm_model(10)))
    predicted = run(loaded.predict(sample(rows), deadline_s=5))
    np.testing.assert_allclose(predicted.scores, np.asarray(booster(10).predict(sample(rows))), atol=1e-12)


def test_batched_answers_are_the_models_own(versions: Versions, register: Register) -> None:
    loaded = with_serve(versions.load(register(lightgbm_model(10))), Serve(batching=Batching(max_rows=8)))
    predicted = run(loaded.predict(sample(3), deadline_s=5))
    np.testing.assert_allclose(predicted.scores, np.asarray(booster(10).predict(sample(3))), atol=1e-12)


@pytest.mark.parametrize("rows", [1, 40])
@pytest.mark.parametrize(
    ("value", "says"),
    [(-1.0, "raised ValueError: negative amount"), (9.0, "NaN or infinity"), (1.5, "outside 0..1")],
)
def test_what_is_no_prediction_is_an_error(
    versions: Versions, register: Register, value: float, says: str, rows: int
) -> None:
    loaded = versions.load(register(python_model("FirstInput")))
    matrix = np.zeros((rows, 4))
    matrix[-1, 0] = value
    with pytest.raises(PredictionError, match=says):
        run(loaded.predict(matrix, deadline_s=5))


def test_another_shape_than_one_score_a_row_is_an_error(versions: Versions, register: Register) -> None:
    with pytest.raises(PredictionError, match=r"shape \(1, 1\) for 1 rows"):
        versions.load(register(python_model("Column")))


# -- threads --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rows", [1, 64])
def test_few_rows_of_lightgbm_are_predicted_where_they_are_asked(rows: int) -> None:
    loaded, predictor = load(flavor="lightgbm")
    predicted = run(loaded.predict(np.zeros((rows, 4)), deadline_s=5))
    assert predictor.threads == [threading.get_ident()]
    assert predicted.queue_ms == 0
    assert predicted.predict_ms > 0


@pytest.mark.parametrize(
    ("flavor", "rows", "serve"),
    [("lightgbm", 65, {}), ("lightgbm", 1, {"batching": Batching(max_rows=2)}), ("python", 1, {}), ("torch", 1, {})],
)
def test_everything_else_is_predicted_on_the_models_own_thread(
    flavor: Flavor, rows: int, serve: dict[str, Any]
) -> None:
    loaded, predictor = load(flavor=flavor, **serve)
    run(loaded.predict(np.zeros((rows, 4)), deadline_s=5))
    assert threading.get_ident() not in predictor.threads


def test_a_large_model_of_lightgbm_leaves_the_event_loop_alone() -> None:
    loaded, predictor = load(slow, flavor="lightgbm")
    loaded.warm_up()
    run(loaded.predict(np.zeros((1, 4)), deadline_s=5))
    assert threading.get_ident() not in predictor.threads


# -- warm-up and parity ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("max_rows", "sizes"), [(1, [1, 2]), (2, [1, 2]), (12, [1, 2, 4, 8, 12]), (16, [1, 2, 4, 8, 16])]
)
def test_every_size_of_batch_is_warmed_up(max_rows: int, sizes: list[int]) -> None:
    loaded, predictor = load(batching=Batching(max_rows=max_rows))
    loaded.warm_up()
    assert predictor.sizes == sizes


def test_it_is_warmed_up_on_the_thread_that_will_predict() -> None:
    loaded, predictor = load()
    loaded.warm_up()
    run(loaded.predict(np.zeros((1, 4)), deadline_s=5))
    assert len(set(predictor.threads)) == 1


def test_it_is_warmed_up_with_the_rows_there_are() -> None:
    loaded, predictor = load(batching=Batching(max_rows=8))
    loaded.warm_up(sample(3))
    np.testing.assert_array_equal(predictor.asked[-1], sample(3)[[0, 1, 2, 0, 1, 2, 0, 1]])


def test_a_model_that_cannot_predict_does_not_get_warm() -> None:
    loaded, _ = load(lambda matrix: 1 / np.zeros(0)[matrix[:, 0].astype(int)])
    with pytest.raises(PredictionError, match="raised IndexError"):
        loaded.warm_up()


def probe_of(predictions: Matrix) -> Probe:
    # of a probe only these are looked at here
    return Probe(rows=None, matrix=sample(len(predictions)), predictions=predictions, tolerance=1e-6)


def test_a_model_that_predicts_what_its_trainer_did_is_verified_in_all_sizes() -> None:
    loaded, predictor = load()
    loaded.verify(probe_of(np.full(20, 0.5)))
    assert predictor.sizes == [20, 8, 1]


def test_a_probe_of_one_row_is_enough() -> None:
    loaded, predictor = load()
    loaded.verify(probe_of(np.full(1, 0.5)))
    assert predictor.sizes == [1]


def test_a_model_that_predicts_something_else_is_no_model_and_its_worst_row_is_named() -> None:
    expected = np.full(20, 0.5)
    expected[7] = 0.75
    loaded, _ = load()
    with pytest.raises(ModelError, match=r"model version 1 is not what was trained: of 20 rows, row 7 of the probe"):
        loaded.verify(probe_of(expected))


def test_a_model_that_is_wrong_on_single_rows_only_is_found() -> None:
    loaded, _ = load(lambda matrix: np.full(len(matrix), 0.5 if len(matrix) > 1 else 0.6))
    with pytest.raises(ModelError, match="of 1 rows, row 0"):
        loaded.verify(probe_of(np.full(20, 0.5)))


# -- limits and hanging ---------------------------------------------------------------------------------------------


@pytest.fixture
def gate() -> Iterator[threading.Event]:
    """Shut at first; opened at last, so that no thread stays."""
    gate = threading.Event()
    yield gate
    gate.set()


def gated(gate: threading.Event, entered: threading.Event) -> Answer:
    def answer(matrix: Matrix) -> Matrix:
        entered.set()
        gate.wait(60)
        return half(matrix)

    return answer


def test_a_model_that_is_too_slow_misses_the_deadline(gate: threading.Event) -> None:
    loaded, _ = load(gated(gate, threading.Event()))
    with pytest.raises(DeadlineError, match="model version 1 gave no answer within 20 ms"):
        run(loaded.predict(np.zeros((1, 4)), deadline_s=0.02))


@pytest.mark.parametrize("flavor", ["lightgbm", "python"])
def test_a_request_without_any_time_left_is_not_predicted(flavor: Flavor) -> None:
    loaded, predictor = load(flavor=flavor)
    with pytest.raises(DeadlineError):
        run(loaded.predict(np.zeros((1, 4)), deadline_s=0.0))
    assert predictor.asked == []


def test_it_says_how_long_it_has_been_predicting(gate: threading.Event) -> None:
    async def scenario() -> float:
        asking = asyncio.create_task(loaded.predict(np.zeros((1, 4)), deadline_s=60))
        await asyncio.to_thread(entered.wait, 60)
        first_s = loaded.busy_s()
        assert loaded.busy_s() > first_s > 0
        gate.set()
        await asking
        return loaded.busy_s()

    entered = threading.Event()
    loaded, _ = load(gated(gate, entered))
    assert loaded.busy_s() == 0
    assert run(scenario()) == 0


def test_more_rows_than_a_request_may_have_do_not_wait_behind_a_model_that_hangs(gate: threading.Event) -> None:
    async def scenario() -> list[Any]:
        running = asyncio.create_task(loaded.predict(np.zeros((1, 4)), deadline_s=60))
        await asyncio.to_thread(entered.wait, 60)
        waiting = [asyncio.create_task(loaded.predict(np.zeros((25, 4)), deadline_s=60)) for _ in range(5)]
        done, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        gate.set()
        await asyncio.gather(running, *waiting, return_exceptions=True)
        return [task.exception() for task in done]

    entered = threading.Event()
    loaded, _ = load(gated(gate, entered), max_rows=100)
    [refused] = run(scenario())
    assert isinstance(refused, RequestError)
    assert refused.status == 503
