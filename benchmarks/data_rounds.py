"""Interleaved rounds of several ways to do the same, and the ratios of their times. Pure but for the clock given."""

import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass

__all__ = ["Measured", "Timed", "interleave", "time_ratio"]


@dataclass(frozen=True)
class Timed:
    """One way, over all rounds."""

    part: str
    system: str
    amount: int  # rows or files, each round
    rounds_s: tuple[float, ...]
    median_s: float
    per_s: float  # amount over the median
    peak_bytes: int | None = None  # most memory at once, where it was looked at


@dataclass(frozen=True)
class Measured:
    """What a part gives."""

    rows: tuple[Timed, ...]
    ratios: Mapping[str, float]


def interleave(
    part: str,
    ways: Mapping[str, Callable[[], int]],
    *,
    rounds: int,
    clock: Callable[[], float],
    before: Callable[[], object] = lambda: None,
    warm_up: bool = True,
) -> dict[str, Timed]:
    """Every way once in each round, in turns that begin with another one each time, after a round that does not count.

    `before` is called ahead of each, outside of its time; without `warm_up` every round counts.

    Raises:
        RuntimeError: two ways did not do the same amount.
    """
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    amounts: set[int] = set()
    names = list(ways)
    for number in range(-1 if warm_up else 0, rounds):
        first = max(number, 0) % len(names)
        for name in names[first:] + names[:first]:
            before()
            start_s = clock()
            amounts.add(ways[name]())
            if number >= 0:
                seconds[name].append(clock() - start_s)
    if len(amounts) != 1:
        raise RuntimeError(f"{part}: expected every way to do the same amount, found {sorted(amounts)}")
    (amount,) = amounts
    medians = {name: statistics.median(taken) for name, taken in seconds.items()}
    return {
        name: Timed(part, name, amount, tuple(round(s, 4) for s in taken), medians[name], amount / medians[name])
        for name, taken in seconds.items()
    }


def time_ratio(over: Timed, under: Timed) -> float:
    """The median of the rounds' own ratios of times: what else the machine does comes and goes between the rounds."""
    return round(statistics.median(a / b for a, b in zip(over.rounds_s, under.rounds_s, strict=True)), 3)
