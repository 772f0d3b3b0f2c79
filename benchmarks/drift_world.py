"""A world without drift whose rows follow the hour of the day: features of several families, by formula.

The chance of every cell of a reference is known exactly at every time, so that windows of any size can be drawn as
counts, from the same distribution as if their rows had been folded.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from mlops_ray.drift import Column, FeatureReference, Profile, ReferenceProfile, build_reference, empty

__all__ = ["DAY_S", "HOUR_S", "World"]

HOUR_S = 3_600.0
DAY_S = 24 * HOUR_S
_FAMILIES = ("normal", "normal", "normal", "lognormal", "whole numbers")
_MOMENTS = 12  # of a piece of time, over which its chances are averaged

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class World:
    """Features 0 .. features - 1; the level of each moves by up to a standard deviation over the day."""

    features: int
    seed: int

    @property
    def names(self) -> list[str]:
        """Of the features, with their family."""
        return [f"{_FAMILIES[i % len(_FAMILIES)]} {i}" for i in range(self.features)]

    def rows(self, random: np.random.Generator, times_s: Floats) -> Floats:
        """A row (n, features) for each time."""
        values = random.normal(size=(len(times_s), self.features)) + self._levels(times_s)
        kinds = np.arange(self.features) % len(_FAMILIES)
        values[:, kinds == 3] = np.exp(values[:, kinds == 3])
        values[:, kinds == 4] = np.floor(2 * values[:, kinds == 4])
        return values

    def reference(
        self, rows: int, *, days: int = 30, window_s: float = HOUR_S
    ) -> tuple[ReferenceProfile, Floats, Floats]:
        """What a training on `rows` rows of the last `days` days leaves, the rows, and their times."""
        random = np.random.default_rng((self.seed, 0))
        times_s = np.sort(random.uniform(-days * DAY_S, 0, rows))
        values = self.rows(random, times_s)
        columns = [Column(name, "numeric") for name in self.names]
        return build_reference(columns, values, times_s=times_s, window_s=window_s), values, times_s

    def drawn(
        self, random: np.random.Generator, reference: ReferenceProfile, rows: int, from_s: float, length_s: float
    ) -> Profile:
        """The profile of `rows` rows at times spread evenly over `length_s` seconds; without sums of values."""
        blank = empty(reference)
        times_s = from_s + (np.arange(_MOMENTS) + 0.5) * length_s / _MOMENTS
        levels = self._levels(times_s)
        cells = [
            np.append(random.multinomial(rows, _chances(feature, i % len(_FAMILIES), levels[:, i])), 0)
            for i, feature in enumerate(reference.features)
        ]
        slots = blank.slots.copy()
        if reference.season is not None:
            shares = reference.season.counts(times_s) / _MOMENTS
            slots += random.multinomial(rows, shares)
        return Profile(rows, blank.lengths, np.concatenate(cells), blank.sums, blank.moments, blank.ranges, slots)

    def _levels(self, times_s: Floats) -> Floats:
        random = np.random.default_rng((self.seed, 1))
        sizes, phases = random.uniform(0, 1, self.features), random.uniform(0, 1, self.features)
        return np.asarray(sizes * np.sin(2 * np.pi * (times_s[:, None] / DAY_S + phases)))


def _chances(feature: FeatureReference, kind: int, levels: Floats) -> Floats:
    """Of each bin, averaged over the levels."""
    edges = np.asarray(feature.edges)
    if kind == 3:
        edges = np.where(edges > 0, np.log(np.maximum(edges, 1e-300)), -np.inf)
    elif kind == 4:
        edges = (np.floor(edges) + 1) / 2
    below = ndtr(edges[None, :] - levels[:, None]).mean(axis=0)
    chances = np.clip(np.diff(np.concatenate([[0.0], below, [1.0]])), 0.0, 1.0)
    return np.asarray(chances / chances.sum())
