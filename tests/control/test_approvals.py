from mlops_ray.control.approvals import standing_approvals
from mlops_ray.rollout import Phase
from mlops_ray.store import ApprovalRecord, RolloutRecord


def said(approver: str, at_s: float, *, yes: bool = True) -> ApprovalRecord:
    return ApprovalRecord("toy", 2, approver, yes, "", at_s)


def ended(phase: Phase, at_s: float, version: int = 2) -> RolloutRecord:
    return RolloutRecord(
        id=f"r{at_s}",
        model="toy",
        version=version,
        previous=1,
        phase=phase.value,
        state={},
        revision=1,
        created_s=0.0,
        updated_s=at_s,
    )


def test_every_person_who_said_yes_counts() -> None:
    assert standing_approvals([said("ada", 1), said("bob", 2)], [], versions={2}) == {"ada", "bob"}


def test_a_no_undoes_what_was_said_before_it() -> None:
    approvals = [said("ada", 1), said("bob", 2, yes=False), said("cy", 3)]
    assert standing_approvals(approvals, [], versions={2}) == {"cy"}


def test_a_rollback_undoes_what_was_said_before_it() -> None:
    rollouts = [ended(Phase.ROLLED_BACK, 2.0)]
    assert standing_approvals([said("ada", 1), said("bob", 3)], rollouts, versions={2}) == {"bob"}


def test_rollouts_of_other_versions_and_those_under_way_undo_nothing() -> None:
    rollouts = [ended(Phase.ROLLED_BACK, 2.0, version=3), ended(Phase.WAITING, 2.0), ended(Phase.COMPLETED, 2.0)]
    assert standing_approvals([said("ada", 1)], rollouts, versions={2}) == {"ada"}
