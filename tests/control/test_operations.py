from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mlops_ray.control.operations import (
    approve,
    command_rollout,
    deploy,
    ingest_batch,
    register,
    roll_back_champion,
    stored_spec,
    undeploy,
)
from mlops_ray.data import ingest
from mlops_ray.errors import ConflictError, GateError, NotFoundError, RolloutError
from mlops_ray.rollout import Phase
from mlops_ray.spec import Workspace
from mlops_ray.store import RolloutRecord, RouteRecord, Stage, Store
from tests.control.world import WORSE, World, put_version, toy_spec, version


def say(world: World, number: int, *, approved: bool, approver: str = "ada") -> None:
    world.now_s += 1
    approve(world.store, "toy", number, approver=approver, approved=approved, reason="", now_s=world.now_s)
    world.now_s += 1


def undo(world: World) -> RouteRecord | RolloutRecord:
    return roll_back_champion(world.store, "toy", by="ada", reason="complaints", now_s=world.now_s)


# -- register ----------------------------------------------------------------------------------------------------------


def test_registering_the_same_spec_again_writes_nothing(world: World) -> None:
    register(world.store, world.spec, actor="ada", now_s=5.0)
    assert world.kinds("toy") == ["model.registered"]


def test_a_changed_spec_replaces_the_one_before(world: World) -> None:
    changed = toy_spec(approval={"required": 1})
    register(world.store, changed, actor="ada", now_s=5.0)
    assert stored_spec(world.store, "toy") == changed
    assert world.kinds("toy") == ["model.registered"] * 2


def test_an_unknown_model_is_answered_with_those_there_are(world: World) -> None:
    with pytest.raises(NotFoundError, match="no model 'tox'; models in the store: toy"):
        stored_spec(world.store, "tox")


# -- deploy ------------------------------------------------------------------------------------------------------------


def test_the_newest_candidate_is_deployed_by_default(world: World) -> None:
    assert deploy(world.store, world.spec, actor="ada", now_s=5.0).version == 3


def test_what_is_refused_changes_nothing_not_even_the_stored_spec(world: World) -> None:
    world.champion(1)
    put_version(world.store, version(4, verdict="FAIL"))
    changed, events = toy_spec(approval={"required": 1}), len(world.store.events())
    for number, error, words in (
        (9, NotFoundError, "no version 9; there is 1, 2, 3, 4"),
        (1, ConflictError, "champion already"),
        (4, GateError, "did not pass"),
    ):
        with pytest.raises(error, match=words):
            deploy(world.store, changed, version=number, actor="ada", now_s=5.0)
    assert len(world.store.events()) == events
    assert stored_spec(world.store, "toy") == world.spec


def test_a_second_rollout_beside_the_first_is_refused(world: World) -> None:
    world.champion(1)
    first, changed = world.deploy(2), toy_spec(approval={"required": 1})
    with pytest.raises(ConflictError, match="version 2 is STARTING; wait for its end, or abort"):
        deploy(world.store, changed, version=3, actor="ada", now_s=5.0)
    assert stored_spec(world.store, "toy") == world.spec
    assert [r.id for r in world.store.rollouts("toy", active_only=True)] == [first.id]


@pytest.mark.parametrize("verdict", ["FAIL", "INCONCLUSIVE"])
def test_a_version_that_did_not_pass_its_gates_is_refused_with_what_they_found(world: World, verdict: str) -> None:
    results = [{"verdict": "PASS", "message": "fine"}, {"verdict": verdict, "message": "auc 0.51, needs 0.7"}]
    put_version(world.store, version(4, verdict=verdict, gates={"results": results}))
    with pytest.raises(GateError, match=f"version 4 did not pass its gates \\({verdict}\\): auc 0.51, needs 0.7$"):
        world.deploy(4)


def test_nothing_to_deploy_is_said_so(world: World) -> None:
    for number in (1, 2, 3):
        say(world, number, approved=False)
    with pytest.raises(NotFoundError, match="no candidate"):
        deploy(world.store, world.spec, actor="ada", now_s=5.0)


def test_a_version_rolled_back_is_deployed_again_only_after_somebody_approved_it_since(world: World) -> None:
    say(world, 2, approved=True)
    world.champion(1).traffic = WORSE
    world.run(world.deploy(2))
    with pytest.raises(GateError, match="rolled back"):
        world.deploy(2)
    say(world, 2, approved=True, approver="bob")
    assert world.deploy(2).phase == Phase.STARTING


def test_a_no_outweighs_a_yes_from_before(world: World) -> None:
    say(world, 2, approved=True, approver="bob")
    say(world, 2, approved=False)
    assert world.stage(2) is Stage.REJECTED
    with pytest.raises(GateError, match="rejected"):
        world.deploy(2)


def test_a_version_deployed_again_waits_for_as_many_approvals_as_the_first_time(world: World) -> None:
    world.spec = toy_spec(approval={"required": 2})
    say(world, 1, approved=True)
    say(world, 1, approved=False, approver="bob")
    say(world, 1, approved=True, approver="cy")
    rollout = world.deploy(1)
    world.tick(3)
    assert world.store.rollout(rollout.id).phase == Phase.WAITING
    say(world, 1, approved=True, approver="bob")
    assert world.run(rollout).phase == Phase.COMPLETED


def test_a_retired_version_may_come_back_by_a_rollout(world: World) -> None:
    world.champion(1).champion(2)
    assert world.run(world.deploy(1)).phase == Phase.COMPLETED
    assert (world.route.champion, world.route.previous) == (1, 2)


# -- people ------------------------------------------------------------------------------------------------------------


