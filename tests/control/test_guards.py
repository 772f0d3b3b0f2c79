from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_ray.control.guards import (
    DAY_S,
    STARTED_S,
    Hold,
    NewData,
    Situation,
    device_hours,
    holds,
    remarks,
    started_s,
    superseded_by,
)
from mlops_ray.spec import Guards
from mlops_ray.store import AlertRecord, LoopRecord, ModelVersionRecord, Stage, TriggerRecord
from tests.control.world import version

GUARDS = Guards(cooldown_s=100, max_per_day=3, max_rejected=2)


def trigger(**changes: Any) -> TriggerRecord:
    values: dict[str, Any] = {
        "id": "t",
        "model": "toy",
        "cause": "drift",
        "evidence": {},
        "state": "pending",
        "submission_id": None,
        "reason": "",
        "created_s": 1000.0,
        "updated_s": 1000.0,
    }
    return TriggerRecord(**values | changes)


def started(at_s: float, ended_s: float, state: str = "succeeded", **evidence: Any) -> TriggerRecord:
    evidence = {STARTED_S: at_s, **evidence}
    return trigger(id=f"at-{at_s}", state=state, created_s=at_s - 5, updated_s=ended_s, evidence=evidence)


def alert(kind: str, *features: str) -> AlertRecord:
    return AlertRecord(f"a-{kind}", "toy", 1, kind, "critical", "zeros came", features, {}, "open", 0.0, 0.0)


def found(*others: TriggerRecord, now_s: float, guards: Guards = GUARDS, **situation: Any) -> tuple[Hold, ...]:
    return holds(trigger(), Situation(others, **situation), guards, now_s=now_s)


def names(*others: TriggerRecord, now_s: float = 5000.0, **situation: Any) -> list[str]:
    return [hold.guard for hold in found(*others, now_s=now_s, **situation)]


def test_nothing_holds_the_first_retraining_back() -> None:
    assert found(now_s=0.0) == ()
    assert started_s(trigger()) is None


def test_one_at_a_time() -> None:
    (hold,) = found(started(900.0, 900.0, "submitted"), now_s=5000.0)
    assert (hold.guard, hold.reason) == ("running", "retraining at-900.0 is running")


def test_not_beside_a_rollout() -> None:
    assert names(rollout_active=True) == ["rollout"]


@pytest.mark.parametrize("state", ["succeeded", "failed"])
def test_the_cooldown_counts_from_the_end_whatever_became_of_it(state: str) -> None:
    earlier = started(900.0, 1000.0, state)
    (hold,) = found(earlier, now_s=1099.0)
    assert (hold.guard, hold.until_s) == ("cooldown", 1100.0)
    assert "1 s are left" in hold.reason
    assert found(earlier, now_s=1100.0) == ()


def test_a_refused_trigger_holds_nothing_back() -> None:
    assert found(trigger(id="o", state="refused"), now_s=1001.0) == ()


def test_no_more_than_so_many_in_any_24_hours() -> None:
    earlier = [started(at_s, at_s + 10) for at_s in (1000.0, 2000.0, 3000.0)]
    (hold,) = found(*earlier, now_s=87_399.0)
    assert (hold.guard, hold.until_s) == ("per_day", 1000.0 + DAY_S)
    assert "max_per_day allows 3" in hold.reason
    assert found(*earlier, now_s=87_401.0) == ()


def test_a_data_quality_alert_blocks_and_names_the_column() -> None:
    (hold,) = found(now_s=5000.0, alerts=[alert("data_quality", "tenure", "plan")])
    assert hold == Hold("data_quality", "data_quality alert a-data_quality is open (tenure, plan): zeros came")


def test_an_operational_alert_blocks_and_drift_does_not() -> None:
    assert names(alerts=[alert("drift", "a"), alert("operational"), alert("sample_ratio")]) == ["operational"]


def test_a_paused_loop_says_who_paused_it_and_why() -> None:
    loop = LoopRecord("toy", True, "a migration", "ada", 0.0, 0.0)
    (hold,) = found(now_s=5000.0, loop=loop)
    assert hold == Hold("paused", "paused by ada: a migration")


def test_too_few_new_labels_or_unripe_ones_wait() -> None:
    guards = GUARDS.model_copy(update={"min_new_labels": 100, "min_label_maturity": 0.5})
    new = NewData(labels=99, maturity=0.49)
    assert [h.guard for h in found(now_s=5000.0, guards=guards, new=new)] == ["new_labels", "maturity"]
    assert found(now_s=5000.0, guards=guards, new=NewData(labels=100, maturity=0.5)) == ()


def test_new_rows_are_asked_for_where_they_are_committed_already() -> None:
    guards, new = GUARDS.model_copy(update={"min_new_rows": 10}), Situation([], new=NewData(rows=9))
    assert [h.guard for h in holds(trigger(cause="new_data"), new, guards, now_s=0.0)] == ["new_rows"]
    assert holds(trigger(cause="drift"), new, guards, now_s=0.0) == ()


def trained(number: int, *, ended_s: float, **changes: Any) -> ModelVersionRecord:
    costs = changes.pop("costs", {"cpu_s": 0.0, "gpu_s": 0.0})
    return version(number, training={"ended_s": ended_s, "costs": costs}, **changes)


def test_device_hours_are_gpu_hours_else_core_hours_and_failed_jobs_count_by_the_clock() -> None:
    versions = [
        trained(1, ended_s=5000.0, costs={"cpu_s": 7200.0, "gpu_s": 0.0}),
        trained(2, ended_s=5000.0, costs={"cpu_s": 7200.0, "gpu_s": 3600.0}),
        trained(3, ended_s=5000.0 - DAY_S, costs={"cpu_s": 9e9, "gpu_s": 0.0}),
    ]
    situation = Situation([started(1000.0, 2800.0, "failed")], versions=versions, devices=4.0)
    assert device_hours(situation, 5000.0) == pytest.approx(2.0 + 1.0 + 2.0)


