"""A token bucket: so many requests a second on average, and as many at once as come in a second."""

__all__ = ["TokenBucket"]


class TokenBucket:
    """One caller's allowance; times are those of a monotonic clock."""

    def __init__(self, per_s: float, now_s: float) -> None:
        self.per_s = per_s
        self._capacity = max(1.0, per_s)
        self._tokens = self._capacity
        self._filled_s = now_s

    def take(self, now_s: float) -> float:
        """0 when a request may pass, which is then counted; else the seconds until the next one may."""
        filled = self._tokens + (now_s - self._filled_s) * self.per_s
        self._tokens = min(self._capacity, filled)
        self._filled_s = now_s
        if self._tokens >= 1.0:
            self._tokens -= 1.0
            return 0.0
        return (1.0 - self._tokens) / self.per_s
