"""Ends a replica that uses more memory than its spec allows, before the machine ends somebody else for it."""

import logging
import os
import threading
import time

import psutil

__all__ = ["EXIT_CODE", "start_memory_guard"]

EXIT_CODE = 137
"""What the system's own killer leaves behind."""

_log = logging.getLogger(__name__)


def start_memory_guard(memory_mb: int | None, *, who: str, every_s: float = 0.25) -> None:
    """Watch this process on a thread of its own from now on; None watches nothing.

    `who` is what the log calls the process when it ends. Its memory is the resident set, pages it shares with others
    included.
    """
    if memory_mb is not None:
        arguments = (memory_mb, who, every_s)
        threading.Thread(target=_watch, args=arguments, name="memory-guard", daemon=True).start()


def _watch(memory_mb: int, who: str, every_s: float) -> None:
    process = psutil.Process()
    while (used := process.memory_info().rss / 2**20) <= memory_mb:
        time.sleep(every_s)
    _log.critical(
        "%s uses %.0f MB, more than serve.memory_mb (%d), and ends; it will be replaced", who, used, memory_mb
    )
    # no exception would reach the main thread, and nothing is to be tidied up by a process that eats memory
    os._exit(EXIT_CODE)
