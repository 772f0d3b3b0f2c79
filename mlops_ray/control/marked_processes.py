"""Find and stop the processes that carry a mark in their environment, and no other process of this machine.

A process inherits its environment, so that a mark set for `ray start` is on the GCS, the raylet, the dashboard, the
autoscaler, every worker and every job of that node, and on nothing that another cluster started.
"""

import time

import psutil

__all__ = ["MARK_VARIABLE", "find_marked", "stop_marked"]

MARK_VARIABLE = "MLOPS_RAY_LOCAL_NODE"


def find_marked(mark: str) -> list[psutil.Process]:
    """Every live process whose environment has the mark; never the caller nor one of its parents."""
    own = psutil.Process()
    spared = {own.pid, *(parent.pid for parent in own.parents())}
    return [process for process in psutil.process_iter() if process.pid not in spared and _has(process, mark)]


def stop_marked(mark: str, *, grace_s: float = 5.0, limit_s: float = 20.0) -> int:
    """Ask the marked processes to end, kill those that have not after `grace_s`, and return how many there were.

    Looks again until none is left, since a process may start another while it is being stopped; gives up after
    `limit_s` (a process in an uninterruptible wait), when the caller may simply call again.
    """
    seen: set[int] = set()
    started_s = time.monotonic()
    while (processes := find_marked(mark)) and (waited_s := time.monotonic() - started_s) < limit_s:
        for process in processes:
            _signal(process, kill=waited_s >= grace_s)
        seen.update(process.pid for process in processes)
        psutil.wait_procs(processes, timeout=min(1.0, grace_s))
    return len(seen)


def _has(process: psutil.Process, mark: str) -> bool:
    try:
        return process.environ().get(MARK_VARIABLE) == mark and process.status() != psutil.STATUS_ZOMBIE
    except (psutil.Error, OSError):  # ended meanwhile, or another user's: not ours
        return False


def _signal(process: psutil.Process, *, kill: bool) -> None:
    try:
        if kill:
            process.kill()
        else:
            process.terminate()
    except psutil.NoSuchProcess:  # ended by itself, which is all we want
        return
