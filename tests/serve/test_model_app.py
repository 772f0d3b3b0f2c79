"""What every model answers alike: who may ask, how long it may take, how many may, and how it ends."""

import asyncio
import time
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from mlops_ray.errors import DeadlineError, PredictionError, RequestError, StoreError
from mlops_ray.model import Signature
from mlops_ray.serve.access import Access
from mlops_ray.serve.answer import Answer, Body
from mlops_ray.serve.call import Call
from mlops_ray.serve.loaded import Decoders
from mlops_ray.serve.model_app import Label, ModelApp
from mlops_ray.spec import Serve
from mlops_ray.store import issue_key
from tests.serve.asgi_client import Message, Reply, call, get, post
from tests.serve.samples import MODEL, SIGNATURE, record, run

BASE = f"/v2/models/{MODEL}"
ROWS = {"records": [record()]}
TENSORS = {"inputs": [{"name": "amount", "shape": [1], "datatype": "FP64", "data": [5.0]}]}


class Half(ModelApp):
    """Answers one half to everything, as soon as it may; or fails as it is told."""

    def __init__(self, *, access: Access | None = None, failure: Exception | None = None, **serve: Any) -> None:
        self.serve = Serve(**{"deadline_ms": 2000, "canary_deadline_ms": 10, "max_ongoing_requests": 2, **serve})
        super().__init__(MODEL, self.serve, access=access)
        self.calls: list[Call] = []
        self.kept: list[Label] = []
        self.may_answer = asyncio.Event()
        self.may_answer.set()
        self.failure = failure
        self.ended_with: int | None = None

    async def answer(self, body: Body, call: Call) -> Answer:
        self.calls.append(call)
        rows = body.rows(Decoders.of(SIGNATURE, self.serve))
        await self.may_answer.wait()
        if self.failure is not None:
            raise self.failure
        return Answer("r", MODEL, 1, "champion", 1, "binary", np.full(len(rows.matrix), 0.5))

    def signatures(self) -> Mapping[int, Signature]:
        return {1: SIGNATURE}

    async def keep_labels(self, labels: list[Label]) -> None:
        self.kept += labels

    async def shutdown(self) -> None:
        self.ended_with = self.admission.in_flight.count


def predict(app: ModelApp, **headers: str) -> Any:
    return post(
        app, f"{BASE}/predict", ROWS, headers={name.replace("_", "-"): value for name, value in headers.items()}
    )


# -- deadlines --------------------------------------------------------------------------------------------------------


def allowed_s(sent: str | None = None, path: str = "predict", content: Any = ROWS) -> float:
    """Seconds that a request had, of the two that the spec allows."""
    app = Half()
    headers = {} if sent is None else {"x-request-timeout-ms": sent}
    assert run(post(app, f"{BASE}/{path}", content, headers=headers)).status == 200
    return app.calls[0].deadline_s - app.calls[0].started_s


@pytest.mark.parametrize(("sent", "seconds"), [(None, 2), ("250", 0.25), ("12.5", 0.0125), ("1e2", 0.1), ("9000", 2)])
def test_a_client_shortens_the_deadline_and_never_lengthens_it(sent: str | None, seconds: float) -> None:
    assert allowed_s(sent) == pytest.approx(seconds)


@pytest.mark.parametrize("sent", ["0", "-5", "soon", "", "1_000", "nan", "inf", " 5", "1e-999", "5" * 99])
def test_a_time_that_is_none_is_a_bad_request_that_names_the_header(sent: str) -> None:
    app = Half()
    reply = run(predict(app, x_request_timeout_ms=sent))
    assert reply.status == 400
    assert "x-request-timeout-ms" in reply.json()["error"]
    assert app.calls == []


@pytest.mark.parametrize(("timeout", "seconds"), [(250_000, 0.25), (0, 2), (9_000_000, 2)])
def test_the_protocol_has_a_parameter_for_it_in_microseconds(timeout: int, seconds: float) -> None:
    assert allowed_s(None, "infer", {**TENSORS, "parameters": {"timeout": timeout}}) == pytest.approx(seconds)


def test_of_two_times_the_shorter_counts() -> None:
    assert allowed_s("100", "infer", {**TENSORS, "parameters": {"timeout": 200_000}}) == pytest.approx(0.1)


def test_a_passed_deadline_is_said_to_be_one() -> None:
    reply = run(predict(Half(failure=DeadlineError("no answer within 5 ms"))))
    assert (reply.status, reply.json()["error"]) == (504, "no answer within 5 ms")


