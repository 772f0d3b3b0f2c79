"""Rows in files are judged like served ones, block by block."""

import numpy as np
import pyarrow as pa
import pytest
import ray

from mlops_ray.drift import Column, build_reference, fold
from mlops_ray.errors import SchemaError
from mlops_ray.monitor.offline_drift import offline_drift, profile_of
from mlops_ray.spec import Thresholds
from tests.drift.test_profile import assert_same

COLUMNS = [Column("a", "numeric"), Column("plan", "categorical", ("x", "y")), Column("prediction", "numeric")]
RANDOM = np.random.default_rng(0)
REFERENCE = build_reference(
    COLUMNS, np.column_stack((RANDOM.normal(size=5000), RANDOM.integers(0, 2, 5000), RANDOM.uniform(size=5000)))
)


def dataset(shift: float, *, prediction: bool) -> ray.data.Dataset:
    """Three blocks of 1,000 rows."""
    random = np.random.default_rng(1)
    columns = {"plan": np.array(["x", "y"])[random.integers(0, 2, 3000)], "a": random.normal(shift, 1, 3000)}
    if prediction:
        columns["prediction"] = random.uniform(size=3000)
    return ray.data.from_arrow(pa.table(columns)).repartition(3)


@pytest.mark.usefixtures("ray_cluster")
def test_rows_of_a_dataset_are_judged_with_and_without_answers() -> None:
    steady = offline_drift(REFERENCE, dataset(0.0, prediction=True), Thresholds())
    assert (steady.rows, steady.drifted, len(steady.features)) == (3000, (), 3)
    moved = offline_drift(REFERENCE, dataset(0.5, prediction=False), Thresholds())
    assert (moved.rows, moved.drifted, len(moved.features)) == (3000, ("a",), 2)


@pytest.mark.usefixtures("ray_cluster")
def test_blocks_folded_apart_are_the_profile_of_all_rows() -> None:
    rows = dataset(0.0, prediction=True)
    table = rows.to_pandas()
    matrix = np.column_stack((table["a"], (table["plan"] == "y").astype(float), table["prediction"]))
    assert_same(profile_of(REFERENCE, rows), fold(REFERENCE, matrix))


@pytest.mark.usefixtures("ray_cluster")
def test_a_dataset_without_a_feature_is_refused() -> None:
    with pytest.raises(SchemaError, match="'plan' is missing"):
        offline_drift(REFERENCE, ray.data.from_arrow(pa.table({"a": [1.0]})), Thresholds())
