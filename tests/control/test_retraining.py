from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from mlops_ray.control.memory_jobs import MemoryJobs
from mlops_ray.control.retraining import JobState, Retraining, submission_id_of
from mlops_ray.store import AlertRecord, Event, Stage, Store, TriggerRecord
from tests.control.fused import FusedJobs, FusedStore, Killed
from tests.control.world import World, toy_spec

SPEC = toy_spec(retrain={"triggers": ["drift"], "guards": {"cooldown_s": 100, "max_per_day": 3}})


@dataclass
class Cycle:
    """Alerts, triggers and jobs of one model."""

    world: World

    def __post_init__(self) -> None:
        self.world.spec = SPEC
        self.store = self.world.store
        self.jobs = MemoryJobs()
        self.retraining = self.new_retraining()

    def new_retraining(self, store: Store | None = None) -> Retraining:
        """As after a restart of the control actor."""
        return Retraining(store or self.store, self.jobs, clock=lambda: self.world.now_s)

    def alert(self, name: str, kind: str = "drift", state: Any = "open") -> None:
        """Raise an alert, or change the state of the one of that name."""
        now_s = self.world.now_s
        record = AlertRecord(name, "toy", 1, kind, "warning", "a drifted", ("a",), {}, state, now_s, now_s)
        with self.store.change(Event("alert.test", name, {}, "test", now_s)) as change:
            change.put_alert(record)

    def tick(self, seconds: float = 1.0) -> None:
        """Time goes on and the retraining looks once."""
        self.world.now_s += seconds
        self.retraining.tick(SPEC)

    def end(self, name: str, state: JobState, words: str = "") -> None:
        """The job of an alert ends."""
        self.jobs.end(job(name), state, words)

    def trigger(self, name: str) -> TriggerRecord:
        """The trigger of an alert."""
        return self.store.trigger(f"{name}-retrain")


def job(alert: str) -> str:
    return submission_id_of(f"{alert}-retrain")


def champion(cycle: Cycle, version: int, *, before: int) -> None:
    """A version takes over."""
    with cycle.store.change(Event("rollout.completed", "r", {}, "test", cycle.world.now_s)) as change:
        change.set_stage("toy", before, Stage.RETIRED)
        change.set_stage("toy", version, Stage.CHAMPION)


@pytest.fixture
def cycle(world: World) -> Cycle:
    """A model that is retrained on drift, nothing raised yet."""
    return Cycle(world)


def test_one_cause_makes_one_trigger_and_one_job(cycle: Cycle) -> None:
    cycle.alert("a")
    for _ in range(5):
        cycle.tick()
    assert cycle.jobs.started == [job("a")]
    assert [t.id for t in cycle.store.triggers("toy")] == ["a-retrain"]
    assert cycle.world.kinds("a-retrain") == ["trigger.raised", "trigger.submitted"]


def test_the_trigger_ends_as_its_job_does(cycle: Cycle) -> None:
    cycle.alert("a")
    cycle.tick()
    cycle.end("a", "succeeded")
    cycle.tick()
    assert cycle.trigger("a").state == "succeeded"


def test_an_alert_that_changes_while_it_is_open_triggers_nothing_more(cycle: Cycle) -> None:
    cycle.alert("a")
    cycle.tick()
    cycle.end("a", "succeeded")
    cycle.alert("a")
    for _ in range(5):
        cycle.tick(1000)
    assert cycle.jobs.started == [job("a")]


def test_kinds_of_alerts_the_spec_does_not_name_trigger_nothing(cycle: Cycle) -> None:
    cycle.alert("a", kind="decay")
    cycle.tick()
    assert cycle.store.triggers("toy") == []


def test_a_failed_job_fails_its_trigger_and_is_tried_again_after_the_cooldown_twice_at_most(cycle: Cycle) -> None:
    cycle.alert("a")
    cycle.tick()
    cycle.end("a", "failed", "no memory")
    cycle.tick()
    assert (cycle.trigger("a").state, cycle.trigger("a").reason) == ("failed", "no memory")
    cycle.tick(90)
    assert cycle.jobs.started == [job("a")]
    attempts = [job("a"), submission_id_of("a-retrain-2"), submission_id_of("a-retrain-3")]
    for attempt in attempts[1:]:
        cycle.tick(101)
        cycle.tick()
        assert cycle.jobs.started[-1] == attempt
        cycle.jobs.end(attempt, "failed", "no memory")
        cycle.tick()
    for _ in range(5):
        cycle.tick(100_000)
    assert cycle.jobs.started == attempts


def test_after_a_retraining_the_next_cause_waits_for_the_cooldown(cycle: Cycle) -> None:
    cycle.alert("a")
    cycle.tick()
    cycle.end("a", "succeeded", "gates FAIL")
    cycle.tick()
    cycle.alert("b")
    cycle.tick(99)
    assert cycle.trigger("b").state == "pending"
    cycle.tick(2)
    assert cycle.trigger("b").state == "submitted"


