"""What `mlops-ray loop` and `mlops-ray triggers` show of a store."""

from pathlib import Path
from typing import Any

import pytest

from mlops_ray.control.lease import Lease
from mlops_ray.control.ledger import begin_manual
from mlops_ray.control.loop_breaker import pause_loop
from mlops_ray.control.loop_status import loop_status, loop_text, trigger_list, trigger_text
from mlops_ray.control.memory_jobs import MemoryJobs
from mlops_ray.control.operations import register
from mlops_ray.control.retraining import Retraining
from mlops_ray.errors import NotFoundError
from mlops_ray.store import AlertRecord, Event, Stage
from tests.cli.command import mlops_ray
from tests.control.world import World, toy_spec

SPEC = toy_spec(
    retrain={
        "triggers": ["drift", "new_data"],
        "schedule": {"cron": "0 3 * * *", "timezone": "Europe/Berlin"},
        "guards": {"max_device_hours_per_day": 5},
    }
)


def open_alert(world: World, name: str, kind: str, *features: str) -> None:
    record = AlertRecord(
        name, "toy", 1, kind, "warning", f"{kind} it is", features, {}, "open", world.now_s, world.now_s
    )
    with world.store.change(Event("alert.test", name, {}, "test", world.now_s)) as change:
        change.put_alert(record)


@pytest.fixture
def seen(tmp_path: Path) -> World:
    """Champion 1; drift waits behind a data-quality alert."""
    world = World(tmp_path).champion(1)
    register(world.store, SPEC, actor="test", now_s=world.now_s)
    open_alert(world, "q", "data_quality", "tenure")
    open_alert(world, "a", "drift", "tenure", "plan")
    Retraining(world.store, MemoryJobs(), clock=lambda: world.now_s).tick(SPEC)
    return world


def status(world: World) -> dict[str, Any]:
    return loop_status(world.store, SPEC, counts=None, now_s=world.now_s)


def test_every_part_of_the_loop_is_told(seen: World) -> None:
    content = status(seen)
    assert content["champion"] == {"version": 1, "dataset": "mlops.toy@v1"}
    assert content["watches"] == ["drift", "new_data", "schedule 0 3 * * * Europe/Berlin"]
    assert content["next_scheduled_s"] == 7200.0  # 1970 began at one o'clock in Berlin
    assert [a["action"].split(";")[0] for a in content["alerts"]] == [
        "starts a retraining, as far as the guards allow",
        "repair the data",
    ]
    (pending,) = content["pending"]
    assert [hold["guard"] for hold in pending["holds"]] == ["data_quality"]
    assert content["budget"] == {
        "retrainings": 0,
        "max_retrainings": 4,
        "device_hours": 0.0,
        "max_device_hours": 5.0,
    }
    assert content["breaker"] == {"open": False, "rejected": [], "max_rejected": 3}
    assert content["lease"] is None


def test_a_cause_of_the_champion_before_is_told_to_wait(seen: World) -> None:
    with seen.store.change(Event("rollout.completed", "r", {}, "test", seen.now_s)) as change:
        change.set_stage("toy", 1, Stage.RETIRED)
        change.set_stage("toy", 2, Stage.CHAMPION)
    (pending,) = status(seen)["pending"]
    assert [hold["guard"] for hold in pending["holds"]] == ["champion", "data_quality"]
    assert pending["holds"][0]["reason"] == "alert a is about v1, and v2 is champion now"


def test_the_text_names_the_column_that_blocks(seen: World) -> None:
    Lease(seen.store, clock=lambda: seen.now_s, owner="elsewhere/1/x").renew()
    text = loop_text(status(seen))
    assert "waits: data_quality: data_quality alert q is open (tenure): data_quality it is" in text
    assert "next scheduled: 1970-01-01T02:00:00Z" in text
    assert "driven by elsewhere/1/x, epoch 1" in text
    assert "breaker closed: 0 of 3 rejected in a row" in text


def test_a_loop_without_causes_says_what_the_next_one_would_meet(tmp_path: Path) -> None:
    world = World(tmp_path).champion(1)
    begin_manual(world.store, world.spec, key="k", submission_id="driver-1", by="ada", now_s=world.now_s)
    pause_loop(world.store, "toy", by="ada", reason="a migration", now_s=world.now_s)
    text = loop_text(loop_status(world.store, world.spec, counts=None, now_s=world.now_s))
    assert "watches: nothing, people retrain" in text
    assert "a cause would wait now: paused: paused by ada: a migration" in text
    assert "a cause would wait now: running: retraining toy-manual-k is running" in text
    assert "running: toy-manual-k (manual) submitted, job driver-1: begun" in text
    assert "driven by nobody" in text


def test_triggers_are_listed_with_key_state_and_reason(seen: World) -> None:
    (found,) = trigger_list(seen.store, "toy")
    assert (found["key"], found["cause"], found["state"], found["guard"]) == (
        "a-retrain",
        "drift",
        "pending",
        "data_quality",
    )
    assert "a-retrain (drift) pending: data_quality alert q is open (tenure)" in trigger_text([found])
    assert trigger_list(seen.store, "toy", "failed") == []
    assert trigger_text([]) == "no triggers"
    with pytest.raises(NotFoundError, match="models in the store: toy"):
        trigger_list(seen.store, "other")


def test_the_commands_and_their_exit_codes(seen: World) -> None:
    home = seen.folder
    listed = mlops_ray("triggers", "toy", cwd=home, home=home)
    assert [t["id"] for t in listed.answer["triggers"]] == ["a-retrain"]
    nobody = mlops_ray("loop", "toy", cwd=home, home=home)
    assert (nobody.code, nobody.answer["pending"][0]["holds"][0]["guard"]) == (4, "data_quality")
    seen.store.take_lease("control", "elsewhere/1/x", now_s=4e9, lasts_s=1e9)
    shown = mlops_ray("loop", cwd=home, home=home, as_json=False)
    assert shown.code == 3
    assert "toy: champion v1 on mlops.toy@v1" in shown.out
    with seen.store.change(Event("alert.test", "q", {}, "test", 1.0)) as change:
        alert = change.alert("q")
        change.put_alert(AlertRecord(**{**vars(alert), "state": "resolved"}))
    assert mlops_ray("loop", "toy", cwd=home, home=home).code == 0
    assert mlops_ray("loop", "pause", "toy", "--reason", "a migration", cwd=home, home=home).answer["paused"]
    again = mlops_ray("loop", "pause", "toy", cwd=home, home=home)
    assert "paused already" in again.error
    assert mlops_ray("loop", "toy", cwd=home, home=home).code == 3
    assert not mlops_ray("loop", "resume", "toy", cwd=home, home=home).answer["paused"]
    assert "no model 'other'" in mlops_ray("loop", "other", cwd=home, home=home).error
    assert [e.kind for e in seen.store.events(subject="toy") if e.kind.startswith("loop")] == [
        "loop.paused",
        "loop.resumed",
    ]
