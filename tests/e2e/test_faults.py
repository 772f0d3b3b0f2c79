"""A canary goes on and ends right whatever is killed, and users see nothing of a canary that is broken."""

import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
import ray
from ray.util.state import list_actors

from mlops_ray.demo.traffic_counts import TrafficCounts
from mlops_ray.errors import GateError
from mlops_ray.lake import Lake
from mlops_ray.monitor import drift_status
from mlops_ray.monitor.numbers import number_of
from mlops_ray.records import RecordLog
from mlops_ray.rollout import Phase
from mlops_ray.spec import CONTROL_ACTOR, DRIFT_ACTOR, Workspace
from mlops_ray.store import RolloutRecord, Stage
from tests.e2e import broken_models
from tests.e2e.toy import Toy, kill, sound_model, until

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def toy(live: Workspace) -> Iterator[Toy]:
    """A champion on two replicas."""
    toy = Toy(live, "faulty", replicas=2).first_champion()
    yield toy
    toy.retire()


@pytest.fixture(scope="module")
def alone(live: Workspace) -> Iterator[Toy]:
    """A champion on one replica, as in the demo."""
    toy = Toy(live, "alone").first_champion()
    yield toy
    toy.retire()


def _pid(actor: str, workspace: Workspace) -> int:
    handle = ray.get_actor(actor, namespace=workspace.namespace)
    pid: int = ray.get(handle.ready.remote(), timeout=60)
    return pid


def _champion_pids(toy: Toy) -> list[int]:
    wanted = [("state", "=", "ALIVE"), ("class_name", "=", f"ServeReplica:{toy.name}:front")]
    return [actor.pid for actor in list_actors(toy.workspace.dashboard, filters=wanted, detail=True)]


def _deliver(toy: Toy, *, in_canary: Callable[[], None]) -> tuple[RolloutRecord, TrafficCounts]:
    """Deliver one more sound version under traffic, and do `in_canary` in the middle of it."""
    with toy.traffic() as driver:
        rollout = toy.deploy(toy.add_version())
        toy.await_phase(rollout, Phase.CANARY)
        until(lambda: driver.snapshot().by_role.get("canary"), "the first answer of the canary", timeout_s=30)
        in_canary()
        assert toy.store.rollout(rollout.id).phase == Phase.CANARY
        ended = toy.ended(rollout)
        return ended, driver.stop()


def _assert_it_ended_right(toy: Toy, rollout: RolloutRecord, counts: TrafficCounts) -> None:
    assert rollout.phase == Phase.COMPLETED, rollout.state["rollout"]["reason"]
    assert len(toy.store.events(subject=rollout.id, kind="rollout.completed")) == 1
    assert toy.store.model_version(toy.name, rollout.version).stage is Stage.CHAMPION
    assert toy.store.verify().verified
    assert (counts.failed, counts.first_error) == (0, None)
    assert counts.answered == counts.sent > 200


def test_a_canary_ends_right_when_the_control_actor_is_killed(toy: Toy) -> None:
    before = _pid(CONTROL_ACTOR, toy.workspace)
    rollout, counts = _deliver(toy, in_canary=lambda: kill(before))
    _assert_it_ended_right(toy, rollout, counts)
    assert _pid(CONTROL_ACTOR, toy.workspace) != before


def test_a_canary_ends_right_when_the_drift_actor_is_killed(toy: Toy) -> None:
    before = _pid(DRIFT_ACTOR, toy.workspace)
    rollout, counts = _deliver(toy, in_canary=lambda: kill(before))
    _assert_it_ended_right(toy, rollout, counts)
    assert _pid(DRIFT_ACTOR, toy.workspace) != before
    # Neither lost nor twice: all that was handed over up to the cursor of the verdict, and nothing else.
    assert rollout.state["rollout"]["evidence"]["canary_requests"] == _handed_over(toy, rollout) > 0


def _handed_over(toy: Toy, rollout: RolloutRecord) -> int:
    """Requests for the canary in the records, up to where the evidence of the rollout ends."""
    log, end = RecordLog(Lake(toy.workspace.lake), toy.name), rollout.state["cursor"][1]
    files = [path for path in log.served_files(rollout.created_s) if number_of(log.note_of(path)) < end]
    rows = pa.concat_tables([log.served_in(path, ["row", "assigned", "canary"]) for path in files])
    ours = (pc.field("canary") == rollout.version) & (pc.field("assigned") == "canary") & (pc.field("row") == 0)
    return int(rows.filter(ours).num_rows)


def test_the_drift_actor_judges_on_after_it_was_killed(toy: Toy) -> None:
    with toy.traffic(rate_per_s=100):
        kill(_pid(DRIFT_ACTOR, toy.workspace))
        status = until(lambda: _judged(toy), "a judgement by the new drift actor", timeout_s=60)
    assert status["report"]["rows"] >= 100


