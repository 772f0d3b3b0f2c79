"""Peak memory of this process and everything it started, measured while it runs."""

import os
import threading
from types import TracebackType
from typing import Self

import psutil

__all__ = ["PeakMemory"]

_EVERY_S = 2.0


class PeakMemory:
    """Samples the proportional set size of the process tree: memory shared by several processes counts once."""

    def __init__(self) -> None:
        self.peak_bytes = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True, name="peak-memory")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join(timeout=10)

    def _sample(self) -> None:
        while True:
            self.peak_bytes = max(self.peak_bytes, _tree_bytes())
            if self._stop.wait(_EVERY_S):
                return


def _tree_bytes() -> int:
    total = 0
    own = psutil.Process(os.getpid())
    for process in [own, *own.children(recursive=True)]:
        try:
            total += process.memory_full_info().pss
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return total
