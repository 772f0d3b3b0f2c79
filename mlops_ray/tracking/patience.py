"""Doing something with an MLflow that may be away for a while."""

import time
from collections.abc import Callable
from typing import TypeVar

from mlops_ray.errors import TrackingError
from mlops_ray.tracking.connection import is_refusal
from mlops_ray.tracking.tracking import Tracking

__all__ = ["patiently"]

_FIRST_PAUSE_S = 0.5
_LONGEST_PAUSE_S = 10.0
_TRIES_WHILE_ALIVE = 3

Answer = TypeVar("Answer")


def patiently(tracking: Tracking, limit_s: float, action: Callable[[], Answer]) -> Answer:
    """What `action` answers, tried again for `limit_s` at most for as long as MLflow is away.

    `action` may be carried out more than once and has to bear it.

    Raises:
        TrackingError: MLflow refuses, fails three times though it is there, or is away for longer.
    """
    deadline_s = time.monotonic() + limit_s
    pause_s, failed_alive = _FIRST_PAUSE_S, 0
    while True:
        try:
            return action()
        except TrackingError as error:
            failed_alive += _is_alive(tracking)
            if is_refusal(error) or failed_alive >= _TRIES_WHILE_ALIVE or time.monotonic() > deadline_s:
                raise
        time.sleep(pause_s)
        pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)


def _is_alive(tracking: Tracking) -> bool:
    try:
        tracking.check_alive()
    except TrackingError:
        return False
    return True
