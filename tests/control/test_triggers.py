"""Every kind of cause, from the moment it holds to its one job: real store, real records, a clock of the test's."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from mlops_ray.control.label_counts import RecordCounts
from mlops_ray.control.ledger import (
    FORCED,
    OUTCOME,
    WARNINGS,
    begin_manual,
    end_manual,
    note_on_trigger,
    raise_code,
    warnings_on,
)
from mlops_ray.control.loop_breaker import pause_loop, resume_loop
from mlops_ray.control.manual_retraining import refuse_by_hand
from mlops_ray.control.operations import register
from mlops_ray.control.retraining import Retraining, submission_id_of
from mlops_ray.errors import ConflictError, NotFoundError
from mlops_ray.lake import Lake
from mlops_ray.records import LABELS, RecordLog
from mlops_ray.spec import ModelSpec
from mlops_ray.store import AlertRecord, Change, Event, Stage, Store, TriggerRecord
from tests.control.fused import FusedJobs, FusedStore, Killed
from tests.control.world import World, put_version, toy_spec, version

START_S = datetime.fromisoformat("2026-03-02T00:00:00+00:00").timestamp()  # a Monday
GUARDS = {"cooldown_s": 100, "max_per_day": 10, "retry_s": 30}


@dataclass
class Scene:
    """One model with champion 1, whose causes a test brings about."""

    world: World
    retrain: Mapping[str, Any]

    def __post_init__(self) -> None:
        self.spec: ModelSpec = toy_spec(retrain={"guards": GUARDS, **self.retrain})
        self.world.now_s = START_S
        self.world.champion(1)
        register(self.store, self.spec, actor="test", now_s=self.now_s)
        self.jobs = FusedJobs()
        self.lake = Lake(str(self.world.folder / "lake"))
        self.retraining = self.new_retraining()

    @property
    def store(self) -> Store:
        return self.world.store

    @property
    def now_s(self) -> float:
        return self.world.now_s

    def new_retraining(self, store: Store | None = None) -> Retraining:
        """As after a restart of the control actor."""
        clock = lambda: self.world.now_s  # noqa: E731 - the world's clock
        return Retraining(store or self.store, self.jobs, clock=clock, counts=RecordCounts(self.lake, clock=clock))

    def tick(self, seconds: float = 1.0) -> None:
        self.world.now_s += seconds
        self.retraining.tick(self.spec)

    def alert(self, name: str, kind: str, *features: str, state: Any = "open", severity: str = "critical") -> None:
        champion = self.store.champion("toy")
        record = AlertRecord(
            name,
            "toy",
            1 if champion is None else champion.version,
            kind,
            severity,
            f"{kind} in it",
            features,
            {},
            state,
            self.now_s,
            self.now_s,
        )
        with self.store.change(Event("alert.test", name, {}, "test", self.now_s)) as change:
            change.put_alert(record)

    def commit(self, number: int, rows: int) -> None:
        """A dataset version, as an ingest tells of it."""
        payload = {"rows": rows, "added_rows": rows}
        with self.store.change(Event("dataset.committed", f"mlops.toy@v{number}", payload, "test", self.now_s)):
            pass

    def label(self, name: str, ids: list[str]) -> None:
        n = len(ids)
        table = pa.table([ids, [0] * n, [1.0] * n, [self.now_s] * n], schema=LABELS)
        RecordLog(self.lake, "toy").append_labels(name, table, self.now_s)

    def made(self, trigger: str, number: int, **changes: Any) -> None:
        """The job of a trigger made a version and ended well."""
        put_version(self.store, version(number, created_s=self.now_s, **changes))
        note_on_trigger(self.store, trigger, actor="job", now_s=self.now_s, version=number, outcome="done")
        self.jobs.end(submission_id_of(trigger), "succeeded")

    def only(self) -> TriggerRecord:
        """The one trigger there is."""
        (trigger,) = self.store.triggers("toy")
        return trigger


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Callable[..., Scene]]:
    scenes: list[Scene] = []

    def make(**retrain: Any) -> Scene:
        folder = tmp_path / str(len(scenes))
        folder.mkdir()
        scenes.append(Scene(World(folder, versions=1), retrain))
        return scenes[-1]

    yield make
    for one in scenes:
        one.store.close()


@pytest.mark.parametrize("kind", ["drift", "prediction_drift", "label_drift", "concept_drift"])
def test_every_kind_of_drift_retrains_where_it_is_named(scene: Callable[..., Scene], kind: str) -> None:
    here = scene(triggers=[kind])
    here.alert("a", kind, "x")
    here.tick()
    assert (here.only().cause, here.only().key, here.only().state) == (kind, "a-retrain", "submitted")


def test_a_warning_of_concept_drift_is_no_cause_yet(scene: Callable[..., Scene]) -> None:
    here = scene(triggers=["concept_drift", "drift"])
    here.alert("a", "concept_drift", severity="warning")
    here.tick()
    assert here.store.triggers("toy") == []
    here.alert("b", "drift", "x", severity="warning")
    here.tick()
    assert here.only().cause == "drift"


@pytest.mark.parametrize("kind", ["data_quality", "operational", "sample_ratio", "fairness", "attribution"])
def test_other_kinds_never_do(scene: Callable[..., Scene], kind: str) -> None:
    here = scene(triggers=["drift", "concept_drift"])
    here.alert("a", kind, "x")
    here.tick()
    assert here.store.triggers("toy") == []


def test_a_data_quality_alert_holds_a_drift_back_until_it_is_resolved_and_names_the_column(
    scene: Callable[..., Scene],
) -> None:
    here = scene(triggers=["drift"])
    here.alert("q", "data_quality", "tenure")
    here.alert("a", "drift", "tenure")
    for _ in range(5):
        here.tick()
    assert (here.only().state, here.only().guard) == ("pending", "data_quality")
    assert here.only().reason == "data_quality alert q is open (tenure): data_quality in it"
    # Told once, however often it was looked at.
    assert here.world.kinds("a-retrain") == ["trigger.raised", "trigger.held"]
    here.alert("q", "data_quality", "tenure", state="resolved")
    here.tick()
    assert here.jobs.started == [submission_id_of("a-retrain")]


def test_a_new_dataset_version_that_nothing_was_trained_on_retrains_once(scene: Callable[..., Scene]) -> None:
    here = scene(triggers=["new_data"])
    here.commit(1, 100)
    here.tick()
    assert here.store.triggers("toy") == []
    here.commit(2, 150)
    for _ in range(3):
        here.tick()
    assert (here.only().id, here.only().state) == ("toy-data-v2", "submitted")
    # What the job commits itself is no new cause, also where its gates refuse the version.
    here.commit(3, 160)
    here.tick()
    here.made("toy-data-v2", 2, dataset="mlops.toy@v3", verdict="FAIL")
    for _ in range(3):
        here.tick(200)
    assert [t.id for t in here.store.triggers("toy")] == ["toy-data-v2"]
    here.commit(4, 170)
    here.tick()
    assert here.store.triggers("toy")[-1].id == "toy-data-v4"


def test_a_window_of_a_version_counts_as_trained_on_it(scene: Callable[..., Scene]) -> None:
    here = scene(triggers=["new_data"])
    here.commit(2, 150)
    put_version(here.store, version(2, dataset="mlops.toy_w2_ab12@v1"))
    here.tick()
    assert here.store.triggers("toy") == []


def test_too_few_new_rows_wait_for_more(scene: Callable[..., Scene]) -> None:
    here = scene(triggers=["new_data"], guards={**GUARDS, "min_new_rows": 40})
    here.commit(1, 100)
    here.commit(2, 130)
    here.tick()
    assert (here.only().guard, here.only().reason) == (
        "new_rows",
        "30 new rows, retrain.guards.min_new_rows asks for 40",
    )
    here.commit(3, 145)
    here.tick()
    states = {t.id: (t.state, t.reason) for t in here.store.triggers("toy")}
    assert states["toy-data-v3"][0] == "submitted"
    assert states["toy-data-v2"][0] == "refused"


def test_a_schedule_fires_once_at_its_time(scene: Callable[..., Scene]) -> None:
    here = scene(schedule={"cron": "0 3 * * *", "timezone": "Europe/Berlin"})
    here.tick(3600)
    assert here.store.triggers("toy") == []  # it was registered after the newest moment
    for _ in range(8):
        here.tick(1800)
    assert (here.only().id, here.only().state) == ("toy-schedule-2026-03-02T02:00Z", "submitted")


def test_after_downtime_only_the_newest_missed_time_fires_and_once(scene: Callable[..., Scene]) -> None:
    here = scene(schedule={"cron": "0 3 * * *"})
    here.tick(1)
    here.world.now_s += 5 * 86_400
    here.retraining = here.new_retraining()
    for _ in range(4):
        here.tick()
    assert here.only().id == "toy-schedule-2026-03-06T03:00Z"
    assert here.jobs.started == [submission_id_of(here.only().id)]


def test_moments_that_pass_while_the_loop_is_paused_make_one_retraining(scene: Callable[..., Scene]) -> None:
    here = scene(schedule={"cron": "0 3 * * *"})
    pause_loop(here.store, "toy", by="ada", reason="a migration", now_s=here.now_s)
    for _ in range(3):
        here.tick(86_400)
        here.tick()
    assert [t.state for t in here.store.triggers("toy")] == ["refused", "refused", "pending"]
    assert here.store.triggers("toy")[-1].reason == "paused by ada: a migration"
    resume_loop(here.store, "toy", by="ada", reason="done", now_s=here.now_s)
    here.tick()
    assert here.jobs.started == [submission_id_of("toy-schedule-2026-03-04T03:00Z")]


def test_so_many_new_labels_retrain_and_a_corrected_one_counts_once(scene: Callable[..., Scene]) -> None:
    here = scene(every_labels=4)
    here.tick(100)
    here.label("one", ["r1", "r2", "r3"])
    here.tick(20)
    here.label("corrected", ["r1", "r2"])
    here.tick(20)
    assert here.store.triggers("toy") == []
    here.label("two", ["r4"])
    here.tick(20)
    assert (here.only().cause, here.only().id, here.only().state) == ("labels", "toy-labels-4-after-v1", "submitted")
    here.made(here.only().id, 2, dataset="mlops.toy@v1", verdict="FAIL")
    here.tick(200)
    assert len(here.store.triggers("toy")) == 1
    here.label("three", ["r5", "r6", "r7", "r8"])
    here.tick(20)
    assert here.store.triggers("toy")[-1].id == "toy-labels-4-after-toy-labels-4-after-v1"


def test_too_few_labels_since_the_champion_hold_a_drift_back(scene: Callable[..., Scene]) -> None:
    here = scene(triggers=["drift"], guards={**GUARDS, "min_new_labels": 2})
    here.alert("a", "drift", "x")
    here.label("one", ["r1"])
    here.tick()
    assert here.only().guard == "new_labels"
    here.label("two", ["r2"])
    here.tick(20)
    assert here.only().state == "submitted"


CODE = {"sha": "c0ffee" * 6, "lock_digest": "ab" * 32, "diff_digest": None}


def test_new_code_retrains_where_the_spec_asks_and_once(scene: Callable[..., Scene]) -> None:
    here = scene(triggers=["code"])
    assert raise_code(here.store, here.spec, CODE, actor="ada", now_s=here.now_s)
    assert not raise_code(here.store, here.spec, CODE, actor="ada", now_s=here.now_s)
    here.tick()
    assert here.only().id == "toy-code-c0ffeec0ffee-abababababab"
    here.made(here.only().id, 2, code=CODE, dataset="mlops.toy@v1")
    here.tick()
    assert not raise_code(here.store, here.spec, CODE, actor="bob", now_s=here.now_s)
    assert not raise_code(here.store, toy_spec(), CODE | {"sha": "b" * 40}, actor="bob", now_s=here.now_s)


def test_a_persons_retraining_is_in_the_ledger_and_a_key_starts_nothing_twice(scene: Callable[..., Scene]) -> None:
    here = scene()
    trigger, new = begin_manual(here.store, here.spec, key="k", submission_id="driver-01", by="ada", now_s=here.now_s)
    assert new
    with pytest.raises(ConflictError, match="toy-manual-k"):
        begin_manual(here.store, here.spec, key="other", submission_id="driver-01", by="ada", now_s=here.now_s)
    end_manual(here.store, trigger.id, "succeeded", "gates PASS", now_s=here.now_s)
    again, new = begin_manual(here.store, here.spec, key="k", submission_id="driver-02", by="bob", now_s=here.now_s)
    assert (new, again.state, again.reason) == (False, "succeeded", "gates PASS")


def by_hand(here: Scene, key: str = "k", *, force: bool = False) -> TriggerRecord:
    """What a person's command writes before it trains."""
    trigger, new = begin_manual(
        here.store, here.spec, key=key, submission_id="driver-01", by="ada", now_s=here.now_s, force=force
    )
    assert new
    return trigger


