"""What a replica answered over HTTP, by status: an integer a request, counted on the event loop."""

from collections import defaultdict

__all__ = ["HttpCounts"]

_REASONS = {
    400: "malformed",
    401: "unauthorized",
    403: "unauthorized",
    404: "not_found",
    405: "not_found",
    413: "too_large",
    415: "malformed",
    422: "malformed",
    429: "too_often",
    503: "no_room",
}


class HttpCounts:
    """Since they were taken last; belongs to one event loop."""

    def __init__(self) -> None:
        self.fine = 0
        """Answers 200, which are most: to be counted in place."""
        self._statuses: dict[int, int] = defaultdict(int)
        self._refused: dict[int, int] = defaultdict(int)

    def answered(self, status: int) -> None:
        """An answer of any kind."""
        self._statuses[status] += 1

    def refused(self, status: int) -> None:
        """The request itself could not be answered as sent, or not now."""
        self._refused[status] += 1

    def take(self) -> tuple[dict[str, int], dict[str, int]]:
        """Answers by status, and refusals by reason; both begin anew.

        >>> counts = HttpCounts()
        >>> counts.answered(422), counts.refused(422), counts.answered(200)
        (None, None, None)
        >>> counts.take(), counts.take()
        (({'422': 1, '200': 1}, {'malformed': 1}), ({}, {}))
        """
        statuses, refused = self._statuses, self._refused
        if self.fine:
            statuses[200] += self.fine
        self.fine = 0
        self._statuses, self._refused = defaultdict(int), defaultdict(int)
        reasons: dict[str, int] = defaultdict(int)
        for status, count in refused.items():
            reasons[_REASONS.get(status, "other")] += count
        return {str(status): count for status, count in statuses.items()}, dict(reasons)
