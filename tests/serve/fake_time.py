"""An event loop whose time is a number: a wait takes no time, and one that would never end is an error."""

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")
START_S = 1000.0


class _Selector(selectors.SelectSelector):
    """Goes on to the next timer instead of waiting for it."""

    loop: "FakeTimeLoop"

    def select(self, timeout: float | None = None) -> Any:
        if timeout is None:
            raise AssertionError("everything waits, and nothing will ever happen")
        self.loop.now_s += max(0.0, timeout)
        return []


class FakeTimeLoop(asyncio.SelectorEventLoop):
    """For coroutines that wait for timers and each other only."""

    def __init__(self) -> None:
        self.now_s = START_S
        selector = _Selector()
        selector.loop = self
        super().__init__(selector)

    def time(self) -> float:
        return self.now_s


def run_in_fake_time(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine on such a loop of its own."""
    with asyncio.Runner(loop_factory=FakeTimeLoop) as runner:
        return runner.run(coroutine)
