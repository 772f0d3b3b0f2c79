"""A front door with everything around it, and canaries of every temper."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlops_ray.errors import AsleepError
from mlops_ray.serve import FrontDoor, Versions
from mlops_ray.serve.handover import Handover
from mlops_ray.serve.model_app import Label
from mlops_ray.serve.outbox import Outbox
from mlops_ray.serve.recorder import Served
from mlops_ray.store import RouteRecord
from tests.serve.asgi_client import Reply, post
from tests.serve.samples import MODEL, record, route

BASE = f"/v2/models/{MODEL}"
Matrix = NDArray[np.float64]
Remote = Callable[[Matrix], Awaitable[Any]]
QUEUE_MS, PREDICT_MS = 0.5, 1.5
"""What a canary says it took."""


Open = Callable[..., "House"]


@dataclass
class Mailbox:
    """Keeps labels; records stay in the recorder."""

    labels: list[Label] = field(default_factory=list)

    async def receive(self, handover: Handover) -> None:
        raise AssertionError(f"nothing is flushed here: {handover.name}")

    async def keep_labels(self, name: str, labels: list[Label]) -> None:
        assert name
        self.labels += labels


@dataclass
class RemoteVersion:
    """A canary in other processes, as far as the front door can tell."""

    answer: Remote
    calls: list[int] = field(default_factory=list)
    """Requests in each."""
    compared: bool = True

    async def predict_many(self, matrices: Sequence[Matrix], left_s: Sequence[float]) -> list[Any]:
        assert len(matrices) == len(left_s)
        self.calls.append(len(matrices))
        return [self._outcome(await self.answer(matrix)) for matrix in matrices]

    def _outcome(self, answer: Any) -> Any:
        if isinstance(answer, str):
            return None, answer, 0.0, 0.0
        return None if answer is None else (answer, None, QUEUE_MS, PREDICT_MS)


@dataclass
class House:
    """A front door with everything around it."""

    versions: Versions
    door: FrontDoor
    outbox: Outbox
    mailbox: Mailbox
    remote: RemoteVersion

    async def predict(self, *records: dict[str, Any], headers: dict[str, str] | None = None, **more: Any) -> Reply:
        content = {"records": records or [record()], **more}
        return await post(self.door, f"{BASE}/predict", content, headers=headers)

    def records(self) -> list[Served]:
        return self.outbox.recorder.take()


async def good(matrix: Matrix) -> Any:
    return np.full(len(matrix), 0.25)


async def first_column(matrix: Matrix) -> Any:
    return matrix[:, 0]


def open_house(versions: Versions, first: RouteRecord, remote: Remote, **options: Any) -> House:
    """Opens a front door on a route; the canary answers as `remote` says."""
    mailbox = Mailbox()
    outbox = Outbox(mailbox, replica="r", flush_s=60)
    canary = RemoteVersion(remote)
    door = FrontDoor(
        versions,
        versions.spec().serve,
        connect=lambda _: canary,
        outbox=outbox,
        route=first,
        **options,
    )
    return House(versions, door, outbox, mailbox, canary)


async def with_canary(house: House, share: float, champion: int = 1, canary: int = 2, **more: Any) -> RouteRecord:
    pushed = route(2, champion, canary=canary, share=share, **more)
    await house.door.apply(pushed)
    return pushed


async def raises(_: Matrix) -> Any:
    raise ConnectionError("replica is gone")


async def sleeps(_: Matrix) -> Any:
    raise AsleepError("no replica")


async def hangs(_: Matrix) -> Any:
    await asyncio.sleep(30)


async def answers_nan(matrix: Matrix) -> Any:
    return np.full(len(matrix), np.nan)


async def answers_more_rows(matrix: Matrix) -> Any:
    return np.full(len(matrix) + 1, 0.5)


async def answers_nothing(_: Matrix) -> Any:
    return None


async def answers_why_not(_: Matrix) -> Any:
    return "model version 2 raised ValueError"
