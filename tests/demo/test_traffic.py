"""The traffic driver against a small real HTTP server that misbehaves on request."""

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any

import pytest
from aiohttp import web

from mlops_ray.demo.traffic import TrafficDriver
from mlops_ray.demo.traffic_counts import TrafficCounts
from mlops_ray.errors import ClusterError

Answering = Callable[[dict[str, Any], int], web.StreamResponse]


def _right(body: dict[str, Any], attempt: int) -> web.Response:
    score = body["records"][0]["tenure"] / 100
    return web.json_response(
        {
            "request_id": body["request_id"],
            "model_name": "churn",
            "model_version": 3,
            "role": "champion",
            "epoch": 7,
            "predictions": [{"score": score, "label": int(score > 0.5)}],
        }
    )


class Service:
    """A model server: `answer` decides what a predict request gets, from its body and how often it was tried before."""

    def __init__(self, answer: Answering) -> None:
        self.answer = answer
        self.bodies: list[dict[str, Any]] = []
        self.labels: list[dict[str, Any]] = []
        self.label_status = 200
        self.attempts: Counter[str] = Counter()
        self.url = ""

    async def predict(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        self.bodies.append(body)
        self.attempts[body["request_id"]] += 1
        try:
            return self.answer(body, self.attempts[body["request_id"]])
        except ConnectionAbortedError:
            assert request.transport is not None
            request.transport.abort()
            return web.Response()

    async def take_labels(self, request: web.Request) -> web.Response:
        self.labels.extend((await request.json())["labels"])
        return web.json_response({"detail": "said the service"}, status=self.label_status)


@contextmanager
def serving(answer: Answering = _right) -> Iterator[Service]:
    service, ready, over = Service(answer), Future[str](), Future[asyncio.Event]()

    async def serve() -> None:
        app = web.Application()
        app.router.add_post("/v2/models/churn/predict", service.predict)
        app.router.add_post("/v2/models/churn/labels", service.take_labels)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        stop = asyncio.Event()
        over.set_result(stop)
        ready.set_result(f"http://127.0.0.1:{runner.addresses[0][1]}")
        await stop.wait()
        await runner.cleanup()

    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),), daemon=True)
    thread.start()
    service.url = ready.result(timeout=10)
    try:
        yield service
    finally:
        loop.call_soon_threadsafe(over.result().set)
        thread.join(timeout=10)
        loop.close()


def rows(count: int) -> Sequence[Mapping[str, Any]]:
    return [{"customer_id": f"c{i}", "tenure": 70, "plan": "team"} for i in range(count)]


def drive(service: Service, *, requests: int = 20, rate_per_s: float = 200, **settings: Any) -> TrafficDriver:
    """Run a driver until it sent so many requests, and stop it."""
    quick: dict[str, Any] = {"backoff_s": (0.01, 0.01, 0.01), "rows": rows}
    driver = TrafficDriver(service.url, "churn", rate_per_s=rate_per_s, **(quick | settings)).start()
    deadline_s = time.monotonic() + 20
    while driver.snapshot().sent < requests and time.monotonic() < deadline_s:
        time.sleep(0.01)
    driver.stop()
    return driver


def counts(service: Service, **settings: Any) -> TrafficCounts:
    return drive(service, **settings).snapshot()


def test_every_request_is_counted_by_version_and_role() -> None:
    with serving() as service:
        seen = counts(service)
    assert seen.sent == seen.answered >= 20
    assert seen.by_version == {"3": seen.answered}
    assert seen.by_role == {"champion": seen.answered}
    assert (seen.failed, seen.retried, seen.first_error) == (0, 0, None)


def test_a_request_has_the_features_the_unit_and_an_id_of_its_own() -> None:
    with serving() as service:
        drive(service)
    assert service.bodies[0]["records"] == [{"tenure": 70, "plan": "team"}]
    assert service.bodies[0]["unit"] == "c0"
    assert len({body["request_id"] for body in service.bodies}) == len(service.bodies)


def test_latencies_are_reported_once_there_are_any() -> None:
    with serving() as service:
        assert TrafficDriver(service.url, "churn", rate_per_s=1, rows=rows).snapshot().p50_ms is None
        seen = counts(service)
    assert seen.p50_ms is not None
    assert seen.p99_ms is not None
    assert 0 < seen.p50_ms <= seen.p99_ms < 10_000


def test_503_is_retried_with_the_same_request_id_and_is_no_failure() -> None:
    def busy_at_first(body: dict[str, Any], attempt: int) -> web.Response:
        return web.Response(status=503) if attempt <= 3 else _right(body, attempt)

    with serving(busy_at_first) as service:
        seen = counts(service, requests=5)
    assert (seen.failed, seen.answered) == (0, seen.sent)
    assert seen.retried == 3 * seen.sent
    assert set(service.attempts.values()) == {4}


