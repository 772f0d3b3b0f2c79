"""Pictures of a feature: shares that add up."""

import numpy as np
import pytest

from mlops_ray.drift import Column, build_reference, fold, histogram
from mlops_ray.errors import ValidationError
from tests.drift.strategies import COLUMNS, REFERENCE, draw


@pytest.mark.parametrize("column", COLUMNS, ids=[column.name for column in COLUMNS])
def test_shares_of_both_sides_add_up_with_what_is_missing(column: Column) -> None:
    drawn = histogram(REFERENCE, fold(REFERENCE, draw(np.random.default_rng(1), 500)), column.name)
    for side in ("reference", "window"):
        assert sum(drawn[side]) + drawn["missing"][side] == pytest.approx(1)
    if column.kind == "numeric":
        assert len(drawn["edges"]) == len(drawn["reference"]) + 1 == len(drawn["window"]) + 1
        assert (np.diff(drawn["edges"]) >= 0).all()
    else:
        assert drawn["categories"][-1] == "(not seen before)" or "(not seen before)" in drawn["categories"]


def test_the_rarest_of_many_categories_are_joined() -> None:
    columns = [Column("city", "categorical", tuple(f"c{i}" for i in range(50)))]
    codes = np.random.default_rng(0).integers(0, 50, (2000, 1)).astype(float)
    reference = build_reference(columns, codes)
    drawn = histogram(reference, fold(reference, codes), "city")
    assert len(drawn["categories"]) == len(drawn["window"]) == 20
    assert drawn["categories"][-1] == "(others)"
    assert sum(drawn["window"]) == pytest.approx(1)


def test_a_feature_that_the_reference_does_not_have_is_refused() -> None:
    with pytest.raises(ValidationError, match="'age'"):
        histogram(REFERENCE, fold(REFERENCE, draw(np.random.default_rng(1), 50)), "age")
