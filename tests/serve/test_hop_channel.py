import asyncio
from typing import Any

import numpy as np
import pytest

from mlops_ray.serve import VersionDoor, Versions
from mlops_ray.serve.hop_channel import HopChannel
from mlops_ray.serve.hop_entrance import HOP, hop_path
from mlops_ray.serve.http_pool import HttpAnswer
from mlops_ray.serve.messages import Question, Reply, outcomes_of, question_to_bytes, reply_from_bytes
from mlops_ray.serve.outbox import Outbox
from tests.serve.asgi_client import post
from tests.serve.fake_time import run_in_fake_time
from tests.serve.samples import MODEL, Register, booster, lightgbm_model, run
from tests.serve.test_outbox import Mailbox

TOKEN = "a-token"
QUESTION: Question = (np.arange(8.0).reshape(2, 4), [1, 1], [1.0, 1.0])


def app_of(versions: Versions, version: int) -> VersionDoor:
    outbox = Outbox(Mailbox(), replica="r", flush_s=60)
    return VersionDoor(MODEL, versions.spec().serve, model=versions.load(version), outbox=outbox, hop_token=TOKEN)


class Node:
    """Both ways to the replicas of a version: `app` over HTTP without a network, and the handle."""

    def __init__(self, app: VersionDoor, *, token: str | None = TOKEN) -> None:
        self.app = app
        self.token = token
        self.over_http = 0
        self.by_handle = 0
        self.tokens_asked = 0
        self.http_fails: OSError | HttpAnswer | None = None

    async def ask(self, question: Question) -> Reply:
        self.by_handle += 1
        return await self.app.reply(question)

    async def hop_token(self) -> str | None:
        self.tokens_asked += 1
        return self.token

    async def post(self, path: bytes, body: bytes, headers: bytes) -> HttpAnswer:
        if isinstance(self.http_fails, OSError):
            raise self.http_fails
        if self.http_fails is not None:
            return self.http_fails
        self.over_http += 1
        sent = dict(line.split(": ", 1) for line in headers.decode().split("\r\n") if line)
        answer = await post(self.app, path.decode(), body, headers=sent)
        return HttpAnswer(answer.status, answer.headers["content-type"].encode(), answer.body)


def channel_to(node: Any, **options: float) -> HopChannel:
    return HopChannel(node, node, hop_path(MODEL, 1), **options)


async def ask(channel: HopChannel, times: int = 1) -> None:
    """Ask so many times; each answer must be the model's own."""
    for _ in range(times):
        scores = [scores for scores, _, _, _ in outcomes_of(await channel(QUESTION), QUESTION)]
        expected = np.asarray(booster(7).predict(QUESTION[0]))
        np.testing.assert_allclose(np.concatenate(scores), expected, atol=1e-12)  # type: ignore[arg-type]
        await asyncio.sleep(0)


@pytest.fixture
def node(versions: Versions, register: Register) -> Node:
    return Node(app_of(versions, register(lightgbm_model(7))))


def test_the_first_message_goes_by_handle_and_the_others_over_http(node: Node) -> None:
    run(ask(channel_to(node), 4))
    assert (node.by_handle, node.over_http, node.tokens_asked) == (1, 3, 1)


def test_replicas_that_have_no_entrance_are_asked_by_handle(node: Node) -> None:
    node.token = None
    run(ask(channel_to(node), 4))
    assert (node.by_handle, node.over_http, node.tokens_asked) == (4, 0, 1)


@pytest.mark.parametrize(
    "failure",
    [
        ConnectionRefusedError("HAProxy is gone"),
        HttpAnswer(503, b"text/html", b"no server is available"),
        HttpAnswer(404, b"application/json", b"{}"),
        HttpAnswer(200, b"application/json", b"{}"),
    ],
    ids=["refused", "503", "404", "another application"],
)
def test_where_http_fails_the_handle_is_asked_and_http_rests(node: Node, failure: OSError | HttpAnswer) -> None:
    async def story() -> None:
        channel = channel_to(node)
        await ask(channel, 2)
        node.http_fails = failure
        await ask(channel, 5)
        assert (node.over_http, node.by_handle) == (1, 6)
        node.http_fails = None
        await asyncio.sleep(6)
        await ask(channel, 3)
        assert (node.over_http, node.by_handle, node.tokens_asked) == (3, 7, 2)

    run_in_fake_time(story())


