"""The most memory that a process and all below it had at one moment."""

import threading
from types import TracebackType

import psutil

__all__ = ["MemoryPeak"]

_EVERY_S = 0.1


class MemoryPeak:
    """Looks again and again while it is entered; memory that processes share, such as Ray's object store, is left out
    where the system tells it apart."""

    def __init__(self) -> None:
        self.bytes = 0
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> "MemoryPeak":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._done.set()
        self._thread.join()

    def _watch(self) -> None:
        own = psutil.Process()
        while not self._done.wait(_EVERY_S):
            self.bytes = max(self.bytes, sum(_private_bytes(p) for p in (own, *own.children(recursive=True))))


def _private_bytes(process: psutil.Process) -> int:
    try:
        memory = process.memory_info()
    except psutil.Error:  # it has ended meanwhile
        return 0
    return int(memory.rss - getattr(memory, "shared", 0))