def test_a_broken_connection_is_retried() -> None:
    def hang_up_at_first(body: dict[str, Any], attempt: int) -> web.Response:
        if attempt == 1:
            raise ConnectionAbortedError
        return _right(body, attempt)

    with serving(hang_up_at_first) as service:
        seen = counts(service, requests=5)
    assert (seen.failed, seen.retried) == (0, seen.sent)


def test_503_without_end_fails_after_four_attempts_and_says_so() -> None:
    with serving(lambda _body, _: web.Response(status=503)) as service:
        seen = counts(service, requests=5)
    assert (seen.failed, seen.answered) == (seen.sent, 0)
    assert set(service.attempts.values()) == {4}
    assert seen.first_error is not None
    assert "HTTP 503" in seen.first_error
    assert "4 times" in seen.first_error


def test_nobody_listening_is_a_failure_that_names_the_url() -> None:
    with serving() as service:
        pass
    seen = counts(service, requests=3)
    assert seen.failed == seen.sent
    assert seen.first_error is not None
    assert service.url in seen.first_error


@pytest.mark.parametrize(
    "answer",
    [
        lambda _body, _: web.json_response({"error": "no such model"}, status=404),
        lambda _body, _: web.Response(status=500),
        lambda _body, _: web.Response(text="<html>"),
        lambda _body, _: web.Response(body=b"{", content_type="application/json"),
        lambda body, _: web.json_response({"request_id": body["request_id"], "predictions": []}),
        lambda body, attempt: _right(body | {"request_id": "another"}, attempt),
        lambda _body, _: web.json_response([1, 2]),
    ],
    ids=["404", "500", "no JSON", "broken JSON", "no prediction", "another request's answer", "a list"],
)
def test_an_unusable_answer_fails_at_once(answer: Answering) -> None:
    with serving(answer) as service:
        seen = counts(service, requests=3)
    assert (seen.failed, seen.answered, seen.retried) == (seen.sent, 0, 0)
    assert seen.first_error


def test_the_message_of_a_refusal_is_kept() -> None:
    with serving(lambda _body, _: web.json_response({"error": "tenure is missing"}, status=422)) as service:
        assert "tenure is missing" in str(counts(service, requests=1).first_error)


def test_rows_can_be_changed_while_it_runs() -> None:
    with serving() as service:
        driver = TrafficDriver(service.url, "churn", rate_per_s=200, rows=rows).start()
        _wait_for(lambda: driver.snapshot().answered >= 5)
        driver.set_rows(lambda count: [{"customer_id": "new", "tenure": 10}] * count)
        _wait_for(lambda: any(body["unit"] == "new" for body in service.bodies))
        driver.stop()
    units = [body["unit"] for body in service.bodies]
    assert units.index("new") >= 5


def test_the_rate_is_kept_and_not_exceeded() -> None:
    with serving() as service:
        began_s = time.monotonic()
        driver = TrafficDriver(service.url, "churn", rate_per_s=50, rows=rows).start()
        time.sleep(1.5)
        seen = driver.stop()
        lasted_s = time.monotonic() - began_s
    assert 25 <= seen.sent <= 50 * lasted_s + 8  # each of the 8 connections may be one request early


def test_a_source_of_rows_that_raises_is_seen_at_stop() -> None:
    def broken(count: int) -> Sequence[Mapping[str, Any]]:
        raise RuntimeError("no more customers")

    with serving() as service:
        driver = TrafficDriver(service.url, "churn", rate_per_s=50, rows=broken).start()
        time.sleep(0.2)
        with pytest.raises(RuntimeError, match="no more customers"):
            driver.stop()


def test_answers_are_handed_out_once_with_their_row_and_score() -> None:
    with serving() as service:
        driver = drive(service)
    answers = driver.drain_answers()
    assert len(answers) == driver.snapshot().answered
    assert (answers[0].row["customer_id"], answers[0].score) == ("c0", 0.7)
    assert driver.drain_answers() == []


def test_no_more_answers_are_kept_than_asked() -> None:
    with serving() as service:
        driver = drive(service, requests=12, kept_answers=5)
    assert len(driver.drain_answers()) == 5


def test_labels_are_sent_by_request_id_in_several_posts() -> None:
    labels = {f"r{i}": i % 2 for i in range(1100)}
    with serving() as service:
        TrafficDriver(service.url, "churn", rate_per_s=1, rows=rows).send_labels(labels)
    assert {entry["request_id"]: entry["label"] for entry in service.labels} == labels


def test_labels_that_are_refused_raise_what_the_service_said() -> None:
    with serving() as service:
        service.label_status = 422
        with pytest.raises(ClusterError, match="said the service"):
            TrafficDriver(service.url, "churn", rate_per_s=1, rows=rows).send_labels({"r": 1})


def _wait_for(condition: Callable[[], bool], *, limit_s: float = 10) -> None:
    deadline_s = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < deadline_s, "nothing happened"
        time.sleep(0.01)
