"""Each strategy of delivery on a real cluster: how it gets to its end, and what its users see meanwhile."""

import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from ray import serve

from mlops_ray.control.inspection import analysis_of
from mlops_ray.control.operations import command_rollout
from mlops_ray.demo.traffic import TrafficDriver
from mlops_ray.demo.traffic_counts import TrafficCounts
from mlops_ray.rollout import Phase, on_canary
from mlops_ray.serve import app_name
from mlops_ray.serve.version_handle import VERSION
from mlops_ray.spec import Workspace
from mlops_ray.store import RolloutRecord
from tests.e2e import broken_models
from tests.e2e.toy import Toy, sound_model, until

pytestmark = pytest.mark.slow

TIMES = {"min_s": 3, "max_s": 90, "min_requests": 100}
FORGIVING = {"max_bad_share": 0.1}


@pytest.fixture(scope="module")
def champion(live: Workspace) -> Iterator[Toy]:
    """A champion on one replica."""
    toy = Toy(live, "strategic").first_champion()
    yield toy
    toy.retire()


def by(toy: Toy, **rollout: Any) -> Toy:
    """The same model, delivered from now on by this rollout section."""
    return replace(toy, rollout={"analysis": FORGIVING, **rollout})


def history(rollout: RolloutRecord) -> list[tuple[str, float]]:
    return [(mark["phase"], mark["share"]) for mark in rollout.state["rollout"]["history"]]


def assert_every_request_was_answered(counts: TrafficCounts) -> None:
    assert (counts.failed, counts.first_error) == (0, None)
    assert counts.answered == counts.sent > 50


def assert_answers_are_right(toy: Toy, driver: TrafficDriver, versions: set[int]) -> None:
    """Every answer is one of these versions' own, to the last bits."""
    answers = driver.drain_answers()
    rows = [answer.row for answer in answers]
    answered = np.array([answer.score for answer in answers])
    apart = np.min([np.abs(answered - toy.scores(version, rows)) for version in versions], axis=0)
    assert apart.max() < 1e-12


def champion_of(toy: Toy) -> int:
    route = toy.store.route(toy.name)
    assert route is not None
    assert route.champion is not None
    return route.champion


def test_all_at_once_swaps_without_a_canary(champion: Toy) -> None:
    toy = by(champion, strategy="all-at-once")
    before = champion_of(toy)
    with toy.traffic() as driver:
        rollout = toy.ended(toy.deploy(toy.add_version()))
        counts = driver.stop()
        assert_answers_are_right(toy, driver, {before, rollout.version})
    assert [phase for phase, _ in history(rollout)] == ["STARTING", "PROMOTING", "COMPLETED"]
    assert_every_request_was_answered(counts)


def test_blue_green_gives_everybody_to_the_new_version_and_then_promotes_it(champion: Toy) -> None:
    toy = by(champion, strategy="blue-green", bake=TIMES)
    with toy.traffic() as driver:
        rollout = toy.ended(toy.deploy(toy.add_version()))
        counts = driver.stop()
    assert history(rollout)[1:] == [("CANARY", 1.0), ("PROMOTING", 1.0), ("COMPLETED", 0.0)], rollout.state
    assert counts.by_role["canary"] > 50
    assert_every_request_was_answered(counts)


def test_blue_green_flips_back_when_the_new_version_fails_and_no_user_sees_it(champion: Toy) -> None:
    toy = by(champion, strategy="blue-green", bake=TIMES)
    before = champion_of(toy)
    with toy.traffic() as driver:
        version = toy.add_version(broken_models.broken(broken_models.Raises, sound_model(20)))
        rollout = toy.ended(toy.deploy(version))
        counts = driver.stop()
        assert_answers_are_right(toy, driver, {before})
    assert rollout.phase == Phase.ROLLED_BACK
    assert_every_request_was_answered(counts)


