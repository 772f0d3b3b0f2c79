"""How well one feature tells the label."""

import numpy as np
import pytest

from mlops_ray.data.leakage import label_power

RNG = np.random.default_rng(5)
LABEL = RNG.integers(0, 2, 2000).astype(np.float64)
NOISE = RNG.normal(size=2000)


@pytest.mark.parametrize("sign", [1, -1])
def test_a_copy_of_the_label_predicts_it_whichever_way_round(sign: int) -> None:
    assert label_power(sign * LABEL, LABEL, binary=True, categorical=False) == 1.0
    assert label_power(LABEL, LABEL, binary=True, categorical=True) == 1.0


def test_noise_predicts_nothing() -> None:
    for categorical, values in ((False, NOISE), (True, RNG.integers(0, 5, 2000)), (True, np.arange(2000))):
        power = label_power(np.asarray(values, np.float64), LABEL, binary=True, categorical=categorical)
        assert power is not None
        assert power < 0.56


def test_a_constant_predicts_nothing() -> None:
    for categorical in (True, False):
        assert label_power(np.zeros(2000), LABEL, binary=True, categorical=categorical) == 0.5


def test_a_value_that_is_missing_with_the_label_predicts_it() -> None:
    assert label_power(np.where(LABEL == 1, np.nan, NOISE), LABEL, binary=True, categorical=False) == 1.0


def test_rows_without_a_label_are_left_out() -> None:
    labels = np.where(np.arange(2000) < 1000, LABEL, np.nan)
    values = np.where(np.arange(2000) < 1000, LABEL, RNG.normal(size=2000))
    assert label_power(values, labels, binary=True, categorical=False) == 1.0


def test_of_a_number_it_is_the_rank_correlation() -> None:
    target = np.exp(NOISE)
    assert label_power(-NOISE, target, binary=False, categorical=False) == pytest.approx(1.0)
    weak = label_power(RNG.normal(size=2000), target, binary=False, categorical=False)
    assert weak is not None
    assert weak < 0.1


def test_few_rows_say_nothing() -> None:
    assert label_power(LABEL[:30], LABEL[:30], binary=True, categorical=False) is None
