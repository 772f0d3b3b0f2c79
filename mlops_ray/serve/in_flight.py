"""How many requests a replica is answering: no more than it may, and none is left behind when it ends."""

import asyncio
from types import TracebackType

__all__ = ["InFlight"]


class InFlight:
    """Requests under way on one event loop; enter it for each, after asking whether it is full."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.count = 0
        self._idle: asyncio.Event | None = None

    @property
    def full(self) -> bool:
        """Whether no other request may begin."""
        return self.count >= self.most

    def __enter__(self) -> None:
        self.count += 1

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.count -= 1
        if self._idle is not None and not self.count:
            self._idle.set()

    async def drained(self, within_s: float) -> bool:
        """Wait until the last one has ended; False when that took longer."""
        if self.count:
            self._idle = asyncio.Event()
            try:
                await asyncio.wait_for(self._idle.wait(), within_s)
            except TimeoutError:
                return False
        return True