def test_a_shadow_answers_copies_that_nobody_sees_and_waits_for_a_person(champion: Toy) -> None:
    toy = by(champion, strategy="shadow", shadow={"mirror": 1.0, **TIMES})
    before = champion_of(toy)
    with toy.traffic() as driver:
        rollout = toy.await_phase(toy.deploy(toy.add_version()), Phase.PAUSED)
        assert driver.snapshot().by_version.keys() == {str(before)}, "a user was answered by the shadow"
        evidence = rollout.state["rollout"]["evidence"]
        assert evidence["canary_requests"] >= TIMES["min_requests"]
        command_rollout(toy.store, toy.name, "promote", by="ada", reason="same answers", now_s=time.time())
        ended = toy.ended(rollout)
        counts = driver.stop()
    assert ended.phase == Phase.COMPLETED
    assert_every_request_was_answered(counts)


def test_a_broken_shadow_is_taken_away_and_no_user_meets_it(champion: Toy) -> None:
    toy = by(champion, strategy="shadow", shadow={"mirror": 1.0, **TIMES})
    before = champion_of(toy)
    with toy.traffic() as driver:
        version = toy.add_version(broken_models.broken(broken_models.AnswersNaN, sound_model(20)))
        rollout = toy.ended(toy.deploy(version))
        counts = driver.stop()
    assert rollout.phase == Phase.ROLLED_BACK
    assert counts.by_version.keys() == {str(before)}
    assert_every_request_was_answered(counts)


def test_ab_promotes_the_version_whose_users_do_better(champion: Toy) -> None:
    primary = {"name": "bought", "of": "label", "better": "higher", "max_harm": 0.05, "min_labels": 30}
    toy = by(champion, strategy="ab", ab={"share": 0.5, "primary": primary, "min_effect": 0.2, **TIMES})
    chance = np.random.default_rng(1)
    with toy.traffic() as driver:
        rollout = toy.await_phase(toy.deploy(toy.add_version()), Phase.CANARY)
        driver.drain_answers()

        def buys(uid: str) -> int:
            # The assignment of every replica, computed here: users of the new version buy more.
            return int(chance.random() < (0.8 if on_canary(uid, rollout.id, 0.5) else 0.2))

        def told() -> bool:
            driver.send_labels({answer.request_id: buys(answer.row["uid"]) for answer in driver.drain_answers()})
            return Phase(toy.store.rollout(rollout.id).phase).ended

        until(told, "the end of the test", timeout_s=90)
        counts = driver.stop()
    ended = toy.store.rollout(rollout.id)
    assert ended.phase == Phase.COMPLETED, ended.state["rollout"]["reason"]
    assert "bought" in ended.state["rollout"]["history"][-2]["reason"]
    assert_every_request_was_answered(counts)


def test_with_rolling_promotion_the_replicas_are_replaced_under_load(champion: Toy) -> None:
    toy = by(champion, strategy="all-at-once", promotion="rolling")
    before = champion_of(toy)
    with toy.traffic() as driver:
        rollout = toy.ended(toy.deploy(toy.add_version()), timeout_s=120)
        counts = driver.stop()
        assert_answers_are_right(toy, driver, {before, rollout.version})
    assert (rollout.phase, champion_of(toy)) == (Phase.COMPLETED, rollout.version)
    assert_every_request_was_answered(counts)


def test_a_canary_that_scaled_to_zero_wakes_up_and_is_not_blamed_for_it(live: Workspace) -> None:
    scaling = {"min_replicas": 0, "max_replicas": 1, "downscale_delay_s": 2}
    step = {"share": 0.5, "min_s": 5, "max_s": 90, "min_requests": 100}
    toy = by(Toy(live, "sleepy", serve={"canary_autoscaling": scaling}).first_champion(), steps=[step])
    rollout = toy.await_phase(toy.deploy(toy.add_version()), Phase.CANARY)

    def replicas() -> int:
        application = serve.status().applications[app_name(toy.name, rollout.version)]
        return sum(application.deployments[VERSION].replica_states.values())

    until(lambda: replicas() == 0, "the end of its only replica", timeout_s=90)
    with toy.traffic() as driver:
        ended = toy.ended(rollout)
        counts = driver.stop()
    assert ended.phase == Phase.COMPLETED, ended.state["rollout"]["reason"]
    assert_every_request_was_answered(counts)
    errors = next(m for m in analysis_of(toy.store, toy.name, ended.id)["metrics"] if m["name"] == "errors")
    assert errors["message"].startswith("errors: 0 of "), errors
    toy.retire()