def _judged(toy: Toy) -> dict[str, object] | None:
    _pid(DRIFT_ACTOR, toy.workspace)
    status = drift_status(toy.workspace, toy.name)
    return status if status["report"] is not None and status["report"]["verdict"] != "INCONCLUSIVE" else None


def _assert_a_killed_replica_is_not_missed(toy: Toy) -> None:
    before = _champion_pids(toy)
    assert len(before) == toy.replicas
    rollout, counts = _deliver(toy, in_canary=lambda: kill(before[0]))
    _assert_it_ended_right(toy, rollout, counts)
    assert before[0] not in until(lambda: _complete(toy), "a replica in place of the killed one", timeout_s=60)


def _complete(toy: Toy) -> list[int]:
    pids = _champion_pids(toy)
    return pids if len(pids) == toy.replicas else []


def test_a_killed_replica_loses_no_records_but_those_it_had_not_handed_over(toy: Toy) -> None:
    with toy.traffic(rate_per_s=100) as driver:
        until(lambda: driver.snapshot().answered > 300, "some traffic", timeout_s=60)
        earlier = {answer.request_id for answer in driver.drain_answers()}
        time.sleep(10 * toy.spec.monitor.flush_s)
        kill(_champion_pids(toy)[0])
        until(lambda: _complete(toy), "a replica in place of the killed one", timeout_s=60)
        time.sleep(10 * toy.spec.monitor.flush_s)
        later = {answer.request_id for answer in driver.drain_answers()}
    known = set(RecordLog(Lake(toy.workspace.lake), toy.name).served(0.0)["request_id"].to_pylist())
    assert len(earlier) > 300
    assert earlier <= known
    assert later & known, "the others go on"


def test_a_canary_ends_right_when_one_of_the_champions_replicas_is_killed(toy: Toy) -> None:
    _assert_a_killed_replica_is_not_missed(toy)


def test_a_canary_ends_right_when_the_only_replica_of_the_champion_is_killed(alone: Toy) -> None:
    # Requests wait at Serve's own proxy until there is a replica again.
    _assert_a_killed_replica_is_not_missed(alone)


@pytest.mark.parametrize("kind", [broken_models.Raises, broken_models.Hangs, broken_models.AnswersNaN])
def test_users_see_nothing_of_a_canary_that_is_broken(toy: Toy, kind: type) -> None:
    route = toy.store.route(toy.name)
    assert route is not None
    assert route.champion is not None
    with toy.traffic() as driver:
        rollout = toy.ended(toy.deploy(toy.add_version(broken_models.broken(kind, sound_model(20)))))
        counts = driver.stop()
        answers = driver.drain_answers()
    assert rollout.phase == Phase.ROLLED_BACK
    assert "errors" in rollout.state["rollout"]["reason"]
    assert (counts.failed, counts.retried, counts.first_error) == (0, 0, None)
    assert dict(counts.by_version) == {str(route.champion): counts.sent}
    expected = toy.scores(route.champion, [answer.row for answer in answers])
    np.testing.assert_allclose([answer.score for answer in answers], expected, rtol=0, atol=1e-12)


def test_a_version_that_cannot_be_loaded_is_rolled_back_before_it_gets_a_request(toy: Toy) -> None:
    with toy.traffic() as driver:
        rollout = toy.ended(
            toy.deploy(toy.add_version(broken_models.broken(broken_models.Unloadable, sound_model(20))))
        )
        counts = driver.stop()
    assert rollout.phase == Phase.ROLLED_BACK
    assert "weights are not where they should be" in rollout.state["rollout"]["reason"]
    assert Phase.CANARY not in {mark["phase"] for mark in rollout.state["rollout"]["history"]}
    assert (counts.failed, dict(counts.by_role)) == (0, {"champion": counts.sent})


def test_a_version_that_never_gets_ready_is_rolled_back_and_its_digest_is_in_quarantine(toy: Toy) -> None:
    hasty = replace(toy, rollout={"ready_timeout_s": 12})
    with hasty.traffic() as driver:
        version = hasty.add_version(broken_models.broken(broken_models.NeverReady, sound_model(20)))
        rollout = hasty.ended(hasty.deploy(version))
        counts = driver.stop()
    assert (rollout.phase, counts.failed) == (Phase.ROLLED_BACK, 0)
    assert dict(counts.by_role) == {"champion": counts.sent}
    with pytest.raises(GateError, match="in quarantine"):
        hasty.deploy(version)


def test_a_canary_that_eats_memory_until_it_is_killed_is_rolled_back(toy: Toy) -> None:
    limited = replace(toy, serve={"memory_mb": 1500})
    with limited.traffic() as driver:
        version = limited.add_version(broken_models.broken(broken_models.EatsMemory, sound_model(20)))
        rollout = limited.ended(limited.deploy(version), timeout_s=180)
        counts = driver.stop()
    assert rollout.phase == Phase.ROLLED_BACK, rollout.state["rollout"]["history"]
    assert (counts.failed, counts.first_error) == (0, None)
    with pytest.raises(GateError, match="in quarantine"):
        limited.deploy(version)
