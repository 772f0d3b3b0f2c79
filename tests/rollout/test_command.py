"""What people may do to a rollout, and what they are told when they may not."""

from dataclasses import replace
from typing import get_args

import pytest

from mlops_ray.errors import RolloutError
from mlops_ray.rollout import LEGAL_ACTIONS, Action, Observation, Phase, RolloutState, advance, begin, command
from mlops_ray.spec import Rollout

ROLLOUT = Rollout()
ACTIONS: tuple[Action, ...] = get_args(Action)


def in_phase(phase: Phase, share: float = 0.05) -> RolloutState:
    return replace(begin(0.0, analysis=ROLLOUT.analysis, needs_approval=True), phase=phase, share=share)


@pytest.mark.parametrize("phase", Phase)
@pytest.mark.parametrize("action", ACTIONS)
def test_an_action_is_either_legal_and_marked_or_refused_with_the_legal_ones(phase: Phase, action: Action) -> None:
    state = in_phase(phase)
    if action in LEGAL_ACTIONS[phase]:
        after = command(state, action, 5.0, by="ann", reason="because")
        assert (after.history[-1].at_s, after.reason) == (5.0, f"{action} by ann: because")
        return
    with pytest.raises(RolloutError, match=phase.value) as refused:
        command(state, action, 5.0, by="ann", reason="")
    assert all(legal in str(refused.value) for legal in LEGAL_ACTIONS[phase])


def test_promote_skips_the_analysis_and_keeps_the_share() -> None:
    after = command(in_phase(Phase.CANARY, 0.25), "promote", 5.0, by="ann", reason="")
    assert (after.phase, after.share) == (Phase.PROMOTING, 0.25)


@pytest.mark.parametrize("action", ["abort", "rollback", "reject"])
@pytest.mark.parametrize("phase", [Phase.STARTING, Phase.CANARY, Phase.PAUSED, Phase.PROMOTING])
def test_giving_up_takes_the_share_away_and_ends_rolled_back(action: Action, phase: Phase) -> None:
    after = command(in_phase(phase), action, 5.0, by="ann", reason="")
    assert (after.phase, after.share) == (Phase.ROLLING_BACK, 0.0)
    assert advance(after, Observation(withdrawn=True), ROLLOUT, 6.0).phase is Phase.ROLLED_BACK


@pytest.mark.parametrize("action", ["abort", "rollback", "reject"])
def test_giving_up_before_anything_is_deployed_ends_at_once(action: Action) -> None:
    assert command(in_phase(Phase.WAITING, 0.0), action, 5.0, by="ann", reason="").phase is Phase.ABORTED


def test_pause_and_resume_keep_share_and_evidence_and_restart_the_clock() -> None:
    canary = in_phase(Phase.CANARY, 0.25)
    paused = command(canary, "pause", 5.0, by="ann", reason="")
    resumed = command(paused, "resume", 100.0, by="ann", reason="")
    assert (paused.phase, paused.share, paused.resume_to) == (Phase.PAUSED, 0.25, Phase.CANARY)
    assert (resumed.phase, resumed.share, resumed.step_since_s, resumed.resume_to) == (Phase.CANARY, 0.25, 100.0, None)
    assert resumed.evidence == canary.evidence
