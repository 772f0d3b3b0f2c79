"""Outcomes of units by the epoch they were served in, as mergeable moments."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from mlops_ray.errors import RolloutError

__all__ = ["Moments", "Stratum"]


@dataclass(frozen=True)
class Moments:
    """Number, mean and sum of squared deviations from the mean of some values; of none: 0, 0.0, 0.0.

    Raises:
        RolloutError: a negative number of values or sum of squares, or a mean that is no number.
    """

    n: int
    mean: float
    m2: float

    def __post_init__(self) -> None:
        if self.n < 0 or not self.m2 >= 0.0 or not math.isfinite(self.mean) or not math.isfinite(self.m2):
            raise RolloutError(f"moments: expected n and m2 of at least 0 and a finite mean, found {self}")


@dataclass(frozen=True)
class Stratum:
    """The outcomes of one epoch, so of one share: one value for each unit, the mean over its labelled rows."""

    epoch: int
    canary: Moments
    champion: Moments

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        """The value that `dataclasses.asdict` or JSON made of it."""
        return cls(content["epoch"], Moments(**content["canary"]), Moments(**content["champion"]))