def test_a_person_is_refused_beside_a_rollout_before_anything_begins(scene: Callable[..., Scene]) -> None:
    here = scene()
    put_version(here.store, version(2))
    here.world.deploy(2)
    with pytest.raises(ConflictError, match="'toy' cannot be retrained now: a rollout is under way"):
        by_hand(here, force=True)
    with pytest.raises(ConflictError, match="a rollout is under way"):
        refuse_by_hand(here.store, "toy", key=None, actor="ada", now_s=here.now_s)
    assert here.store.triggers("toy") == []


def test_a_person_is_warned_of_what_would_hold_the_loop_and_goes_on(scene: Callable[..., Scene]) -> None:
    here = scene(guards={**GUARDS, "max_per_day": 1})
    done = by_hand(here, "first")
    assert (warnings_on(done), done.evidence[FORCED]) == ((), False)
    end_manual(here.store, done.id, "succeeded", "gates PASS", now_s=here.now_s)
    here.world.now_s += 10
    pause_loop(here.store, "toy", by="bob", reason="a migration", now_s=here.now_s)
    here.alert("o", "operational")
    refuse_by_hand(here.store, "toy", key=None, actor="ada", now_s=here.now_s)
    told = {hold.guard: hold.reason for hold in warnings_on(by_hand(here, "second"))}
    assert told == {
        "paused": "paused by bob: a migration",
        "operational": "operational alert o is open: operational in it",
        "per_day": "1 retrainings in 24 hours, retrain.guards.max_per_day allows 1",
        "cooldown": "cooldown of 100 s, 90 s are left",
    }
    # The ledger and the audit chain keep what it went past.
    assert {hold.guard for hold in warnings_on(here.store.trigger("toy-manual-second"))} == set(told)
    (event,) = here.store.events(subject="toy-manual-second", kind="trigger.submitted")
    assert [(w["guard"], w["reason"]) for w in event.payload[WARNINGS]] == list(told.items())
    assert event.payload[FORCED] is False


