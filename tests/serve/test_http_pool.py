import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from mlops_ray.serve.http_pool import HttpAnswer, HttpPool
from tests.serve.samples import run

Serve = Callable[["Peer", bytes], Awaitable[None]]
OK = b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: %d\r\n\r\n%s"


class Peer:
    """A server's end of one connection; counts the requests that come over it."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self.requests = 0
        self._writer = writer

    async def say(self, text: bytes) -> None:
        self._writer.write(text)
        await self._writer.drain()

    async def answer(self, body: bytes) -> None:
        await self.say(OK % (len(body), body))

    def hang_up(self) -> None:
        self._writer.close()


@asynccontextmanager
async def listening(serve: Serve) -> AsyncIterator[tuple[HttpPool, list[Peer]]]:
    """A pool for a server on this machine, and the connections it was opened."""
    peers: list[Peer] = []
    tasks: list[asyncio.Task[None] | None] = []

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = Peer(writer)
        peers.append(peer)
        tasks.append(asyncio.current_task())
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                size = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
                body = await reader.readexactly(size)
                peer.requests += 1
                await serve(peer, body)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    pool = HttpPool(*server.sockets[0].getsockname()[:2])
    try:
        yield pool, peers
    finally:
        pool.close()
        server.close()
        await asyncio.gather(*(task for task in tasks if task))


async def echo(peer: Peer, body: bytes) -> None:
    await peer.answer(body)


def post(pool: HttpPool, body: bytes) -> Awaitable[HttpAnswer]:
    return pool.post(b"/path", body, b"x-header: 1\r\n")


def test_requests_one_after_the_other_share_a_connection() -> None:
    async def story() -> None:
        async with listening(echo) as (pool, peers):
            answers = [await post(pool, f"{i}".encode()) for i in range(5)]
            assert [answer.body for answer in answers] == [b"0", b"1", b"2", b"3", b"4"]
            assert (answers[0].status, answers[0].content_type, len(peers)) == (200, b"text/plain", 1)

    run(story())


def test_requests_at_the_same_time_have_a_connection_each_and_get_their_own_answers() -> None:
    async def late(peer: Peer, body: bytes) -> None:
        await asyncio.sleep(0.02 * (5 - int(body)))  # the first is answered last
        await peer.answer(body)

    async def story() -> None:
        async with listening(late) as (pool, peers):
            answers = await asyncio.gather(*(post(pool, f"{i}".encode()) for i in range(5)))
            assert [answer.body for answer in answers] == [b"0", b"1", b"2", b"3", b"4"]
            assert len(peers) == 5

    run(story())


def test_an_answer_may_come_in_pieces_and_in_chunks() -> None:
    async def in_pieces(peer: Peer, body: bytes) -> None:
        chunked = (
            b"HTTP/1.1 503 No\r\ncontent-type: a/b\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n"
        )
        for byte in chunked if body == b"chunks" else OK % (3, b"abc"):
            await peer.say(bytes([byte]))
            await asyncio.sleep(0)

    async def story() -> None:
        async with listening(in_pieces) as (pool, peers):
            assert await post(pool, b"chunks") == HttpAnswer(503, b"a/b", b"abc")
            assert await post(pool, b"length") == HttpAnswer(200, b"text/plain", b"abc")
            assert len(peers) == 1

    run(story())


@pytest.mark.parametrize("at_once", [True, False])
def test_a_connection_that_was_closed_while_it_was_idle_costs_nothing_but_another_one(at_once: bool) -> None:
    async def one_each(peer: Peer, body: bytes) -> None:
        if peer.requests == 1:
            await peer.answer(body)
        if at_once or peer.requests == 2:
            peer.hang_up()  # the second request goes unheard

    async def story() -> None:
        async with listening(one_each) as (pool, peers):
            assert (await post(pool, b"a")).body == b"a"
            await asyncio.sleep(0.01 if at_once else 0)
            assert (await post(pool, b"b")).body == b"b"
            assert len(peers) == 2

    run(story())


def test_an_answer_that_breaks_off_is_an_error_and_is_not_asked_for_again() -> None:
    async def breaks_off(peer: Peer, body: bytes) -> None:
        if body == b"ok":
            await peer.answer(body)
        else:
            await peer.say(OK[:20])
            peer.hang_up()

    async def story() -> None:
        async with listening(breaks_off) as (pool, peers):
            await post(pool, b"ok")
            with pytest.raises(OSError, match="closed"):
                await post(pool, b"bad")
            assert sum(peer.requests for peer in peers) == 2

    run(story())


def test_what_is_not_http_is_an_error() -> None:
    async def nonsense(peer: Peer, body: bytes) -> None:
        await peer.say(b"\x00\x01 nonsense\r\n\r\n")

    async def story() -> None:
        async with listening(nonsense) as (pool, _):
            with pytest.raises(OSError, match="expected HTTP"):
                await post(pool, b"x")

    run(story())


def test_nobody_listening_is_an_error() -> None:
    async def story() -> None:
        async with listening(echo) as (pool, _):
            pass
        with pytest.raises(ConnectionRefusedError):
            await post(pool, b"x")

    run(story())


def test_a_request_that_was_given_up_takes_its_connection_with_it() -> None:
    async def late(peer: Peer, body: bytes) -> None:
        await asyncio.sleep(0.05 if body == b"slow" else 0)
        await peer.answer(body)

    async def story() -> None:
        async with listening(late) as (pool, peers):
            await post(pool, b"first")
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(post(pool, b"slow"), 0.01)
            # its late answer must not be taken for this one's
            assert (await post(pool, b"next")).body == b"next"
            assert len(peers) == 2

    run(story())


def test_a_connection_that_the_server_wants_closed_is_not_used_again() -> None:
    async def closing(peer: Peer, body: bytes) -> None:
        await peer.say(b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 1\r\n\r\nx")

    async def story() -> None:
        async with listening(closing) as (pool, peers):
            await post(pool, b"a")
            await post(pool, b"b")
            assert [peer.requests for peer in peers] == [1, 1]

    run(story())
