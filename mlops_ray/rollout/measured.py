"""What the measurements of one query said so far."""

import math
from dataclasses import dataclass, replace
from typing import Self

from mlops_ray.spec import PromQL

__all__ = ["Measured"]


@dataclass(frozen=True)
class Measured:
    """Counts over the measurements of one query; one that could not be taken counts neither for nor against."""

    last: float | None = None
    """The newest value that could be measured."""
    at_s: float = 0.0
    """When the newest measurement was tried."""
    taken: int = 0
    missed: int = 0
    """Tried, and not answered with a number."""
    outside: int = 0
    """The newest values in a row that lay outside of the bounds."""

    def after(self, value: float | None, query: PromQL, at_s: float) -> Self:
        """With one more measurement; one that is no newer than the last is the same one again, and changes nothing."""
        if (self.taken or self.missed) and at_s <= self.at_s:
            return self
        if value is None or math.isnan(value):  # Prometheus says NaN where there is no number
            return replace(self, at_s=at_s, missed=self.missed + 1)
        outside = self.outside + 1 if _is_outside(value, query) else 0
        return replace(self, last=value, at_s=at_s, taken=self.taken + 1, outside=outside)


def _is_outside(value: float, query: PromQL) -> bool:
    return (query.max is not None and value > query.max) or (query.min is not None and value < query.min)