def test_a_person_is_warned_of_the_breaker_and_the_budget(scene: Callable[..., Scene]) -> None:
    here = scene(guards={**GUARDS, "max_rejected": 1, "max_device_hours_per_day": 0.5})
    done = by_hand(here, "first")
    training = {"ended_s": here.now_s, "costs": {"cpu_s": 3600.0, "gpu_s": 0.0}}
    put_version(here.store, version(2, verdict="FAIL", training=training))
    note_on_trigger(here.store, done.id, actor="ada", now_s=here.now_s, version=2)
    end_manual(here.store, done.id, "succeeded", "gates FAIL", now_s=here.now_s)
    here.world.now_s += 200
    assert [hold.guard for hold in warnings_on(by_hand(here, "second"))] == ["breaker", "device_hours"]


def test_on_broken_data_a_person_has_to_force_it_and_the_audit_chain_says_so(scene: Callable[..., Scene]) -> None:
    here = scene()
    here.alert("q", "data_quality", "tenure", "plan")
    wanted = r"data_quality alert q is open \(tenure, plan\): .*; repair it, or give --force"
    with pytest.raises(ConflictError, match=wanted):
        by_hand(here)
    with pytest.raises(ConflictError, match=wanted):
        refuse_by_hand(here.store, "toy", key=None, actor="ada", now_s=here.now_s)
    assert here.store.triggers("toy") == []
    refuse_by_hand(here.store, "toy", key=None, actor="ada", now_s=here.now_s, force=True)
    trigger = by_hand(here, force=True)
    assert [hold.guard for hold in warnings_on(trigger)] == ["data_quality"]
    (event,) = here.store.events(subject=trigger.id, kind="trigger.submitted")
    assert event.payload[FORCED] is True
    assert here.store.trigger(trigger.id).evidence[FORCED] is True
    assert here.store.verify().verified


