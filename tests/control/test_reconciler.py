import pytest

from mlops_ray.control.operations import approve, command_rollout, roll_back_champion
from mlops_ray.control.reconciler import Reconciler
from mlops_ray.control.rollout_record import load_state
from mlops_ray.rollout import Action, Phase
from mlops_ray.serve import app_name
from mlops_ray.store import Event, ModelRecord, RolloutRecord, Stage, Store
from tests.control.world import FINE, NOTHING, WORSE, World, put_version, toy_spec, version


def command(world: World, action: Action) -> RolloutRecord:
    return command_rollout(world.store, "toy", action, by="ada", reason="", now_s=world.now_s)


class _Late(Store):
    """The store as a process sees it that was stopped between reading a rollout and acting on it."""

    def __init__(self, url: str, rollout: RolloutRecord) -> None:
        super().__init__(url)
        self._rollout = rollout

    def rollouts(self, *_: object, **__: object) -> list[RolloutRecord]:
        return [self._rollout]


def phases(world: World, rollout: RolloutRecord) -> list[str]:
    state, _ = load_state(world.store.rollout(rollout.id))
    return [mark.phase.value for mark in state.history]


# -- to the end --------------------------------------------------------------------------------------------------------


def test_the_first_version_becomes_champion_without_a_canary(world: World) -> None:
    ended = world.run(world.deploy(1))
    assert phases(world, ended) == ["STARTING", "PROMOTING", "COMPLETED"]
    assert (world.route.champion, world.route.canary, world.route.previous) == (1, None, None)
    assert world.stage(1) is Stage.CHAMPION
    assert world.apps() == {"toy"}
    assert {a.champion for a in world.hosting.applied("toy")} == {1}


def test_a_second_version_goes_through_every_step_and_takes_over(world: World) -> None:
    ended = world.champion(1).run(world.deploy(2))
    assert phases(world, ended) == ["STARTING", "CANARY", "CANARY", "PROMOTING", "COMPLETED"]
    assert (world.route.champion, world.route.canary, world.route.share, world.route.previous) == (2, None, 0.0, 1)
    assert (world.stage(1), world.stage(2)) == (Stage.RETIRED, Stage.CHAMPION)
    assert world.apps() == {"toy"}
    assert world.hosting.opened == ["toy", app_name("toy", 2)], "the front door is never opened again"


def test_every_transition_writes_one_event_and_the_chain_verifies(world: World) -> None:
    rollout = world.champion(1).deploy(2)
    world.run(rollout)
    kinds = [kind for kind in world.kinds(rollout.id) if kind != "rollout.observed"]
    assert kinds == ["rollout.begun", "rollout.canary", "rollout.canary", "rollout.promoting", "rollout.completed"]
    assert world.store.verify().verified


def test_a_worse_canary_is_rolled_back_and_its_stage_says_so(world: World) -> None:
    world.champion(1).traffic = WORSE
    ended = world.run(world.deploy(2))
    assert ended.phase == Phase.ROLLED_BACK
    assert "errors" in load_state(ended)[0].reason
    assert world.stage(2) is Stage.ROLLED_BACK
    assert (world.route.champion, world.route.canary, world.route.share) == (1, None, 0.0)
    assert world.apps() == {"toy"}


def test_the_champion_before_the_champion_is_still_known_after_a_canary_failed(world: World) -> None:
    world.champion(1).champion(2).traffic = WORSE
    world.run(world.deploy(3))
    assert (world.route.champion, world.route.previous) == (2, 1)


def test_the_canary_stays_up_until_no_replica_asks_it_any_more(world: World) -> None:
    world.champion(1)
    rollout = world.deploy(2)
    world.run(rollout, Phase.CANARY)
    world.hosting.unreachable = True
    command(world, "abort")
    world.tick(3)
    assert app_name("toy", 2) in world.hosting.statuses()
    world.hosting.unreachable = False
    world.run(rollout)
    assert app_name("toy", 2) not in world.apps()


# -- what does not come up ---------------------------------------------------------------------------------------------


def test_a_canary_that_fails_to_start_is_rolled_back_at_once(world: World) -> None:
    world.champion(1).hosting.cannot_start[app_name("toy", 2)] = "out of memory"
    ended = world.run(world.deploy(2), ticks=6)
    assert ended.phase == Phase.ROLLED_BACK
    assert "out of memory" in load_state(ended)[0].reason
    assert world.apps() == {"toy"}