def test_what_was_seen_of_a_version_that_is_champion_no_more_starts_nothing(cycle: Cycle) -> None:
    """Its alert is open still: who watches the champion was killed, and has not looked since it changed."""
    cycle.alert("a")
    cycle.tick()
    cycle.alert("b")
    cycle.tick()
    cycle.end("a", "succeeded")
    champion(cycle, 2, before=1)
    cycle.alert("c")
    cycle.tick(1000)
    assert (cycle.trigger("b").state, cycle.trigger("b").guard) == ("pending", "champion")
    assert cycle.trigger("b").reason == "alert b is about v1, and v2 is champion now"
    cycle.alert("b", state="resolved")
    cycle.tick()
    assert cycle.trigger("b").state == "refused"
    assert cycle.jobs.started == [job("a")]
    assert {t.id for t in cycle.store.triggers("toy")} == {"a-retrain", "b-retrain"}


def test_what_was_seen_of_the_champion_before_counts_when_it_is_champion_again(cycle: Cycle) -> None:
    cycle.alert("a")
    cycle.tick()
    cycle.end("a", "failed")
    champion(cycle, 2, before=1)
    cycle.tick(1000)
    assert cycle.jobs.started == [job("a")]
    champion(cycle, 1, before=2)
    cycle.tick(1000)
    assert len(cycle.jobs.started) == 2


def test_a_cause_that_has_gone_while_it_waited_starts_nothing(cycle: Cycle) -> None:
    cycle.alert("a")
    cycle.tick()
    cycle.end("a", "succeeded")
    cycle.tick()
    cycle.alert("b")
    cycle.tick()
    cycle.alert("b", state="resolved")
    cycle.tick(1000)
    assert (cycle.trigger("b").state, cycle.trigger("b").reason) == ("refused", "alert b is resolved")
    assert cycle.jobs.started == [job("a")]


def test_of_two_causes_at_once_the_second_is_dealt_with_by_the_first(cycle: Cycle) -> None:
    cycle.alert("a")
    cycle.alert("b")
    cycle.tick()
    assert cycle.jobs.started == [job("a")]
    assert (cycle.trigger("b").state, cycle.trigger("b").reason) == (
        "refused",
        "retraining a-retrain was started since",
    )


def test_a_retraining_waits_for_the_rollout_under_way(cycle: Cycle) -> None:
    cycle.world.deploy(1)
    cycle.alert("a")
    cycle.tick(1000)
    assert cycle.trigger("a").state == "pending"
    for rollout in cycle.store.rollouts("toy"):
        cycle.world.run(rollout)
    cycle.tick()
    assert cycle.trigger("a").state == "submitted"


def test_no_more_retrainings_a_day_than_allowed(cycle: Cycle) -> None:
    for name in "abcd":
        cycle.alert(name)
        cycle.tick(200)
        cycle.end(name, "succeeded")
        cycle.tick()
    assert len(cycle.jobs.started) == 3
    assert cycle.trigger("d").state == "pending"
    cycle.jobs.lose_records()
    cycle.tick(86_400)
    assert cycle.trigger("d").state == "submitted"


def test_a_job_the_cluster_has_forgotten_is_submitted_again_under_the_same_id(cycle: Cycle) -> None:
    cycle.alert("a")
    cycle.tick()
    cycle.jobs.lose_records()
    cycle.tick()
    assert cycle.jobs.started == [job("a"), job("a")]
    cycle.end("a", "succeeded")
    cycle.tick()
    assert cycle.trigger("a").state == "succeeded"


def test_two_control_actors_at_once_start_one_job(cycle: Cycle) -> None:
    cycle.alert("a")
    cycle.alert("b")
    other = cycle.new_retraining()
    for _ in range(3):
        cycle.tick()
        other.tick(SPEC)
    assert cycle.jobs.started == [job("a")]
    assert cycle.world.kinds("a-retrain").count("trigger.submitted") == 1


def test_killed_at_any_line_one_cause_makes_one_job(tmp_path: Path) -> None:
    for at in range(1, 13):
        folder = tmp_path / str(at)
        folder.mkdir()
        cycle, points = Cycle(World(folder)), iter(range(1, 1000))

        def burn(at: int = at, points: Iterator[int] = points) -> None:
            if next(points) == at:
                raise Killed

        cycle.jobs = FusedJobs(burn)
        cycle.alert("a")
        for second in range(8):
            try:
                cycle.new_retraining(FusedStore(cycle.store.url, burn)).tick(SPEC)
            except Killed:
                continue
            if second == 4:
                cycle.end("a", "succeeded")
        assert cycle.jobs.started == [job("a")], f"killed at point {at}"
        assert cycle.trigger("a").state == "succeeded"
        kinds = ["trigger.raised", "trigger.submitted", "trigger.succeeded"]
        assert cycle.world.kinds("a-retrain") == kinds
        assert replace(cycle.trigger("a"), updated_s=0).submission_id == job("a")
        cycle.store.close()
