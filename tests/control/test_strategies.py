"""Every strategy from its first look to its end, with a real store, and hosting and traffic in memory."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from mlops_ray.control.operations import command_rollout
from mlops_ray.control.rollout_record import load_state
from mlops_ray.rollout import Block, Moments, Phase, Stratum
from mlops_ray.serve import app_name
from mlops_ray.store import RolloutRecord, Stage
from tests.control.world import FINE, NOTHING, World, toy_spec

COPIES = Block(200, 400, 0, 0, 0, 0, paired=(200, 0))
EVERYBODY = Block(500, 0, 0, 0, 0, 0, share=1.0)
TIMES = {"min_s": 2, "max_s": 30, "min_requests": 100}


def world_with(folder: Path, **rollout: Any) -> World:
    """A world with champion 1, whose next deliveries go by this rollout section."""
    world = World(folder).champion(1)
    world.spec = toy_spec(rollout={"ready_timeout_s": 20} | rollout)
    return world


def history(world: World, rollout: RolloutRecord) -> list[tuple[str, float, float]]:
    state, _ = load_state(world.store.rollout(rollout.id))
    return [(mark.phase.value, mark.share, mark.mirror) for mark in state.history]


def test_all_at_once_is_promoted_as_soon_as_it_is_ready_and_gives_the_same_answers(tmp_path: Path) -> None:
    world = world_with(tmp_path, strategy="all-at-once")
    ended = world.run(world.deploy(2))
    assert [phase for phase, _, _ in history(world, ended)] == ["STARTING", "PROMOTING", "COMPLETED"]
    assert (world.route.champion, world.route.previous) == (2, 1)
    assert world.parity.asked == [1, 2]


def test_blue_green_gives_everybody_to_the_new_version_bakes_and_promotes(tmp_path: Path) -> None:
    world = world_with(tmp_path, strategy="blue-green", bake=TIMES)
    world.traffic = EVERYBODY
    ended = world.run(world.deploy(2))
    assert history(world, ended)[1:3] == [("CANARY", 1.0, 0.0), ("PROMOTING", 1.0, 0.0)]
    assert (ended.phase, world.route.champion) == (Phase.COMPLETED, 2)


def test_blue_green_flips_back_when_the_new_version_fails_its_users_requests(tmp_path: Path) -> None:
    world = world_with(tmp_path, strategy="blue-green", bake=TIMES)
    world.traffic = replace(EVERYBODY, canary_errors=100)
    ended = world.run(world.deploy(2))
    assert (ended.phase, world.route.champion, world.stage(2)) == (Phase.ROLLED_BACK, 1, Stage.ROLLED_BACK)


def test_a_shadow_meets_no_user_and_ends_waiting_for_a_person(tmp_path: Path) -> None:
    world = world_with(tmp_path, strategy="shadow", shadow={"mirror": 0.5, **TIMES})
    world.traffic = COPIES
    rollout = world.run(world.deploy(2), Phase.PAUSED)
    assert history(world, rollout)[1] == ("CANARY", 0.0, 0.5)
    assert (world.route.canary, world.route.share, world.route.mirror) == (2, 0.0, 0.5)
    command_rollout(world.store, "toy", "promote", by="ada", reason="looks good", now_s=world.now_s)
    assert world.run(rollout).phase == Phase.COMPLETED
    assert (world.route.champion, world.route.mirror) == (2, 0.0)


def test_a_shadow_that_raises_is_rolled_back(tmp_path: Path) -> None:
    world = world_with(tmp_path, strategy="shadow", shadow={"mirror": 0.5, **TIMES})
    world.traffic = replace(COPIES, canary_errors=20)
    assert world.run(world.deploy(2)).phase == Phase.ROLLED_BACK


def test_a_canary_may_begin_in_the_dark(tmp_path: Path) -> None:
    steps = [{"share": 0.0, "mirror": 0.3, **TIMES}, {"share": 0.2, **TIMES}]
    world = world_with(tmp_path, steps=steps)
    ended = world.run(world.deploy(2))
    assert history(world, ended)[1:3] == [("CANARY", 0.0, 0.3), ("CANARY", 0.2, 0.0)]
    assert ended.phase == Phase.COMPLETED


def ab(tmp_path: Path) -> World:
    primary = {"name": "bought", "of": "label", "better": "higher", "max_harm": 0.02, "min_labels": 50}
    return world_with(tmp_path, strategy="ab", ab={"share": 0.5, "primary": primary, "min_effect": 0.05, **TIMES})


def bought(canary: float, champion: float, units: int = 5000) -> dict[str, tuple[Stratum, ...]]:
    """Shares of units that bought, as totals of 0 and 1."""
    a, b = (Moments(units, share, units * share * (1 - share)) for share in (canary, champion))
    return {"bought": (Stratum(epoch=1, canary=a, champion=b),)}


def test_ab_promotes_the_version_that_is_better_on_the_primary_outcome(tmp_path: Path) -> None:
    world = ab(tmp_path)
    world.evidences.totals = bought(0.30, 0.20)
    ended = world.run(world.deploy(2))
    assert (ended.phase, "bought" in load_state(ended)[0].history[-2].reason) == (Phase.COMPLETED, True)


def test_ab_takes_a_version_back_that_is_worse_on_the_primary_outcome(tmp_path: Path) -> None:
    world = ab(tmp_path)
    world.evidences.totals = bought(0.20, 0.30)
    assert world.run(world.deploy(2)).phase == Phase.ROLLED_BACK


def test_ab_waits_for_people_when_nothing_is_decided_in_its_time(tmp_path: Path) -> None:
    world = ab(tmp_path)
    world.evidences.totals = bought(0.25, 0.25)
    rollout = world.run(world.deploy(2), Phase.PAUSED)
    assert "inconclusive" in load_state(rollout)[0].reason


# -- before it meets anybody -------------------------------------------------------------------------------------------


def test_a_version_that_answers_otherwise_than_in_training_never_meets_a_user(world: World) -> None:
    world.champion(1).parity.differences[2] = "parity: training row 3 is answered 0.1, and was 0.9"
    ended = world.run(world.deploy(2))
    assert (ended.phase, "training row 3" in load_state(ended)[0].reason) == (Phase.ROLLED_BACK, True)
    assert "CANARY" not in {phase for phase, _, _ in history(world, ended)}


def test_a_first_version_that_answers_otherwise_than_in_training_is_not_champion(world: World) -> None:
    world.parity.differences[1] = "parity: training row 3 is answered 0.1, and was 0.9"
    assert world.run(world.deploy(1)).phase == Phase.ROLLED_BACK
    assert world.route.champion is None


def test_as_long_as_nobody_answers_the_parity_check_is_asked_again(world: World) -> None:
    world.champion(1).parity.away = True
    rollout = world.deploy(2)
    world.tick(6)
    assert world.store.rollout(rollout.id).phase == Phase.STARTING
    world.parity.away = False
    assert world.run(rollout).phase == Phase.COMPLETED
    assert world.parity.asked.count(2) == 1


def test_a_crash_loop_is_rolled_back_however_good_the_answers_are(world: World) -> None:
    world.champion(1)
    rollout = world.deploy(2)
    world.run(rollout, Phase.CANARY)
    world.traffic = NOTHING
    world.hosting.died[app_name("toy", 2)] = 2
    world.tick(3)
    assert world.store.rollout(rollout.id).phase == Phase.CANARY
    world.hosting.died[app_name("toy", 2)] = 3
    ended = world.run(rollout)
    assert (ended.phase, "crash loop" in load_state(ended)[0].reason) == (Phase.ROLLED_BACK, True)


def test_three_deaths_over_hours_are_no_crash_loop(world: World) -> None:
    world.champion(1)
    rollout = world.deploy(2)
    world.run(rollout, Phase.CANARY)
    world.traffic = None
    command_rollout(world.store, "toy", "pause", by="ada", reason="lunch", now_s=world.now_s)
    for deaths in (1, 2, 3):
        world.hosting.died[app_name("toy", 2)] = deaths
        world.tick(3)
        world.now_s += 3600
    assert world.store.rollout(rollout.id).phase == Phase.PAUSED


def test_a_canary_that_is_gone_for_good_does_not_wait_for_ever(world: World) -> None:
    world.champion(1)
    rollout = world.deploy(2)
    world.run(rollout, Phase.CANARY)
    world.hosting.looks = 10**6
    world.hosting.close(app_name("toy", 2))
    world.tick(150)
    ended = world.store.rollout(rollout.id)
    assert (ended.phase, "not been ready" in load_state(ended)[0].reason) == (Phase.ROLLED_BACK, True)


# -- custom metrics ----------------------------------------------------------------------------------------------------


def queue_depth(tmp_path: Path, **changes: Any) -> World:
    metric = {"name": "queue", "query": 'depth{model="{model}",version="{version}"}', "max": 5, "every_s": 1}
    steps = [{"share": 0.2, **TIMES}]
    return world_with(tmp_path, steps=steps, analysis={"promql": [metric | changes]})


def test_a_query_that_stays_outside_of_its_bounds_rolls_the_version_back(tmp_path: Path) -> None:
    world = queue_depth(tmp_path)
    world.metrics.values['depth{model="toy",version="2"}'] = 9.0
    ended = world.run(world.deploy(2))
    assert (ended.phase, "queue" in load_state(ended)[0].reason) == (Phase.ROLLED_BACK, True)


def test_measurement_errors_are_no_failures(tmp_path: Path) -> None:
    world = queue_depth(tmp_path)
    assert world.run(world.deploy(2)).phase == Phase.COMPLETED


def test_without_data_that_must_be_there_nothing_is_promoted(tmp_path: Path) -> None:
    world = queue_depth(tmp_path, must_have_data=True)
    rollout = world.run(world.deploy(2), Phase.PAUSED)
    assert "queue" in load_state(rollout)[0].reason
    assert world.traffic == FINE


# -- champions that are replaced ---------------------------------------------------------------------------------------


def test_with_rolling_promotion_replicas_are_replaced_and_load_nothing_beside(tmp_path: Path) -> None:
    world = world_with(tmp_path, strategy="all-at-once", promotion="rolling")
    world.hosting.swaps = False
    assert world.run(world.deploy(2)).phase == Phase.COMPLETED
    assert world.hosting.renewed == ["toy"]
    assert {a.champion for a in world.hosting.applied("toy")} == {2}


def test_another_way_of_promotion_reaches_a_running_front_door_before_it_matters(tmp_path: Path) -> None:
    world = world_with(tmp_path, strategy="all-at-once", promotion="rolling")
    world.run(world.deploy(2))
    world.spec = toy_spec(rollout={"strategy": "all-at-once", "promotion": "swap"})
    assert world.run(world.deploy(3)).phase == Phase.COMPLETED
    assert {a.champion for a in world.hosting.applied("toy")} == {3}


def test_a_front_door_that_failed_is_opened_anew_when_its_section_is_corrected(tmp_path: Path) -> None:
    world = world_with(tmp_path, strategy="all-at-once")
    world.hosting.fail("toy", "no node has 99 CPUs")
    world.spec = toy_spec(rollout={"strategy": "all-at-once"}, serve={"max_rows": 50})
    world.run(world.deploy(2))
    assert world.hosting.renewed[:1] == ["toy"]
    assert {a.champion for a in world.hosting.applied("toy")} == {2}


def test_a_changed_serve_section_reaches_a_running_front_door(tmp_path: Path) -> None:
    world = world_with(tmp_path, strategy="all-at-once")
    world.spec = toy_spec(rollout={"strategy": "all-at-once"}, serve={"max_rows": 50})
    world.run(world.deploy(2))
    world.tick(10)
    assert world.hosting.renewed == ["toy"]
    assert {a.front_digest for a in world.hosting.applied("toy")} == {world.spec.front_digest}