def test_a_canary_that_never_gets_ready_is_rolled_back_after_its_time(world: World) -> None:
    world.champion(1).hosting.cannot_start[app_name("toy", 2)] = ""
    ended = world.run(world.deploy(2))
    assert ended.phase == Phase.ROLLED_BACK
    assert "not ready within 20 s" in load_state(ended)[0].reason


def test_a_canary_that_dies_in_its_step_is_rolled_back(world: World) -> None:
    world.champion(1)
    rollout = world.deploy(2)
    world.run(rollout, Phase.CANARY)
    world.hosting.fail(app_name("toy", 2), "segmentation fault")
    assert world.run(rollout).phase == Phase.ROLLED_BACK


def test_a_canary_replica_that_died_is_given_time_to_come_back(world: World) -> None:
    world.champion(1)
    rollout = world.deploy(2)
    world.run(rollout, Phase.CANARY)
    world.hosting.unhealthy[app_name("toy", 2)] = "a replica died"
    world.tick(5)
    assert Phase(world.store.rollout(rollout.id).phase) is Phase.CANARY
    world.tick(60)
    ended = world.store.rollout(rollout.id)
    assert (ended.phase, "a replica died" in load_state(ended)[0].reason) == (Phase.ROLLED_BACK, True)


def test_a_replica_that_cannot_be_reached_does_not_keep_a_rollback_from_ending(world: World) -> None:
    world.champion(1)
    rollout = world.deploy(2)
    world.run(rollout, Phase.CANARY)
    world.hosting.unreachable = True
    world.hosting.fail(app_name("toy", 2), "segmentation fault")
    world.tick(10)
    assert Phase(world.store.rollout(rollout.id).phase) is Phase.ROLLING_BACK
    world.tick(30)
    assert Phase(world.store.rollout(rollout.id).phase) is Phase.ROLLED_BACK


def test_a_first_version_whose_front_door_fails_is_rolled_back_and_its_door_is_closed(world: World) -> None:
    world.hosting.cannot_load.add(1)
    ended = world.run(world.deploy(1))
    assert ended.phase == Phase.ROLLED_BACK
    assert world.stage(1) is Stage.ROLLED_BACK
    assert world.route.champion is None
    world.tick(2)
    assert world.apps() == set()


def test_after_a_failed_first_version_another_first_version_comes_up(world: World) -> None:
    world.hosting.cannot_load.add(1)
    world.run(world.deploy(1))
    assert world.run(world.deploy(2)).phase == Phase.COMPLETED
    assert (world.route.champion, world.route.previous) == (2, None)


def test_a_first_version_that_never_gets_ready_does_not_wait_for_ever(world: World) -> None:
    world.hosting.cannot_start["toy"] = ""
    assert world.run(world.deploy(1)).phase == Phase.ROLLED_BACK


def test_champion_replicas_that_cannot_load_a_promoted_version_get_the_old_one_back(world: World) -> None:
    world.champion(1).champion(2).hosting.cannot_load.add(3)
    ended = world.run(world.deploy(3))
    assert ended.phase == Phase.ROLLED_BACK
    assert "within 20 s" in load_state(ended)[0].reason
    assert (world.route.champion, world.route.previous) == (2, 1)
    assert {a.champion for a in world.hosting.applied("toy")} == {2}
    assert world.stage(2) is Stage.CHAMPION


# -- people ------------------------------------------------------------------------------------------------------------


def test_nothing_is_started_before_enough_people_approve(world: World) -> None:
    world.spec = toy_spec(approval={"required": 2})
    rollout = world.deploy(1)
    approve(world.store, "toy", 1, approver="ada", approved=True, reason="", now_s=world.now_s + 1)
    world.tick(5)
    assert world.store.rollout(rollout.id).phase == Phase.WAITING
    assert world.hosting.opened == []
    approve(world.store, "toy", 1, approver="bob", approved=True, reason="", now_s=world.now_s)
    assert world.run(rollout).phase == Phase.COMPLETED


