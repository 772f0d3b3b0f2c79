from typing import Any

import pytest

from mlops_ray.control.guards import STARTED_S, started_s, superseded_by, waits_for
from mlops_ray.spec import Guards
from mlops_ray.store import TriggerRecord

GUARDS = Guards(cooldown_s=100, max_per_day=3)


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


def started(at_s: float, ended_s: float, state: str = "succeeded") -> TriggerRecord:
    return trigger(id=f"at-{at_s}", state=state, created_s=at_s - 5, updated_s=ended_s, evidence={STARTED_S: at_s})


def reason(*others: TriggerRecord, now_s: float, rollout_active: bool = False) -> str:
    return waits_for(others, GUARDS, rollout_active=rollout_active, now_s=now_s) or ""


def test_nothing_holds_the_first_retraining_back() -> None:
    assert reason(now_s=0.0) == ""
    assert started_s(trigger()) is None


def test_one_at_a_time() -> None:
    assert "at-900.0 is running" in reason(started(900.0, 900.0, "submitted"), now_s=5000.0)


def test_not_beside_a_rollout() -> None:
    assert "rollout" in reason(now_s=5000.0, rollout_active=True)


@pytest.mark.parametrize("state", ["succeeded", "failed"])
def test_the_cooldown_counts_from_the_end_whatever_became_of_it(state: str) -> None:
    earlier = started(900.0, 1000.0, state)
    assert "1 s are left" in reason(earlier, now_s=1099.0)
    assert reason(earlier, now_s=1100.0) == ""


def test_a_refused_trigger_holds_nothing_back() -> None:
    assert reason(trigger(state="refused"), now_s=1001.0) == ""


def test_no_more_than_so_many_in_any_24_hours() -> None:
    earlier = [started(at_s, at_s + 10) for at_s in (1000.0, 2000.0, 3000.0)]
    assert "max_per_day allows 3" in reason(*earlier, now_s=87_399.0)
    assert reason(*earlier, now_s=87_401.0) == ""


def test_a_cause_is_dealt_with_by_a_retraining_started_after_it() -> None:
    newer = started(1000.0, 1100.0)
    assert superseded_by(trigger(), [newer]) == newer


def test_a_retraining_that_only_ended_after_the_cause_saw_nothing_of_it() -> None:
    assert superseded_by(trigger(), [started(999.0, 1100.0), trigger(id="waiting")]) is None
