"""The simulated company: seeded, drifting on demand, and as hard to predict as its docstrings say."""

import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import cache

import lightgbm as lgb
import numpy as np
import pyarrow as pa
import pytest
from scipy.stats import ks_2samp
from sklearn.metrics import roc_auc_score

from mlops_ray.demo.records import CONTRACTS, PLANS
from mlops_ray.demo.world import BATCH_SPAN, FEATURES, LABEL_DELAY, World

START = datetime(2026, 1, 1, tzinfo=UTC)
CALM, DRIFTED = World(seed=1), World(seed=1, covariate_drift=1.0, concept_drift=1.0)
CODES = {name: code for names in (PLANS, CONTRACTS) for code, name in enumerate(names)}

Model = Callable[[pa.Table], "np.ndarray[tuple[int], np.dtype[np.float64]]"]


def _matrix(table: pa.Table) -> "np.ndarray[tuple[int, int], np.dtype[np.float64]]":
    rows = table.select(FEATURES).to_pylist()
    return np.array(
        [
            [np.nan if v is None else float(CODES.get(v, v) if isinstance(v, str) else v) for v in r.values()]
            for r in rows
        ]
    )


@cache
def _batch(world: World, seed: int) -> pa.Table:
    return world.batch(6000, START, seed)


def _fit(*learned: tuple[World, int]) -> Model:
    inputs = np.vstack([_matrix(_batch(world, seed)) for world, seed in learned])
    labels = np.concatenate([world.outcomes(_batch(world, seed)) for world, seed in learned])
    settings = {"objective": "binary", "verbosity": -1, "num_leaves": 15, "num_threads": 1, "seed": 1}
    booster = lgb.train(settings, lgb.Dataset(inputs, labels), 80)
    return lambda table: np.asarray(booster.predict(_matrix(table)))


def _auc(model: Model, world: World, *, seed: int = 9) -> float:
    table = _batch(world, seed)
    return float(roc_auc_score(world.outcomes(table), model(table)))


def test_equal_worlds_and_seeds_give_equal_batches() -> None:
    assert World(seed=1).batch(50, START, seed=2).equals(World(seed=1).batch(50, START, seed=2))


@pytest.mark.parametrize(("world", "seed"), [(World(seed=2), 2), (World(seed=1), 3)])
def test_another_world_seed_or_batch_seed_gives_another_batch(world: World, seed: int) -> None:
    assert not world.batch(50, START, seed).equals(World(seed=1).batch(50, START, seed=2))


def test_rows_lie_in_time_order_within_the_span_of_the_batch() -> None:
    times = _batch(CALM, 1)["observed_at"].to_pylist()
    assert times == sorted(times)
    assert START <= times[0] <= times[-1] < START + BATCH_SPAN


def test_exactly_the_newest_rows_have_no_label_yet() -> None:
    batch = _batch(CALM, 1)
    times, labels = batch["observed_at"].to_pylist(), batch["churned"].to_pylist()
    assert [label is None for label in labels] == [at > times[-1] - LABEL_DELAY for at in times]
    assert {0, 1, None} == set(labels)


def test_labels_are_the_outcomes_that_can_be_asked_for_later() -> None:
    batch = _batch(CALM, 1)
    known = batch["churned"].is_valid().to_numpy()
    assert (batch["churned"].drop_null().to_numpy() == CALM.outcomes(batch)[known]).all()


def test_a_customer_appears_once_in_a_batch() -> None:
    assert len(set(_batch(CALM, 1)["customer_id"].to_pylist())) == 6000


def test_outcomes_of_single_served_rows_equal_those_of_the_whole() -> None:
    rows = CALM.requests(20, START, seed=5)
    assert [CALM.outcomes([row])[0] for row in rows] == CALM.outcomes(rows).tolist()


def test_requests_hold_the_customer_and_the_features_and_nothing_else() -> None:
    assert set(CALM.requests(1, START, seed=5)[0]) == {"customer_id", *FEATURES}


def test_six_thousand_customers_take_less_than_a_second_and_a_half_of_processor_time() -> None:
    began_s = time.process_time()
    CALM.batch(6000, START, seed=77)
    assert time.process_time() - began_s < 1.5


def test_a_broken_batch_has_as_many_unfit_rows_as_asked_of_three_kinds() -> None:
    broken = CALM.broken_batch(6000, START, seed=1, bad_share=0.3).to_pylist()
    kinds = [
        sum(row["seats"] is None for row in broken),
        sum(row["minutes_per_session"] < 0 for row in broken),
        sum(row["plan"] not in PLANS for row in broken),
    ]
    assert sum(kinds) == pytest.approx(0.3 * 6000, rel=0.1)
    assert min(kinds) > 0.08 * 6000


def test_a_broken_batch_keeps_the_schema_of_a_good_one() -> None:
    assert CALM.broken_batch(50, START, seed=1).schema == CALM.batch(50, START, seed=1).schema


@pytest.mark.parametrize(
    "feature", ["logins_30d", "active_days_30d", "minutes_per_session", "features_used", "plan", "tickets_90d"]
)
def test_covariate_drift_moves_usage_plans_and_tickets_strongly(feature: str) -> None:
    column = FEATURES.index(feature)
    before, after = (
        _matrix(_batch(CALM, 1))[:, column],
        _matrix(_batch(World(seed=1, covariate_drift=1.0), 2))[:, column],
    )
    assert ks_2samp(before, after, method="asymp").statistic > 0.4


@pytest.mark.parametrize("feature", FEATURES)
def test_without_drift_no_feature_moves(feature: str) -> None:
    column = FEATURES.index(feature)
    before, after = _matrix(_batch(CALM, 1))[:, column], _matrix(_batch(CALM, 2))[:, column]
    assert ks_2samp(before[~np.isnan(before)], after[~np.isnan(after)], method="asymp").statistic < 0.06


def test_concept_drift_alone_leaves_the_inputs_as_they_were() -> None:
    changed = World(seed=1, concept_drift=1.0)
    assert changed.batch(50, START, seed=1).select(FEATURES).equals(CALM.batch(50, START, seed=1).select(FEATURES))


def test_a_model_of_the_calm_world_is_good_in_it_and_loses_clearly_under_full_drift() -> None:
    model = _fit((CALM, 1))
    assert 0.84 < _auc(model, CALM) < 0.90  # 0.866 when written
    assert _auc(model, DRIFTED) < 0.70  # 0.57 when written


def test_a_model_retrained_on_old_and_drifted_rows_recovers() -> None:
    model = _fit((CALM, 1), (DRIFTED, 2))
    assert _auc(model, DRIFTED) > 0.84  # 0.868 when written
    assert _auc(model, CALM) > 0.80
