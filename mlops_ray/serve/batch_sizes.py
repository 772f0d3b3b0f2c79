"""How many rows went into one predict call: counted by powers of two, which costs a tenth of a microsecond."""

from mlops_ray.telemetry import METRICS, Histogram

__all__ = ["BatchSizes"]

_EDGES = METRICS["mlops_ray_batch_rows"].edges
_ABOVE = len(_EDGES)


class BatchSizes:
    """Since they were taken last; belongs to one event loop."""

    def __init__(self) -> None:
        self.single = 0
        """Calls of one row, which are most: to be counted in place."""
        self._histogram = Histogram.empty(_EDGES)

    def add(self, rows: int) -> None:
        """One predict call of so many rows, at least 1; the edges are 1, 2, 4, ..."""
        histogram = self._histogram
        histogram.counts[min((rows - 1).bit_length(), _ABOVE)] += 1
        histogram.sum += rows

    def take(self) -> Histogram:
        """The counts; they begin anew.

        >>> sizes = BatchSizes()
        >>> for rows in (1, 2, 3, 4, 5, 5000):
        ...     sizes.add(rows)
        >>> taken = sizes.take()
        >>> taken.counts[:4], taken.counts[-1], taken.sum, sizes.take().count
        ([1, 1, 2, 1], 1, 5015.0, 0)
        """
        taken, self._histogram = self._histogram, Histogram.empty(_EDGES)
        taken.counts[0] += self.single
        taken.sum += self.single
        self.single = 0
        return taken
