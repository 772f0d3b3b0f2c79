import asyncio
import json
from typing import Any

import pytest

from mlops_ray.errors import DeadlineError, RequestError
from mlops_ray.serve.http import error_response, json_response, read_body
from tests.serve.asgi_client import Message
from tests.serve.samples import run


def receiver(*messages: Message) -> object:
    rest = list(messages)

    async def receive() -> Message:
        return rest.pop(0)

    return receive


def body_of(*messages: Message, limit: int = 10, declared: bytes = b"", encoding: bytes = b"") -> bytes:
    sent = {b"content-length": declared, b"content-encoding": encoding}
    headers = {name: value for name, value in sent.items() if value}
    return run(read_body(headers, receiver(*messages), limit_bytes=limit, within_s=30))  # type: ignore[arg-type]


def part(body: bytes, more: bool = False) -> Message:
    return {"type": "http.request", "body": body, "more_body": more}


def test_a_body_in_parts_is_put_together() -> None:
    assert body_of(part(b"ab", True), part(b"", True), part(b"cd")) == b"abcd"


def test_a_body_that_says_it_is_too_large_is_not_read() -> None:
    with pytest.raises(RequestError, match="max_body_bytes") as caught:
        body_of(declared=b"11")
    assert caught.value.status == 413


def test_a_body_that_turns_out_too_large_is_refused() -> None:
    for messages in ([part(b"x" * 11)], [part(b"x" * 6, True), part(b"x" * 6, True)]):
        with pytest.raises(RequestError) as caught:
            body_of(*messages)
        assert caught.value.status == 413


def test_a_client_that_goes_away_ends_the_reading() -> None:
    with pytest.raises(RequestError, match="closed the connection"):
        body_of(part(b"ab", True), {"type": "http.disconnect"})


@pytest.mark.parametrize("declared", [b"", b"3", b"junk", b"9" * 4000])
def test_a_body_is_counted_whatever_it_says_of_its_size(declared: bytes) -> None:
    with pytest.raises(RequestError) as caught:
        body_of(part(b"x" * 6, True), part(b"x" * 6), declared=declared)
    assert caught.value.status == 413


@pytest.mark.parametrize("encoding", [b"gzip", b"br", b"identity, gzip", b"\xff"])
def test_a_body_with_a_content_encoding_is_refused_before_it_is_read(encoding: bytes) -> None:
    with pytest.raises(RequestError, match="content-encoding") as caught:
        body_of(encoding=encoding)
    assert caught.value.status == 415


def test_the_encoding_identity_is_none() -> None:
    assert body_of(part(b"ab"), encoding=b" Identity") == b"ab"


@pytest.mark.parametrize("declared", [{}, {b"content-length": b"100000"}])
def test_a_large_body_that_does_not_come_is_waited_for_no_longer_than_the_request_may_take(
    declared: dict[bytes, bytes],
) -> None:
    async def receive() -> Message:
        await asyncio.sleep(60)
        raise AssertionError("nobody waits so long")

    with pytest.raises(DeadlineError, match="did not come within 10 ms"):
        run(read_body(declared, receive, limit_bytes=10**6, within_s=0.01))


def test_an_error_says_where_and_when_to_come_back() -> None:
    response = error_response("no capacity", 503, path="$.x", request_id="r1")
    assert json.loads(response.body) == {"error": "no capacity", "path": "$.x", "request_id": "r1"}
    assert (b"retry-after", b"1") in response.headers


def _late(*messages: Message) -> Any:
    """Each message comes a turn of the loop later than it is asked for."""
    rest = list(messages)

    async def receive() -> Message:
        for _ in range(3):
            await asyncio.sleep(0)
        return rest.pop(0)

    return receive


@pytest.mark.parametrize(
    "messages", [[part(b"abcd")], [part(b"ab", True), part(b"cd")], [part(b"", True), part(b"abcd")]]
)
def test_a_body_may_come_later_than_its_headers(messages: list[Message]) -> None:
    assert run(read_body({}, _late(*messages), limit_bytes=10, within_s=30)) == b"abcd"


def test_what_was_waited_for_in_vain_is_given_up() -> None:
    ended: list[str] = []

    async def receive() -> Message:
        try:
            await asyncio.sleep(60)
        finally:
            ended.append("given up")
        return part(b"")

    with pytest.raises(DeadlineError):
        run(read_body({b"content-length": b"4"}, receive, limit_bytes=10, within_s=0.01))
    assert ended == ["given up"]


def test_a_server_that_fails_to_receive_fails_the_request() -> None:
    for turns in (0, 1):

        async def receive(turns: int = turns) -> Message:
            for _ in range(turns):
                await asyncio.sleep(0)
            raise ConnectionError("gone")

        with pytest.raises(ConnectionError, match="gone"):
            run(read_body({}, receive, limit_bytes=10, within_s=30))


def test_whatever_is_not_available_says_when_to_come_back() -> None:
    assert (b"retry-after", b"1") in json_response({"ready": False}, status=503).headers
    assert (b"retry-after", b"3") in error_response("too often", 429, retry_after_s=2.1).headers
    assert json_response({"ready": True}).headers == ()


def test_a_refusal_for_lack_of_a_key_says_how_one_is_sent() -> None:
    assert error_response("no key", 401).headers == ((b"www-authenticate", b'Bearer realm="mlops_ray"'),)
