"""Whose approval of a version stands. Pure."""

from collections.abc import Collection, Sequence

from mlops_ray.rollout import Phase
from mlops_ray.store import ApprovalRecord, RolloutRecord

__all__ = ["standing_approvals"]

_TURNED_DOWN = (Phase.ROLLED_BACK, Phase.ABORTED)


def standing_approvals(
    approvals: Sequence[ApprovalRecord], rollouts: Sequence[RolloutRecord], *, versions: Collection[int]
) -> frozenset[str]:
    """Who of those who said something about a version said yes, since it was last turned down: rejected by a person,
    rolled back or given up, itself or another of `versions`, which have the same contents.

    A yes from before says nothing about what was found since.
    """
    ended = [r.updated_s for r in rollouts if r.version in versions and r.phase in _TURNED_DOWN]
    rejected = [a.at_s for a in approvals if not a.approved]
    since_s = max([*ended, *rejected], default=float("-inf"))
    return frozenset(a.approver for a in approvals if a.approved and a.at_s > since_s)