def test_to_force_what_needs_no_force_is_not_told_as_forced(scene: Callable[..., Scene]) -> None:
    assert by_hand(scene(), force=True).evidence[FORCED] is False


def test_a_key_that_was_given_before_is_answered_whatever_the_guards_say(scene: Callable[..., Scene]) -> None:
    here = scene()
    first = by_hand(here)
    here.alert("q", "data_quality", "tenure")
    again = begin_manual(here.store, here.spec, key="k", submission_id="driver-02", by="bob", now_s=here.now_s)
    assert again == (first, False)
    refuse_by_hand(here.store, "toy", key="k", actor="bob", now_s=here.now_s)


def test_an_alert_that_comes_between_look_and_writing_is_not_overlooked(scene: Callable[..., Scene]) -> None:
    here = scene()

    class Busy(Store):
        """Somebody is a moment quicker, once."""

        raised = False

        @contextmanager
        def change(self, event: Event) -> Iterator[Change]:
            if event.kind == "trigger.submitted" and not self.raised:
                self.raised = True
                here.alert("o", "operational")
            with super().change(event) as change:
                yield change

    busy = Busy(here.store.url)
    trigger, new = begin_manual(busy, here.spec, key="k", submission_id="driver-01", by="ada", now_s=here.now_s)
    busy.close()
    assert new
    assert [hold.guard for hold in warnings_on(trigger)] == ["operational"]
    (event,) = here.store.events(subject=trigger.id, kind="trigger.submitted")
    assert [w["guard"] for w in event.payload[WARNINGS]] == ["operational"]