def test_new_replicas_with_another_token_are_found_again(node: Node) -> None:
    async def story() -> None:
        channel = channel_to(node, rests_s=0.0)
        node.token = "an old one"
        await ask(channel, 2)
        assert node.by_handle == 2  # 403 over HTTP
        node.token = TOKEN
        await ask(channel, 3)
        assert node.by_handle == 3, "once more while the new token is asked for, then no more"

    run(story())


def test_a_call_over_http_that_was_given_up_sends_the_next_ones_by_handle(node: Node) -> None:
    async def never(path: bytes, body: bytes, headers: bytes) -> HttpAnswer:
        await asyncio.sleep(1e6)
        raise AssertionError

    async def story() -> None:
        channel = channel_to(node, rests_s=5.0)
        await ask(channel, 2)
        node.post = never  # type: ignore[method-assign]
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(channel(QUESTION), 0.3)
        await ask(channel, 3)
        assert node.by_handle == 4
        await asyncio.sleep(6)
        await ask(channel)  # asks for the token again
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(channel(QUESTION), 0.3)
        await asyncio.sleep(6)
        await ask(channel, 3)
        assert node.by_handle == 8, "the second rest is twice as long"

    run_in_fake_time(story())


def test_a_version_that_fails_over_http_has_failed(node: Node) -> None:
    async def story() -> None:
        channel = channel_to(node)
        await ask(channel, 2)
        node.http_fails = HttpAnswer(200, HOP, b"nonsense")
        with pytest.raises(ValueError, match="Expected `array`"):
            await channel(QUESTION)
        assert node.by_handle == 1

    run(story())


# -- the entrance ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("headers", [{}, {"x-mlops-ray-hop": "wrong"}, {"x-mlops-ray-hop": "a-töken"}])
def test_who_does_not_show_the_token_is_refused(node: Node, headers: dict[str, str]) -> None:
    reply = run(post(node.app, hop_path(MODEL, 1), question_to_bytes(QUESTION), headers=headers))
    assert (reply.status, "front door of the model only" in reply.json()["error"]) == (403, True)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"nonsense",
        question_to_bytes((np.zeros((2, 4)), [1, 1, 1], [1.0] * 3)),
        question_to_bytes((np.zeros((2, 4)), [1, 1], [1.0])),
        question_to_bytes((np.zeros((2, 4)), [2], [1.0]))[:-20],
    ],
    ids=["nothing", "nonsense", "rows for others", "a time too few", "cut off"],
)
def test_what_is_no_message_is_refused(node: Node, content: bytes) -> None:
    reply = run(post(node.app, hop_path(MODEL, 1), content, headers={"x-mlops-ray-hop": TOKEN}))
    assert (reply.status, "expected a message" in reply.json()["error"]) == (400, True)


def test_without_a_token_there_is_no_entrance(versions: Versions, register: Register) -> None:
    app = VersionDoor(
        MODEL,
        versions.spec().serve,
        model=versions.load(register(lightgbm_model(7))),
        outbox=Outbox(Mailbox(), replica="r", flush_s=60),
    )
    reply = run(post(app, hop_path(MODEL, 1), question_to_bytes(QUESTION), headers={"x-mlops-ray-hop": ""}))
    assert reply.status == 404


def test_a_request_without_scores_says_why_over_http_too(node: Node) -> None:
    late: Question = (QUESTION[0], [1, 1], [0.0, 1.0])
    reply = run(post(node.app, hop_path(MODEL, 1), question_to_bytes(late), headers={"x-mlops-ray-hop": TOKEN}))
    outcomes = outcomes_of(reply_from_bytes(reply.body), late)
    assert [scores is None for scores, _, _, _ in outcomes] == [True, False]
    assert "no answer within 0 ms" in str(outcomes[0][1])