def test_a_rejected_version_ends_before_anything_is_started(world: World) -> None:
    world.spec = toy_spec(approval={"required": 1})
    rollout = world.deploy(1)
    approve(world.store, "toy", 1, approver="ada", approved=False, reason="no", now_s=world.now_s)
    assert world.run(rollout).phase == Phase.ABORTED
    assert world.stage(1) is Stage.REJECTED
    assert world.hosting.opened == []


def test_a_rejection_during_the_canary_withdraws_it(world: World) -> None:
    world.champion(1)
    rollout = world.deploy(2)
    world.run(rollout, Phase.CANARY)
    approve(world.store, "toy", 2, approver="ada", approved=False, reason="no", now_s=world.now_s)
    assert world.route.canary is None, "no unit is sent to it from this moment on"
    assert world.run(rollout).phase == Phase.ROLLED_BACK


def test_a_paused_canary_keeps_its_share_and_goes_on_when_resumed(world: World) -> None:
    world.champion(1)
    rollout = world.deploy(2)
    world.run(rollout, Phase.CANARY)
    command(world, "pause")
    world.tick(60)
    assert world.store.rollout(rollout.id).phase == Phase.PAUSED
    assert (world.route.canary, world.route.share) == (2, 0.1)
    command(world, "resume")
    assert world.run(rollout).phase == Phase.COMPLETED


def test_a_paused_canary_that_turns_bad_is_rolled_back(world: World) -> None:
    world.champion(1)
    rollout = world.deploy(2)
    world.run(rollout, Phase.CANARY)
    command(world, "pause")
    world.traffic = WORSE
    assert world.run(rollout).phase == Phase.ROLLED_BACK


@pytest.mark.parametrize("phase", [Phase.STARTING, Phase.CANARY])
def test_a_person_may_promote_without_waiting_for_the_analysis(world: World, phase: Phase) -> None:
    world.champion(1).traffic = NOTHING
    rollout = world.deploy(2)
    world.run(rollout, phase)
    command(world, "promote")
    assert world.run(rollout).phase == Phase.COMPLETED
    assert world.stage(2) is Stage.CHAMPION


@pytest.mark.parametrize("phase", [Phase.STARTING, Phase.CANARY, Phase.PROMOTING])
def test_an_abort_in_any_phase_leads_back_to_the_champion(world: World, phase: Phase) -> None:
    world.champion(1).champion(2)
    rollout = world.deploy(3)
    if phase is Phase.PROMOTING:
        world.hosting.cannot_load.add(3)
    world.run(rollout, phase)
    command(world, "abort")
    assert (world.route.champion, world.route.canary, world.route.previous) == (2, None, 1)
    assert world.run(rollout).phase == Phase.ROLLED_BACK
    assert {(a.champion, a.canary) for a in world.hosting.applied("toy")} == {(2, None)}
    assert (world.stage(2), world.stage(3)) == (Stage.CHAMPION, Stage.ROLLED_BACK)


def test_the_first_version_aborted_while_promoting_leaves_no_champion_and_no_door(world: World) -> None:
    rollout = world.deploy(1)
    world.run(rollout, Phase.PROMOTING)
    world.tick()
    command(world, "abort")
    assert world.run(rollout).phase == Phase.ROLLED_BACK
    world.tick(3)
    assert world.apps() == set()


def test_an_undone_promotion_reaches_every_replica(world: World) -> None:
    world.champion(1).champion(2)
    roll_back_champion(world.store, "toy", by="ada", reason="complaints", now_s=world.now_s)
    world.tick()
    assert {a.champion for a in world.hosting.applied("toy")} == {1}
    assert (world.stage(1), world.stage(2)) == (Stage.CHAMPION, Stage.ROLLED_BACK)


# -- evidence ----------------------------------------------------------------------------------------------------------


def test_a_canary_without_traffic_is_paused_and_never_promoted(world: World) -> None:
    world.champion(1).traffic = NOTHING
    rollout = world.deploy(2)
    found = world.run(rollout, Phase.PAUSED)
    assert "0 of 100 canary requests" in load_state(found)[0].reason
    world.tick(50)
    assert world.store.rollout(rollout.id).phase == Phase.PAUSED


