import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mlops_ray.lake import Lake
from mlops_ray.monitor.deliveries import Delivery
from mlops_ray.monitor.outcomes import OutcomeTotals, joined, strata, wanted_outcomes
from mlops_ray.records import RecordLog
from mlops_ray.rollout import Moments, Stratum
from mlops_ray.spec import OutcomeKind, Task
from tests.monitor.samples import labels, on, served, toy_spec

NOW_S = 1_700_000_000.0
DELIVERY = Delivery(version=2, since_epoch=1, since_s=NOW_S)
MISTAKES = {"name": "mistakes", "of": "error", "max_harm": 0.1}


@pytest.fixture
def log(tmp_path: Path) -> RecordLog:
    return RecordLog(Lake(str(tmp_path)), "toy")


def serve(log: RecordLog, *rows: dict[str, Any], name: str = "batch") -> None:
    log.append_served(name, served(*[{"time_s": NOW_S, **row} for row in rows]), NOW_S)


def label(log: RecordLog, *values: float, name: str = "labels", received_s: float = NOW_S + 5) -> None:
    """Outcomes of requests r0, r1, ..."""
    rows = [(f"r{i}", 0, value, received_s) for i, value in enumerate(values)]
    log.append_labels(name, labels(*rows), NOW_S)


def found(log: RecordLog, kind: OutcomeKind = "label", *, task: Task = "regression") -> tuple[Stratum, ...]:
    return strata(joined(log, DELIVERY, task=task), kind, task=task)


def counts(found: tuple[Stratum, ...]) -> list[tuple[int, int, int]]:
    return [(stratum.epoch, stratum.canary.n, stratum.champion.n) for stratum in found]


# -- which rows --------------------------------------------------------------------------------------------------------


def test_without_labels_there_is_nothing(log: RecordLog) -> None:
    serve(log, on("canary"))
    assert found(log) == ()


def test_without_records_there_is_nothing(log: RecordLog) -> None:
    label(log, 1.0)
    assert found(log) == ()


def test_outcomes_belong_to_the_side_that_was_meant_whoever_answered(log: RecordLog) -> None:
    serve(log, on("canary", role="champion", error="timeout"), on("champion"))
    label(log, 1.0, 5.0)
    (stratum,) = found(log)
    assert (stratum.canary, stratum.champion) == (Moments(1, 1.0, 0.0), Moments(1, 5.0, 0.0))


@pytest.mark.parametrize(
    "row",
    [
        on("shadow", epoch=9),
        on("direct"),
        on("direct", role="champion", epoch=9),
        on("canary", canary=3),
        on("canary", epoch=0),
        on("champion", canary=0),
        on("champion", status=500, score=None, error="boom"),
    ],
)
def test_what_no_user_was_answered_in_this_delivery_has_no_outcome(log: RecordLog, row: dict[str, Any]) -> None:
    serve(log, row, on("champion"))
    label(log, 1.0, 1.0)
    assert counts(found(log)) == [(1, 0, 1)]


def test_labels_of_other_rows_do_not_count(log: RecordLog) -> None:
    serve(log, on("canary", request_id="r0", row=0), on("canary", request_id="r0", row=1))
    log.append_labels("labels", labels(("r0", 1, 7.0, NOW_S), ("r0", 2, 9.0, NOW_S)), NOW_S)
    assert found(log)[0].canary == Moments(1, 7.0, 0.0)


def test_a_corrected_label_replaces_the_one_before(log: RecordLog) -> None:
    serve(log, on("canary"))
    label(log, 1.0)
    label(log, 3.0, name="later", received_s=NOW_S + 9)
    assert found(log)[0].canary == Moments(1, 3.0, 0.0)


def test_a_stray_label_does_not_hide_what_others_say_of_a_binary_model(log: RecordLog) -> None:
    serve(log, on("canary"), on("canary"))
    label(log, 7.0, 1.0)
    assert counts(found(log, "error", task="binary")) == [(1, 1, 0)]


def test_epochs_are_strata_over_all_files(log: RecordLog) -> None:
    serve(log, on("canary", request_id="r0"), on("champion", request_id="r1"), name="one")
    serve(log, on("canary", request_id="r2", epoch=2), on("canary", request_id="r3", epoch=2), name="two")
    label(log, 1.0, 1.0, 1.0, 1.0)
    assert counts(found(log)) == [(1, 1, 1), (2, 2, 0)]


# -- one value for each unit -------------------------------------------------------------------------------------------


def test_a_unit_is_one_value_the_mean_over_its_rows(log: RecordLog) -> None:
    serve(log, on("canary", unit="ada"), on("canary", unit="ada"), on("canary", unit="bob"))
    label(log, 1.0, 3.0, 6.0)
    assert found(log)[0].canary == Moments(2, 4.0, 8.0)


def test_without_units_each_request_is_one(log: RecordLog) -> None:
    serve(log, on("canary", unit=None), on("canary", unit=None))
    label(log, 1.0, 3.0)
    assert found(log)[0].canary == Moments(2, 2.0, 2.0)