def test_the_champion_is_not_rejected_but_rolled_back(world: World) -> None:
    world.champion(1)
    events = len(world.store.events())
    with pytest.raises(RolloutError, match="mlops-ray rollback toy"):
        say(world, 1, approved=False)
    assert len(world.store.events()) == events
    assert world.store.approvals("toy", 1) == []


def test_a_command_without_a_rollout_is_refused(world: World) -> None:
    with pytest.raises(RolloutError, match="no rollout of 'toy' is under way"):
        command_rollout(world.store, "toy", "pause", by="ada", reason="", now_s=5.0)


def test_a_command_the_phase_does_not_allow_writes_nothing(world: World) -> None:
    world.champion(1).deploy(2)
    events = len(world.store.events())
    with pytest.raises(RolloutError, match="possible now"):
        command_rollout(world.store, "toy", "resume", by="ada", reason="", now_s=5.0)
    assert len(world.store.events()) == events


def test_a_command_writes_one_event_with_who_and_why(world: World) -> None:
    world.champion(1).deploy(2)
    command_rollout(world.store, "toy", "abort", by="ada", reason="second thoughts", now_s=5.0)
    event = world.store.events(kind="rollout.abort")[-1]
    assert (event.actor, event.payload["reason"]) == ("ada", "second thoughts")


# -- rollback ----------------------------------------------------------------------------------------------------------


def test_a_rollback_brings_the_champion_before_back_at_once(world: World) -> None:
    world.champion(1).champion(2)
    undo(world)
    assert (world.route.champion, world.route.previous) == (1, None)
    assert (world.stage(1), world.stage(2)) == (Stage.CHAMPION, Stage.ROLLED_BACK)


def test_a_champion_rolled_back_by_a_person_needs_a_new_approval(world: World) -> None:
    world.champion(1).champion(2)
    say(world, 2, approved=True)
    undo(world)
    with pytest.raises(GateError, match="rolled back"):
        world.deploy(2)
    say(world, 2, approved=True)
    assert world.deploy(2).previous == 1


def test_during_a_rollout_a_rollback_withdraws_the_new_version(world: World) -> None:
    world.champion(1).champion(2)
    rollout = world.deploy(3)
    world.run(rollout, Phase.CANARY)
    assert isinstance(undo(world), RolloutRecord)
    assert world.run(rollout).phase == Phase.ROLLED_BACK
    assert world.route.champion == 2


def test_a_first_champion_has_nothing_to_go_back_to(world: World) -> None:
    with pytest.raises(RolloutError, match="no previous champion"):
        undo(world.champion(1))


# -- ingest ------------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_every_dataset_version_gets_its_event_once_even_if_an_ingest_was_killed_before_it(
    ray_cluster: str, workspace: Workspace, tmp_path: Path
) -> None:
    source = tmp_path / "raw"
    source.mkdir()
    spec = toy_spec(data={"source": str(source), "label": "y", "features": {"a": "float"}})
    store = Store(workspace.store)
    store.create()

    def file(name: str) -> None:
        pq.write_table(pa.table({"a": [0.5, 1.5, float(len(name))], "y": [0, 1, 1]}), source / f"{name}.parquet")

    file("a")
    ingest(spec, workspace, now_s=1.0, run_id="killed before its event")
    file("bb")
    for _ in range(2):
        ingest_batch(store, spec, workspace, actor="ada", clock=lambda: 5.0, progress=lambda _: None)
    events = store.events(kind="dataset.committed")
    assert [event.subject for event in events] == ["mlops.toy@v1", "mlops.toy@v2"]
    assert [event.payload["rows"] for event in events] == [3, 6]
    assert [len(event.payload["sources"]) for event in events] == [1, 1]
    store.close()


def test_the_contents_of_a_rolled_back_version_stay_in_quarantine_under_another_number(world: World) -> None:
    world.champion(1).traffic = WORSE
    world.run(world.deploy(2))
    put_version(world.store, version(7, digest=version(2).digest))
    with pytest.raises(GateError, match="version 7 has the contents of version 2, which is rolled back"):
        world.deploy(7)
    say(world, 7, approved=True)
    assert world.deploy(7).version == 7


def test_an_approval_from_before_the_contents_were_turned_down_does_not_let_them_in(world: World) -> None:
    world.champion(1).traffic = WORSE
    put_version(world.store, version(7, digest=version(2).digest))
    say(world, 7, approved=True)
    world.run(world.deploy(2))
    with pytest.raises(GateError, match="in quarantine"):
        world.deploy(7)


# -- undeploy ----------------------------------------------------------------------------------------------------------


def test_an_undeployed_model_is_gone_and_a_version_can_be_deployed_again(world: World) -> None:
    world.champion(1)
    undeploy(world.store, "toy", by="ada", reason="summer", now_s=world.now_s)
    world.tick(3)
    assert (world.apps(), world.stage(1), world.route.champion) == (set(), Stage.RETIRED, None)
    assert world.run(world.deploy(2)).phase == Phase.COMPLETED
    assert world.apps() == {"toy"}


def test_nothing_is_undeployed_while_a_rollout_is_under_way(world: World) -> None:
    world.champion(1)
    world.run(world.deploy(2), Phase.CANARY)
    with pytest.raises(RolloutError, match="abort it first"):
        undeploy(world.store, "toy", by="ada", reason="", now_s=world.now_s)
    assert world.route.champion == 1


def test_what_is_not_deployed_cannot_be_undeployed(world: World) -> None:
    with pytest.raises(RolloutError, match="not deployed"):
        undeploy(world.store, "toy", by="ada", reason="", now_s=world.now_s)
