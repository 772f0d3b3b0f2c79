"""How many rows the next predict call takes, and how long it waits for them; knows no clock and no event loop."""

import math

__all__ = ["BatchPace"]

_GROWTH_STEPS = 32  # full batches from 1 row to the maximum, once doubling has ended
_SHRINK = 0.5
_RATE_WINDOW_S = 0.2
_MEMORY = 0.9  # weight of the calls before, in what is known of calls


class BatchPace:
    """Adapts batches between one row at once and the maxima, so that waiting and predicting stay below a target.

    Size: a request that comes as a call begins waits for that call and then for its own, so a call may take half of
    the target. Full batches within that let the limit grow, doubling at first and then step by step; one beyond it
    halves the limit (additive increase, multiplicative decrease: Chiu and Jain 1989; for batches: Crankshaw et al.,
    Clipper, NSDI 2017). Once requests have waited for longer than the whole target, it is missed whatever the size,
    and larger batches are what ends the queue: the limit grows.

    Waiting: pays only for what a call costs however few rows it has. A batch that is not full waits at most that long,
    and not at all unless rows come so fast that one is expected meanwhile. A service that is idle does not wait.
    """

    def __init__(self, *, max_rows: int, max_wait_s: float, target_s: float) -> None:
        self._max_rows = max_rows
        self._max_wait_s = max_wait_s
        self._target_s = target_s
        self._limit = 1.0
        self._doubling = True
        self._rate = 0.0  # rows a second as of _rate_s
        self._rate_s = 0.0
        # weighted sums over the calls so far: weight, rows, seconds, rows * rows, rows * seconds
        self._calls = (0.0, 0.0, 0.0, 0.0, 0.0)

    @property
    def limit(self) -> int:
        """Rows the next call may have."""
        return int(self._limit)

    def arrived(self, rows: int, *, now_s: float) -> None:
        """Rows came."""
        self._rate = self._rate_at(now_s) + rows / _RATE_WINDOW_S
        self._rate_s = now_s

    def finished(self, rows: int, *, waited_s: float, took_s: float) -> None:
        """A call of `rows` took so long, after its first request had waited so long."""
        weight, n, t, nn, nt = (_MEMORY * value for value in self._calls)
        self._calls = (weight + 1, n + rows, t + took_s, nn + rows * rows, nt + rows * took_s)
        if took_s <= self._target_s / 2 or waited_s > self._target_s:
            if rows >= self.limit:
                self._grow()
        elif rows <= self.limit:  # a single request may have more: that size was not chosen here
            self._limit = max(1.0, self._limit * _SHRINK)
            self._doubling = False

    def wait_s(self, rows: int, *, waited_s: float, now_s: float) -> float:
        """How long a batch of `rows` should wait for more, when its first request has waited for `waited_s`."""
        if rows >= self.limit:
            return 0.0
        fixed_s, per_row_s = self._cost()
        left_s = min(
            fixed_s, self._max_wait_s - waited_s, self._target_s - waited_s - fixed_s - per_row_s * self._limit
        )
        return left_s if left_s > 0 and left_s * self._rate_at(now_s) >= 1 else 0.0

    def _grow(self) -> None:
        step = self._limit if self._doubling else max(1.0, self._max_rows / _GROWTH_STEPS)
        self._limit = min(float(self._max_rows), self._limit + step)

    def _rate_at(self, now_s: float) -> float:
        return self._rate * math.exp((self._rate_s - now_s) / _RATE_WINDOW_S)

    def _cost(self) -> tuple[float, float]:
        """Seconds of a call without rows, and of each row: a line through the calls by least squares."""
        weight, n, t, nn, nt = self._calls
        if not weight:
            return 0.0, 0.0
        variance = nn / weight - (n / weight) ** 2
        # calls of one size only do not tell the two apart: waiting makes other sizes, and so it shows
        per_row_s = max(0.0, (nt / weight - n * t / weight**2) / variance) if variance > 1e-9 else 0.0
        return max(0.0, (t - per_row_s * n) / weight), per_row_s