def test_moments_are_those_of_the_values(log: RecordLog) -> None:
    values = np.random.default_rng(0).normal(5.0, 2.0, 200)
    serve(log, *[on("champion") for _ in values])
    label(log, *values.tolist())
    moments = found(log)[0].champion
    assert moments.n == 200
    assert moments.mean == pytest.approx(values.mean(), abs=1e-12)
    assert moments.m2 == pytest.approx(values.var() * 200, rel=1e-12)


@pytest.mark.parametrize(
    ("kind", "score", "outcome", "value"),
    [
        ("error", 0.5, 0.0, 1.0),
        ("error", 0.49, 0.0, 0.0),
        ("squared_error", 0.5, 2.0, 2.25),
        ("absolute_error", 0.5, 2.0, 1.5),
        ("label", 0.5, 2.0, 2.0),
        ("log_loss", 0.8, 1.0, -math.log(0.8)),
        ("log_loss", 0.8, 0.0, -math.log(0.2)),
        ("log_loss", 0.0, 1.0, -math.log(1e-6)),
        ("log_loss", 1.0, 1.0, -math.log(1 - 1e-6)),
    ],
)
def test_a_value_is_that_of_its_kind(
    log: RecordLog, kind: OutcomeKind, score: float, outcome: float, value: float
) -> None:
    serve(log, on("canary", score=score))
    label(log, outcome)
    assert found(log, kind)[0].canary.mean == pytest.approx(value, rel=1e-9)


# -- when to look ------------------------------------------------------------------------------------------------------


def totals(log: RecordLog, **rollout: Any) -> OutcomeTotals:
    spec = toy_spec(rollout=rollout or {"analysis": {"outcomes": [MISTAKES]}})
    return OutcomeTotals(log, spec, now_s=NOW_S)


def look(outcomes: OutcomeTotals, now_s: float, *, took_s: float = 0.0) -> bool:
    """Whether somebody looked."""
    joining = outcomes.joining((DELIVERY,), now_s)
    if joining is not None:
        outcomes.take(joining, joining.totals(), now_s + took_s)
    return joining is not None


def looks(outcomes: OutcomeTotals, *, until_s: int, took_s: float = 0.0) -> list[int]:
    """The seconds after the start at which somebody looked."""
    return [second for second in range(until_s) if look(outcomes, NOW_S + second, took_s=took_s)]


def test_without_outcomes_in_the_spec_nobody_looks(log: RecordLog) -> None:
    assert not look(totals(log, strategy="canary"), NOW_S)


@pytest.mark.parametrize("deliveries", [(), (Delivery(2, 1, None),)])
def test_before_requests_reach_the_version_nobody_looks(log: RecordLog, deliveries: tuple[Delivery, ...]) -> None:
    assert totals(log).joining(deliveries, NOW_S) is None


def test_after_the_last_label_somebody_looks_until_its_record_must_have_come(log: RecordLog) -> None:
    outcomes = totals(log)
    assert looks(outcomes, until_s=60) == [0, 5, 10]
    outcomes.labels_came(NOW_S + 60)
    assert [second for second in range(60, 100) if look(outcomes, NOW_S + second)] == [60, 65, 70]


def test_a_look_that_takes_long_is_seldom(log: RecordLog) -> None:
    outcomes = totals(log)
    outcomes.labels_came(NOW_S + 1000)
    assert looks(outcomes, until_s=100, took_s=4.0) == [0, 40, 80]


def test_a_look_that_fails_is_not_repeated_at_once(log: RecordLog) -> None:
    outcomes = totals(log)
    began = [second for second in range(12) if outcomes.joining((DELIVERY,), NOW_S + second) is not None]
    assert began == [0, 5, 10]


def test_of_another_version_nothing_is_known(log: RecordLog) -> None:
    outcomes = totals(log)
    assert outcomes.of(2) is None
    look(outcomes, NOW_S)
    assert (outcomes.of(2), outcomes.of(3)) == ({"mistakes": ()}, None)


def test_a_delivery_that_has_ended_is_forgotten(log: RecordLog) -> None:
    outcomes = totals(log)
    look(outcomes, NOW_S)
    outcomes.joining((), NOW_S + 1)
    assert outcomes.of(2) is None


def test_the_primary_outcome_of_an_ab_test_comes_first() -> None:
    primary = {"name": "spent", "of": "label", "better": "higher", "max_harm": 1.0}
    ab = {"primary": primary, "min_effect": 0.5}
    spec = toy_spec(rollout={"strategy": "ab", "ab": ab, "analysis": {"outcomes": [MISTAKES]}})
    assert [outcome.name for outcome in wanted_outcomes(spec)] == ["spent", "mistakes"]


def test_another_class_is_an_error_however_near_its_place_is(log: RecordLog) -> None:
    serve(
        log, *[on("canary", request_id=f"r{i}", unit=f"u{i}", score=score) for i, score in enumerate((0.0, 1.0, 2.0))]
    )
    label(log, 0, 2, 2)
    (stratum,) = found(log, "error", task="multiclass")
    assert (stratum.canary.n, stratum.canary.mean) == (3, pytest.approx(1 / 3))