def test_a_canary_without_evidence_is_rolled_back_where_the_spec_says_so(world: World) -> None:
    analysis = {"on_inconclusive": "abort"}
    world.spec = toy_spec(rollout={"steps": [{"share": 0.1, "min_s": 1, "max_s": 5}], "analysis": analysis})
    world.champion(1).traffic = NOTHING
    assert world.run(world.deploy(2)).phase == Phase.ROLLED_BACK


def test_a_drift_actor_that_is_away_promotes_nothing(world: World) -> None:
    world.champion(1).evidences.away = True
    assert world.run(world.deploy(2), Phase.PAUSED).phase == Phase.PAUSED


def test_each_block_counts_once_though_the_drift_actor_and_the_reconciler_restart(world: World) -> None:
    world.champion(1)
    world.spec = toy_spec(rollout={"steps": [{"share": 0.1, "min_s": 100, "max_s": 200, "min_requests": 10}]})
    rollout = world.deploy(2)
    world.run(rollout, Phase.CANARY)
    world.tick(12)
    world.reconciler = world.new_reconciler()
    world.tick(12)
    before = load_state(world.store.rollout(rollout.id))[0].evidence.canary_requests
    world.evidences.restart()
    world.tick(12)
    after = load_state(world.store.rollout(rollout.id))[0].evidence.canary_requests
    assert 12 * FINE.canary_requests <= before <= 24 * FINE.canary_requests
    assert before < after <= 36 * FINE.canary_requests


def test_evidence_is_saved_now_and_then_between_transitions(world: World) -> None:
    world.champion(1)
    world.spec = toy_spec(rollout={"steps": [{"share": 0.1, "min_s": 100, "max_s": 200}]})
    rollout = world.deploy(2)
    world.run(rollout, Phase.CANARY)
    world.tick(35)
    assert world.kinds(rollout.id).count("rollout.observed") == 3


def test_a_second_delivery_of_a_version_is_not_judged_by_the_evidence_of_the_first(world: World) -> None:
    world.champion(1).traffic = WORSE
    world.run(world.deploy(2))
    approve(world.store, "toy", 2, approver="ada", approved=True, reason="the network", now_s=world.now_s + 1)
    world.traffic = FINE
    world.tick()
    assert world.run(world.deploy(2)).phase == Phase.COMPLETED


# -- several -----------------------------------------------------------------------------------------------------------


def test_two_reconcilers_at_once_promote_once(world: World) -> None:
    world.champion(1)
    old, new = world.reconciler, world.new_reconciler()
    rollout = world.deploy(2)
    for number in range(60):
        world.reconciler = (old, new)[number % 2]
        world.tick()
    assert world.store.rollout(rollout.id).phase == Phase.COMPLETED
    assert world.kinds(rollout.id).count("rollout.completed") == 1
    assert world.route.champion == 2
    assert world.store.verify().verified


def test_a_reconciler_that_comes_second_writes_nothing(world: World) -> None:
    world.champion(1)
    rollout = world.deploy(2)
    world.run(rollout, Phase.CANARY)
    world.traffic = NOTHING
    world.tick()
    stale = world.store.rollout(rollout.id)
    command(world, "abort")
    events = len(world.store.events())
    world.now_s += 1000
    Reconciler(_Late(world.store.url, stale), world.hosting, world.sources, clock=lambda: world.now_s).tick()
    assert len(world.store.events()) == events
    assert world.run(rollout).phase == Phase.ROLLED_BACK


def test_one_model_that_cannot_be_read_does_not_stop_the_others(world: World) -> None:
    with world.store.change(Event("model.registered", "a", {}, "test", 0.0)) as change:
        change.put_model(ModelRecord("a", "{}", 0.0))
    assert world.run(world.deploy(1)).phase == Phase.COMPLETED


def test_ended_rollouts_leave_nothing_behind_in_memory(world: World) -> None:
    put_version(world.store, version(4))
    for number in (1, 2, 3, 4):
        world.champion(number)
    world.tick()
    assert world.reconciler._seen == {}


def test_a_replica_that_missed_a_route_gets_it_again(world: World) -> None:
    world.champion(1)
    world.champion(2)
    world.hosting.unreachable = True
    roll_back_champion(world.store, "toy", by="ada", reason="", now_s=world.now_s)
    world.tick(3)
    world.hosting.unreachable = False
    world.tick()
    assert {a.champion for a in world.hosting.applied("toy")} == {1}