def test_a_persons_process_that_dies_is_found_gone(scene: Callable[..., Scene]) -> None:
    here = scene()
    begin_manual(here.store, here.spec, key="k", submission_id="driver-01", by="ada", now_s=here.now_s)
    here.jobs.end("driver-01", "running")
    here.tick()
    assert here.only().state == "submitted"
    here.jobs.lose_records()
    here.tick()
    assert (here.only().state, here.only().reason) == ("failed", "its process ended before it said what came of it")
    assert here.jobs.started == []


def test_a_job_that_said_what_came_of_it_is_not_run_again_when_rays_record_is_lost(scene: Callable[..., Scene]) -> None:
    here = scene(triggers=["drift"])
    here.alert("a", "drift")
    here.tick()
    note_on_trigger(here.store, "a-retrain", actor="job", now_s=here.now_s, outcome="v2: gates FAIL")
    here.jobs.lose_records()
    here.tick()
    assert (here.only().state, here.only().reason) == ("succeeded", "v2: gates FAIL")
    assert len(here.jobs.started) == 1
    assert here.only().evidence[OUTCOME] == "v2: gates FAIL"


def test_failed_submissions_wait_longer_each_time_and_say_so(scene: Callable[..., Scene]) -> None:
    here = scene(triggers=["drift"])
    here.jobs.away = 3
    here.alert("a", "drift")
    here.tick()
    first = here.only()
    assert (first.state, first.submissions, first.next_s) == ("submitted", 1, here.now_s + 30)
    assert first.reason == "submission failed 1 times, next in 30 s: the dashboard does not answer"
    here.tick(29)
    assert here.only().submissions == 1
    here.tick(1)
    assert (here.only().submissions, here.only().next_s) == (2, here.now_s + 60)
    here.tick(60)
    assert (here.only().submissions, here.only().next_s) == (3, here.now_s + 120)
    here.tick(120)
    assert here.jobs.started == [submission_id_of("a-retrain")]
    here.tick()
    assert (here.only().submissions, here.only().reason) == (0, "running")


def test_failed_jobs_are_tried_again_after_waits_that_double(scene: Callable[..., Scene]) -> None:
    here = scene(triggers=["drift"], guards={"cooldown_s": 0, "retry_s": 50, "max_attempts": 3})
    here.alert("a", "drift")
    here.tick()
    for attempt, wait_s in ((2, 50.0), (3, 100.0)):
        here.jobs.end(here.jobs.started[-1], "failed", "no memory")
        here.tick()
        failed_s = here.now_s
        here.tick()
        trigger = here.store.triggers("toy")[-1]
        assert (trigger.attempt, trigger.guard, trigger.next_s) == (attempt, "retry", failed_s + wait_s)
        here.tick(wait_s)
        assert len(here.jobs.started) == attempt


def test_the_breaker_stops_the_loop_tells_people_once_and_lets_go_when_they_resume(scene: Callable[..., Scene]) -> None:
    here = scene(triggers=["drift"], guards={**GUARDS, "max_rejected": 2})
    for number, name in ((2, "a"), (3, "b")):
        here.alert(name, "drift")
        here.tick(200)
        here.made(f"{name}-retrain", number, verdict="FAIL")
        here.tick()
        here.alert(name, "drift", state="resolved")
    here.alert("c", "drift")
    for _ in range(3):
        here.tick(200)
    assert len(here.jobs.started) == 2
    assert here.store.trigger("c-retrain").guard == "breaker"
    (alert,) = [a for a in here.store.alerts("toy", state="open") if a.kind == "operational"]
    assert "2 retrainings in a row came to no champion (v3, v2)" in alert.message
    assert here.world.kinds(alert.id) == ["alert.raised"]
    resume_loop(here.store, "toy", by="ada", reason="looked", now_s=here.now_s)
    assert here.store.alert(alert.id).state == "resolved"
    here.tick()
    assert here.store.trigger("c-retrain").state == "submitted"
    assert here.world.kinds("toy").count("loop.resumed") == 1
    with pytest.raises(ConflictError, match="found it going"):
        resume_loop(here.store, "toy", by="ada", reason="again", now_s=here.now_s + 1)
    with pytest.raises(NotFoundError, match="no model 'other'"):
        pause_loop(here.store, "other", by="ada", reason="", now_s=here.now_s)