# -- what fails -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("failure", "status"),
    [
        (RequestError("gone", status=404), 404),
        (PredictionError("the model raised"), 500),
        (StoreError("the store is away"), 503),
        (ZeroDivisionError("secret detail"), 500),
    ],
)
def test_a_failure_has_a_status_of_its_kind(failure: Exception, status: int, caplog: pytest.LogCaptureFixture) -> None:
    reply = run(predict(Half(failure=failure), x_request_id="r1"))
    assert (reply.status, reply.json()["request_id"]) == (status, "r1")
    assert "secret detail" not in reply.body.decode()
    assert ("secret detail" in caplog.text) == isinstance(failure, ZeroDivisionError)
    assert ("retry-after" in reply.headers) == (status == 503)


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "HEAD", "OPTIONS", "TRACE"])
@pytest.mark.parametrize("path", ["predict", "infer", "arrow", "labels", "versions/1/predict"])
def test_a_method_that_is_not_for_a_path_is_answered_with_the_one_that_is(method: str, path: str) -> None:
    reply = run(call(Half(), method, f"{BASE}/{path}"))
    assert (reply.status, reply.headers["allow"]) == (405, "POST")


@pytest.mark.parametrize("path", ["", "/ready", "/docs", "/openapi.json", "/versions/1", "/versions/1/ready"])
def test_what_is_described_is_only_read(path: str) -> None:
    reply = run(call(Half(), "POST", BASE + path))
    assert (reply.status, reply.headers["allow"]) == (405, "GET, HEAD")
    assert run(call(Half(), "HEAD", BASE + path)).status == 200


def test_labels_of_a_version_are_sent_to_the_model() -> None:
    reply = run(post(Half(), f"{BASE}/versions/1/labels", {"labels": [{"request_id": "r", "label": 1}]}))
    assert reply.status == 404
    assert f"{BASE}/labels" in reply.json()["error"]


def test_a_body_with_a_content_encoding_is_refused() -> None:
    reply = run(predict(Half(), content_encoding="gzip"))
    assert (reply.status, reply.headers["accept-encoding"]) == (415, "identity")


@pytest.mark.parametrize("path", ["predict", "infer", "arrow", "labels"])
def test_a_body_in_chunks_is_limited_too(path: str) -> None:
    app = Half(max_body_bytes=2000)
    assert run(post(app, f"{BASE}/{path}", b" " * 2001, chunks=7)).status == 413


# -- how many ---------------------------------------------------------------------------------------------------------


def test_what_is_too_much_is_refused_at_once_without_reading_it_and_says_when_to_come_back() -> None:
    async def drive() -> tuple[Reply, int, list[Reply]]:
        app, read = Half(), []
        app.may_answer.clear()
        waiting = [asyncio.create_task(predict(app)) for _ in range(2)]
        while len(app.calls) < 2:
            await asyncio.sleep(0)

        async def receive() -> Message:
            read.append(1)
            return {"type": "http.request", "body": b"{}"}

        sent: list[Message] = []

        async def send(message: Message) -> None:
            sent.append(message)

        scope: Message = {"type": "http", "method": "POST", "path": f"{BASE}/predict", "headers": [], "client": None}
        await app(scope, receive, send)
        app.may_answer.set()
        refusal = Reply(sent[0]["status"], {k.decode(): v.decode() for k, v in sent[0]["headers"]}, sent[1]["body"])
        answered = [*await asyncio.gather(*waiting), await predict(app)]
        return refusal, len(read), answered

    refusal, reads, answered = run(drive())
    assert (refusal.status, refusal.headers["retry-after"], reads) == (503, "1", 0)
    assert "max_ongoing_requests" in refusal.json()["error"]
    assert [reply.status for reply in answered] == [200, 200, 200]


def test_requests_that_failed_leave_room_for_others() -> None:
    app = Half(failure=PredictionError("no"))
    assert [run(predict(app)).status for _ in range(5)] == [500] * 5


def test_what_describes_the_model_is_answered_however_busy_it_is() -> None:
    async def drive() -> int:
        app = Half()
        app.may_answer.clear()
        waiting = [asyncio.create_task(predict(app)) for _ in range(2)]
        await asyncio.sleep(0)
        status = (await get(app, f"{BASE}/ready")).status
        app.may_answer.set()
        await asyncio.gather(*waiting)
        return status

    assert run(drive()) == 200


# -- life -------------------------------------------------------------------------------------------------------------


class Life:
    """The lifespan of an application, as a server drives it."""

    def __init__(self) -> None:
        self.incoming: asyncio.Queue[Message] = asyncio.Queue()
        self.sent: asyncio.Queue[Message] = asyncio.Queue()

    async def say(self, event: str) -> None:
        await self.incoming.put({"type": f"lifespan.{event}"})

    async def over(self, app: ModelApp) -> None:
        await app({"type": "lifespan"}, self.incoming.get, self.sent.put)


