"""Columns, rows and profiles that the tests of this package draw."""

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray

from mlops_ray.drift import Column, Profile, build_reference, fold

COLUMNS = (
    Column("normal", "numeric"),
    Column("skewed", "numeric"),
    Column("small_int", "numeric"),
    Column("flag", "numeric"),
    Column("zero_inflated", "numeric"),
    Column("with_nulls", "numeric"),
    Column("plan", "categorical", ("basic", "plus", "pro", "max")),
    Column("region", "categorical", tuple("abcdefghij")),
)
_REGIONS = np.array([0.5, 0.2, 0.1, 0.08, 0.05, 0.03, 0.02, 0.01, 0.005, 0.005])


def draw(random: np.random.Generator, rows: int) -> NDArray[np.float64]:
    """Independent rows of COLUMNS, always from the same distribution."""
    nulls = random.normal(size=rows)
    nulls[random.random(rows) < 0.05] = np.nan
    return np.column_stack(
        [
            random.normal(size=rows),
            np.exp(random.normal(size=rows)),
            random.integers(0, 5, rows),
            random.random(rows) < 0.05,
            np.where(random.random(rows) < 0.3, 0.0, random.exponential(size=rows)),
            nulls,
            random.choice(4, rows, p=[0.4, 0.3, 0.2, 0.1]),
            random.choice(10, rows, p=_REGIONS),
        ]
    ).astype(np.float64)


REFERENCE = build_reference(COLUMNS, draw(np.random.default_rng(0), 5000))

VALUES = st.floats(-5, 5, allow_subnormal=False) | st.sampled_from([np.nan, np.inf, -np.inf, 0.0, 1.0, 2.0, 1e300])


@st.composite
def matrices(drawn: st.DrawFn) -> NDArray[np.float64]:
    """A few rows of any values, sensible or not."""
    shape = (drawn(st.integers(0, 12)), len(COLUMNS))
    return drawn(arrays.arrays(np.float64, shape, elements=VALUES))


def profiles() -> st.SearchStrategy[Profile]:
    """Profiles of a few rows."""
    return matrices().map(lambda matrix: fold(REFERENCE, matrix))
