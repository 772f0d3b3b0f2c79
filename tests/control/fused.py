"""A store and jobs whose users are killed at any point of them."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from mlops_ray.control.memory_jobs import MemoryJobs
from mlops_ray.store import Change, Event, Store

__all__ = ["FusedJobs", "FusedStore", "Killed"]


class Killed(BaseException):
    """SIGKILL, as far as one process can play it."""


class FusedStore(Store):
    """A store whose writers are killed before, in or after a transaction."""

    def __init__(self, url: str, burn: Callable[[], None]) -> None:
        super().__init__(url)
        self._burn = burn

    @contextmanager
    def change(self, event: Event) -> Iterator[Change]:
        self._burn()
        with super().change(event) as change:
            yield change
            self._burn()
        self._burn()


class FusedJobs(MemoryJobs):
    """Jobs whose submitter is killed before or after, or whose API is away."""

    def __init__(self, burn: Callable[[], None] = lambda: None) -> None:
        super().__init__()
        self.burn = burn
        self.away = 0

    def submit(self, submission_id: str, *, model: str, trigger: str) -> None:
        self.burn()
        if self.away:
            self.away -= 1
            raise RuntimeError("the dashboard does not answer\nand says more")
        super().submit(submission_id, model=model, trigger=trigger)
        self.burn()