def test_the_device_budget_says_when_enough_of_it_is_free_again() -> None:
    guards = GUARDS.model_copy(update={"max_device_hours_per_day": 2.0})
    hour = {"cpu_s": 3600.0, "gpu_s": 0.0}
    versions = [trained(n, ended_s=1000.0 * n, costs=hour) for n in (1, 2, 3)]
    (hold,) = found(now_s=5000.0, guards=guards, versions=versions)
    assert (hold.guard, hold.until_s) == ("device_hours", 2000.0 + DAY_S)
    assert found(now_s=2000.0 + DAY_S, guards=guards, versions=versions) == ()


def row_of(*stages: tuple[Stage, str]) -> dict[str, Any]:
    """Retrainings one after the other, and what became of their versions."""
    versions = [version(n, stage=stage, verdict=verdict) for n, (stage, verdict) in enumerate(stages, start=1)]
    others = [started(100.0 * v.version, 100.0 * v.version + 9, version=v.version) for v in versions]
    return {"others": others, "versions": versions}


def breaker(row: dict[str, Any], loop: LoopRecord | None = None) -> bool:
    situation = Situation(row["others"], versions=row["versions"], loop=loop)
    return "breaker" in [h.guard for h in holds(trigger(), situation, GUARDS, now_s=99_999.0)]


def test_the_breaker_opens_after_so_many_rejected_versions_in_a_row() -> None:
    failed, back = (Stage.CANDIDATE, "FAIL"), (Stage.ROLLED_BACK, "PASS")
    champion = (Stage.CHAMPION, "PASS")
    assert breaker(row_of(failed, back))
    assert breaker(row_of(champion, (Stage.REJECTED, "PASS"), (Stage.CANDIDATE, "INCONCLUSIVE")))
    assert not breaker(row_of(failed, champion, back))
    assert not breaker(row_of(failed, (Stage.CANDIDATE, "PASS")))


def test_what_was_rejected_before_people_resumed_counts_no_more() -> None:
    row = row_of((Stage.ROLLED_BACK, "PASS"), (Stage.ROLLED_BACK, "PASS"))
    assert not breaker(row, LoopRecord("toy", False, "", "ada", 109.0, 109.0))


def test_people_wait_only_for_what_would_break() -> None:
    row = row_of((Stage.ROLLED_BACK, "PASS"), (Stage.ROLLED_BACK, "PASS"))
    others = [*row["others"], started(400.0, 400.0, "submitted")]
    situation = Situation(
        others, True, [alert("data_quality")], row["versions"], LoopRecord("toy", True, "", "a", 0, 0)
    )
    guards = GUARDS.model_copy(update={"max_per_day": 1})
    asked = trigger(cause="manual")
    assert [h.guard for h in holds(asked, situation, guards, now_s=500.0)] == ["running", "rollout"]
    # All the same they are told what the loop would wait for.
    told = [h.guard for h in remarks(asked, situation, guards, now_s=250.0)]
    assert told == ["paused", "breaker", "data_quality", "per_day", "cooldown"]
    assert remarks(asked, Situation([], True), guards, now_s=250.0) == ()


def test_an_attempt_waits_for_its_time() -> None:
    later = trigger(attempt=2, next_s=1010.0)
    (hold,) = holds(later, Situation([]), GUARDS, now_s=1000.0)
    assert (hold.guard, hold.reason, hold.until_s) == ("retry", "attempt 2 of 3 begins in 10 s", 1010.0)
    assert holds(later, Situation([]), GUARDS, now_s=1010.0) == ()


moments = st.floats(0, 200_000, allow_nan=False)
jobs = st.builds(
    lambda at_s, lasts_s, state: started(at_s, at_s + lasts_s, state),
    moments,
    st.floats(0, 5000),
    st.sampled_from(["succeeded", "failed"]),
)


@given(st.lists(jobs, max_size=6), moments)
def test_a_hold_that_names_its_end_lets_go_then_and_not_before(others: list[TriggerRecord], now_s: float) -> None:
    others = [replace(o, id=str(i)) for i, o in enumerate(others) if o.updated_s <= now_s]
    for hold in found(*others, now_s=now_s):
        assert hold.until_s is not None
        assert hold.until_s > now_s
        assert hold.guard in [h.guard for h in found(*others, now_s=hold.until_s - 1e-3)]
        assert hold.guard not in [h.guard for h in found(*others, now_s=hold.until_s + 1e-3)]


@given(st.lists(jobs, max_size=6), moments, st.integers(1, 6))
def test_a_stricter_spec_never_lets_more_through(others: list[TriggerRecord], now_s: float, most: int) -> None:
    loose = Guards(cooldown_s=10, max_per_day=most + 1)
    strict = Guards(cooldown_s=20, max_per_day=most)
    if found(*others, now_s=now_s, guards=loose):
        assert found(*others, now_s=now_s, guards=strict)


def test_a_cause_is_dealt_with_by_a_retraining_started_after_it() -> None:
    newer = started(1000.0, 1100.0)
    assert superseded_by(trigger(), [newer]) == newer


def test_a_retraining_that_only_ended_after_the_cause_saw_nothing_of_it() -> None:
    assert superseded_by(trigger(), [started(999.0, 1100.0), trigger(id="waiting")]) is None
