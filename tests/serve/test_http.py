import json

import pytest

from mlops_ray.errors import RequestError
from mlops_ray.serve.http import error_response, header, read_body
from tests.serve.asgi_client import Message
from tests.serve.samples import run


def receiver(*messages: Message) -> object:
    rest = list(messages)

    async def receive() -> Message:
        return rest.pop(0)

    return receive


def body_of(*messages: Message, limit: int = 10, declared: bytes = b"") -> bytes:
    scope: Message = {"headers": [(b"content-length", declared)] if declared else []}
    return run(read_body(scope, receiver(*messages), limit))  # type: ignore[arg-type]


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


def test_a_header_that_was_not_sent_is_empty() -> None:
    assert header({"headers": [(b"a", b"1")]}, b"b") == b""


def test_an_error_says_where_and_when_to_come_back() -> None:
    response = error_response("no capacity", 503, path="$.x", request_id="r1")
    assert json.loads(response.body) == {"error": "no capacity", "path": "$.x", "request_id": "r1"}
    assert (b"retry-after", b"1") in response.headers
