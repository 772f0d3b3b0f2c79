import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import numpy as np
import pytest

from mlops_ray.errors import AsleepError
from mlops_ray.serve.coalescer import Coalescer
from mlops_ray.serve.sleeping_version import SleepingVersion
from tests.serve.fake_time import run_in_fake_time
from tests.serve.remotes import Act, ScriptedVersion

ROW = np.full((1, 3), 0.5)


@dataclass
class Replicas:
    """The replicas of a version: how many run, how long one takes to start, what goes wrong."""

    count: int = 1
    start_s: float = 3.0
    fails: int = 0
    """Starts that fail first."""
    silent: bool = False
    looks: int = 0
    starts: int = 0

    async def replicas(self) -> int:
        self.looks += 1
        if self.silent:
            await asyncio.sleep(1e6)
        return self.count

    async def wake(self) -> None:
        self.starts += 1
        await asyncio.sleep(self.start_s)
        if self.starts <= self.fails:
            raise ConnectionError("no room on any node")
        self.count = 1


@dataclass
class Story:
    """A version that may sleep, and what it is asked."""

    replicas: Replicas
    remote: ScriptedVersion
    version: SleepingVersion

    async def asked(self, times: int = 1) -> list[bool]:
        """Whether each of so many requests at the same time was answered."""
        answers = await asyncio.gather(*(self._answered() for _ in range(times)))
        return list(answers)

    async def _answered(self) -> bool:
        try:
            await self.version.predict_many([ROW], [1.0])
        except AsleepError:
            return False
        return True


def tell(story: Callable[[Story], Awaitable[None]], replicas: Replicas, *acts: Act) -> None:
    async def told() -> None:
        remote = ScriptedVersion(acts or (Act(),))
        await story(Story(replicas, remote, SleepingVersion(remote, replicas, quiet_s=5.0)))

    run_in_fake_time(told())


def test_a_version_that_is_asked_all_the_time_is_not_looked_at_again() -> None:
    async def story(s: Story) -> None:
        assert not s.version.compared
        for _ in range(20):
            assert await s.asked() == [True]
            assert s.version.compared
            await asyncio.sleep(1)
        assert (s.replicas.looks, s.replicas.starts) == (1, 0)

    tell(story, Replicas())


def test_a_request_that_finds_no_replica_wakes_one_up_and_waits_for_nothing() -> None:
    async def story(s: Story) -> None:
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        assert await s.asked(5) == [False] * 5
        assert (loop.time(), s.remote.calls, s.replicas.looks) == (began_s, [], 1)
        await asyncio.sleep(2.9)
        assert await s.asked() == [False]
        assert not s.version.compared
        await asyncio.sleep(0.2)
        assert s.version.compared
        assert await s.asked(3) == [True] * 3
        assert s.replicas.starts == 1

    tell(story, Replicas(count=0))


def test_replicas_that_went_while_nothing_was_asked_are_missed_before_anybody_waits() -> None:
    async def story(s: Story) -> None:
        assert await s.asked() == [True]
        s.replicas.count = 0
        await asyncio.sleep(6)
        assert not s.version.compared
        assert await s.asked() == [False]
        await asyncio.sleep(4)
        assert await s.asked() == [True]

    tell(story, Replicas())


def test_replicas_that_died_while_they_were_asked_are_what_the_version_has_to_answer_for() -> None:
    async def story(s: Story) -> None:
        assert await s.asked() == [True]
        s.replicas.count = 0
        for _ in range(20):
            await asyncio.sleep(1)
            assert s.version.compared
            with pytest.raises(ConnectionError):
                await s.asked()
        assert s.replicas.starts == 0

    tell(story, Replicas(), Act(), Act("raises"))


def test_a_start_that_fails_is_tried_again_by_a_later_request_and_not_by_itself() -> None:
    async def story(s: Story) -> None:
        assert await s.asked() == [False]
        await asyncio.sleep(60)
        assert s.replicas.starts == 1
        assert await s.asked() == [False]
        await asyncio.sleep(3.1)
        assert await s.asked() == [False], "it rests for a moment"
        assert s.replicas.starts == 2
        await asyncio.sleep(60)
        assert await s.asked() == [False]
        await asyncio.sleep(3.1)
        assert await s.asked() == [True]

    tell(story, Replicas(count=0, fails=2))


def test_when_nobody_says_how_many_there_are_the_version_is_asked() -> None:
    async def story(s: Story) -> None:
        assert await s.asked() == [True]

    tell(story, Replicas(silent=True))


def test_what_waits_for_a_call_together_is_told_that_the_version_sleeps() -> None:
    async def story(s: Story) -> None:
        coalescer = Coalescer(s.version, who="version 2", wait_s=0.001)
        asked = [coalescer.ask(ROW, timeout_s=1.0) for _ in range(3)]
        found = await asyncio.gather(*asked, return_exceptions=True)
        assert [type(error) for error in found] == [AsleepError] * 3

    tell(story, Replicas(count=0))