def test_a_champion_in_between_keeps_the_breaker_closed(scene: Callable[..., Scene]) -> None:
    here = scene(triggers=["drift"], guards={**GUARDS, "max_rejected": 2})
    for number, name, stage in ((2, "a", Stage.ROLLED_BACK), (3, "b", Stage.CHAMPION), (4, "c", Stage.ROLLED_BACK)):
        here.alert(name, "drift")
        here.tick(200)
        here.made(f"{name}-retrain", number, stage=stage)
        here.tick()
        here.alert(name, "drift", state="resolved")
    here.tick()
    assert [a.kind for a in here.store.alerts("toy", state="open")] == []


# -- killed everywhere -------------------------------------------------------------------------------------------------


def by_alert(here: Scene) -> str:
    here.alert("a", "concept_drift", "x")
    return "a-retrain"


def by_schedule(here: Scene) -> str:
    here.world.now_s += 4 * 3600
    return "toy-schedule-2026-03-02T03:00Z"


def by_data(here: Scene) -> str:
    here.commit(2, 150)
    return "toy-data-v2"


def by_labels(here: Scene) -> str:
    here.label("one", ["r1", "r2", "r3"])
    return "toy-labels-3-after-v1"


def by_code(here: Scene) -> str:
    raise_code(here.store, here.spec, CODE, actor="ada", now_s=here.now_s)
    return "toy-code-c0ffeec0ffee-abababababab"


STORIES: dict[Callable[[Scene], str], dict[str, Any]] = {
    by_alert: {"triggers": ["concept_drift"]},
    by_schedule: {"schedule": {"cron": "0 3 * * *"}},
    by_data: {"triggers": ["new_data"]},
    by_labels: {"every_labels": 3},
    by_code: {"triggers": ["code"]},
}


def told(here: Scene, story: Callable[[Scene], str], burn: Callable[[], None]) -> tuple[Any, ...]:
    """Hold by an alert of bad data first, then let go; the loop dies where the fuse says, and a new one goes on."""
    here.jobs.burn = burn
    here.alert("q", "data_quality", "x")
    id = story(here)
    made = False
    for second in range(10):
        if second == 3:
            here.alert("q", "data_quality", "x", state="resolved")
        here.world.now_s += 20
        store = FusedStore(here.store.url, burn)
        try:
            here.new_retraining(store).tick(here.spec)
        except Killed:
            continue
        finally:
            store.close()
        if second >= 6 and not made:
            here.made(id, 2, dataset="mlops.toy@v2", code=CODE)
            made = True
    trigger = here.store.trigger(id)
    kinds = [k for k in here.world.kinds(id) if k != "trigger.submission_failed"]
    report = here.store.verify()
    return (
        trigger.state,
        trigger.submission_id,
        here.jobs.started,
        kinds,
        len(here.store.triggers("toy")),
        report.verified,
    )


@pytest.mark.parametrize("story", STORIES, ids=lambda s: s.__name__)
def test_killed_at_every_point_a_cause_makes_one_job_and_the_chain_holds(
    scene: Callable[..., Scene], story: Callable[[Scene], str]
) -> None:
    points = 0

    def count() -> None:
        nonlocal points
        points += 1

    expected = told(scene(**STORIES[story]), story, count)
    assert expected[0] == "succeeded"
    assert len(expected[2]) == 1
    assert expected[3] == ["trigger.raised", "trigger.held", "trigger.submitted", "trigger.noted", "trigger.succeeded"]
    for at in range(1, points + 1):
        left = iter(range(1, 1000))

        def burn(at: int = at, left: Iterator[int] = left) -> None:
            if next(left) == at:
                raise Killed

        assert told(scene(**STORIES[story]), story, burn) == expected, f"killed at point {at} of {points}"
