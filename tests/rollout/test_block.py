"""A block says what it cannot be."""

from typing import Any

import pytest

from mlops_ray.errors import RolloutError
from mlops_ray.rollout import Block, Moments


@pytest.mark.parametrize(
    "counts", [(-1, 0, 0, 0, 0, 0), (5, 5, 6, 0, 0, 0), (5, 5, 0, 0, 0, 6), (5, 5, 0, -1, 0, 0)], ids=str
)
def test_a_block_that_cannot_be_is_refused(counts: tuple[int, int, int, int, int, int]) -> None:
    with pytest.raises(RolloutError, match="expected"):
        Block(*counts)


@pytest.mark.parametrize(
    ("parts", "named"),
    [
        ({"canary_errors": 3, "canary_repeated_errors": 3}, "canary_errors"),
        ({"champion_slow": 3, "champion_repeated_slow": 3}, "champion_slow"),
        ({"quantiles": {"p95": (6, 0)}, "timed": (5, 5)}, "p95"),
        ({"quantiles": {"p95": (0, -1)}, "timed": (5, 5)}, "p95"),
        ({"timed": (-1, 0)}, "timed"),
        ({"paired": (5, 6)}, "paired"),
        ({"paired": (-1, 0)}, "paired"),
        ({"units": (1, -1)}, "units"),
        ({"scores": ((1, 2), (1, 2, 3))}, "scores"),
        ({"scores": ((1, -2), (1, 2))}, "scores"),
        ({"share": 1.1}, "share"),
        ({"share": float("nan")}, "share"),
    ],
    ids=str,
)
def test_what_a_block_says_beyond_errors_is_checked_as_well(parts: dict[str, Any], named: str) -> None:
    with pytest.raises(RolloutError, match=named):
        Block(**{**vars(Block(5, 5, 0, 0, 0, 0)), **parts})


@pytest.mark.parametrize("wrong", [(-1, 0.0, 0.0), (1, 0.0, -1.0), (1, float("nan"), 0.0), (1, 0.0, float("inf"))])
def test_moments_that_cannot_be_are_refused(wrong: tuple[int, float, float]) -> None:
    with pytest.raises(RolloutError, match="moments"):
        Moments(*wrong)
