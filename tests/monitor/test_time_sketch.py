import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_ray.monitor.time_sketch import TimeSketch

TIMES = st.lists(st.floats(0.01, 1e5), min_size=1, max_size=60)


def sketch(*batches: list[float]) -> TimeSketch:
    taken = TimeSketch()
    for batch in batches:
        taken.add(np.array(batch))
    return taken


@given(times=TIMES, share=st.sampled_from([0.1, 0.5, 0.95, 0.99]))
def test_a_quantile_is_right_to_two_percent(times: list[float], share: float) -> None:
    exact = float(np.quantile(times, share, method="inverted_cdf"))
    found = sketch(times).quantile(share)
    assert exact * (1 - 1e-9) <= found <= exact * 1.0201


@given(times=TIMES, cut=st.integers(0, 60))
def test_neither_order_nor_batches_make_a_difference(times: list[float], cut: int) -> None:
    there, back = sketch(times), sketch(times[cut:], times[:cut])
    assert len(there) == len(back) == len(times)
    assert there.quantile(0.5) == back.quantile(0.5)


@pytest.mark.parametrize("time_ms", [0.0, 1e-9, 1e12])
def test_what_no_bin_reaches_counts_in_the_outermost(time_ms: float) -> None:
    assert len(sketch([time_ms])) == 1
    assert sketch([time_ms]).quantile(0.5) > 0
