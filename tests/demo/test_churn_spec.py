"""The spec of the demo's model and the simulated data fit each other."""

from datetime import datetime
from pathlib import Path

import pytest

from mlops_ray.demo.records import CONTRACTS, PLANS
from mlops_ray.demo.world import FEATURES, World
from mlops_ray.spec import ModelSpec, load_spec

SPEC_FILE = Path(__file__).parents[2] / "mlops_ray" / "demo" / "churn.yaml"


@pytest.fixture(scope="module")
def spec() -> ModelSpec:
    return load_spec(SPEC_FILE)


def test_its_features_are_the_columns_of_the_world(spec: ModelSpec) -> None:
    assert tuple(spec.data.features) == FEATURES


def test_its_columns_are_all_a_batch_has(spec: ModelSpec) -> None:
    batch = World(seed=1).batch(10, datetime(2026, 1, 1), seed=1)
    assert set(spec.data.columns) == set(batch.column_names)


def test_its_source_is_the_folder_landing_beside_it(spec: ModelSpec) -> None:
    assert spec.data.source == str(SPEC_FILE.resolve().parent / "landing")


def test_its_categories_are_those_the_world_draws(spec: ModelSpec) -> None:
    assert set(spec.data.features["plan"].categories or ()) == set(PLANS)
    assert set(spec.data.features["contract"].categories or ()) == set(CONTRACTS)


@pytest.mark.parametrize("drift", [0.0, 1.0])
def test_its_ranges_and_null_shares_hold_for_good_batches(spec: ModelSpec, drift: float) -> None:
    batch = World(seed=1, covariate_drift=drift).batch(3000, datetime(2026, 1, 1), seed=1)
    for name, feature in spec.data.features.items():
        column = batch[name]
        values = [value for value in column.to_pylist() if value is not None]
        assert column.null_count / len(column) <= feature.max_null_share, name
        assert feature.min is None or min(values) >= feature.min, name
        assert feature.max is None or max(values) <= feature.max, name


def test_a_broken_batch_stays_below_the_share_that_refuses_all(spec: ModelSpec) -> None:
    batch = World(seed=1).broken_batch(3000, datetime(2026, 1, 1), seed=1)
    rows = batch.select(["seats", "minutes_per_session", "plan"]).to_pylist()
    bad = sum(row["seats"] is None or row["minutes_per_session"] < 0 or row["plan"] not in PLANS for row in rows)
    assert 0 < bad / batch.num_rows < spec.data.checks.max_quarantined_share