def test_requests_under_way_are_answered_before_the_end_is_told() -> None:
    async def drive() -> tuple[Half, Reply]:
        app, life = Half(), Life()
        running = asyncio.create_task(life.over(app))
        await life.say("startup")
        assert (await life.sent.get())["type"] == "lifespan.startup.complete"
        app.may_answer.clear()
        request = asyncio.create_task(predict(app))
        while not app.calls:
            await asyncio.sleep(0)
        await life.say("shutdown")
        await asyncio.sleep(0.01)
        assert (app.ended_with, life.sent.empty()) == (None, True)
        app.may_answer.set()
        await running
        assert (await life.sent.get())["type"] == "lifespan.shutdown.complete"
        return app, await request

    app, reply = run(drive())
    assert (app.ended_with, reply.status) == (0, 200)


def test_a_request_that_never_ends_does_not_keep_a_replica_longer_than_a_deadline() -> None:
    async def drive() -> int | None:
        app, life = Half(deadline_ms=20), Life()
        app.may_answer.clear()
        request = asyncio.create_task(predict(app))
        await asyncio.sleep(0)
        await life.say("shutdown")
        await life.over(app)
        app.may_answer.set()
        await request
        return app.ended_with

    assert run(drive()) == 1


# -- who --------------------------------------------------------------------------------------------------------------

KEYS = {
    role: issue_key(role, [role], requests_per_s=2.0 if role == "label" else None, now_s=0.0)
    for role in ("infer", "label", "admin")
}


def guarded() -> Half:
    return Half(access=Access(lambda: [kept for _, kept in KEYS.values()], required=True))


def bearer(role: str) -> dict[str, str]:
    return {"authorization": f"Bearer {KEYS[role][0]}"}


@pytest.mark.parametrize(
    ("method", "path", "role"),
    [
        ("POST", "/predict", "infer"),
        ("POST", "/infer", "infer"),
        ("POST", "/arrow", "infer"),
        ("POST", "/versions/1/predict", "infer"),
        ("POST", "/labels", "label"),
    ],
)
def test_what_is_sent_needs_a_key_of_its_role(method: str, path: str, role: str) -> None:
    other = "label" if role == "infer" else "infer"
    app = guarded()
    assert run(call(app, method, BASE + path)).status == 401
    assert run(call(app, method, BASE + path, headers=bearer(other))).status == 403
    for allowed in (role, "admin"):
        assert run(call(app, method, BASE + path, headers=bearer(allowed))).status in (400, 422)  # the body is empty


@pytest.mark.parametrize("path", ["", "/docs", "/openapi.json", "/versions/1", "/nothing", "/versions/9/ready/x"])
def test_what_is_read_needs_any_key(path: str) -> None:
    refusal = run(get(guarded(), BASE + path))
    assert (refusal.status, refusal.headers["www-authenticate"]) == (401, 'Bearer realm="mlops_ray"')
    assert run(get(guarded(), BASE + path, headers=bearer("label"))).status in (200, 404)


@pytest.mark.parametrize("path", ["/ready", "/versions/1/ready"])
def test_load_balancers_need_no_key(path: str) -> None:
    assert run(get(guarded(), BASE + path)).status == 200


def test_a_key_that_asks_too_often_is_told_when_to_come_back() -> None:
    app = guarded()
    labels = {"labels": [{"request_id": "r", "label": 1}]}

    async def drive() -> list[Reply]:
        return [await post(app, f"{BASE}/labels", labels, headers=bearer("label")) for _ in range(3)]

    replies = run(drive())
    assert [reply.status for reply in replies] == [200, 200, 429]
    assert replies[2].headers["retry-after"] == "1"
    assert "2 times a second" in replies[2].json()["error"]
    assert len(app.kept) == 2


def test_a_request_from_another_machine_is_refused_where_keys_are_off_for_want_of_others() -> None:
    app = Half(access=Access(only_here=True))
    assert run(post(app, f"{BASE}/predict", ROWS, peer="10.0.0.9")).status == 403
    assert run(get(app, f"{BASE}/ready", peer="10.0.0.9")).status == 200
    assert run(post(app, f"{BASE}/predict", ROWS, peer="127.0.0.1")).status == 200
    assert len(app.calls) == 1


def test_a_revoked_key_is_noticed_while_the_replica_lives() -> None:
    known = [kept for _, kept in KEYS.values()]
    app = Half(access=Access(lambda: list(known), required=True))

    async def drive() -> tuple[int, int]:
        life = Life()
        running = asyncio.create_task(life.over(app))
        await life.say("startup")
        await life.sent.get()
        before = (await predict(app, **bearer("infer"))).status
        known.clear()
        until_s = time.monotonic() + 60
        while (after := (await predict(app, **bearer("infer"))).status) == before and time.monotonic() < until_s:
            await asyncio.sleep(0.05)
        await life.say("shutdown")
        await running
        return before, after

    assert run(drive()) == (200, 401)
