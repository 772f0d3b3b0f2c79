"""Rollout states begin right and survive JSON."""

import json

import pytest

from mlops_ray.rollout import Block, Observation, Phase, RolloutState, advance, begin, command, fold
from mlops_ray.spec import Rollout

ROLLOUT = Rollout()


@pytest.mark.parametrize(("needs_approval", "phase"), [(True, Phase.WAITING), (False, Phase.STARTING)])
def test_a_rollout_begins_without_share_and_with_one_mark(needs_approval: bool, phase: Phase) -> None:
    state = begin(7.0, analysis=ROLLOUT.analysis, needs_approval=needs_approval)
    assert (state.phase, state.share, state.phase_since_s) == (phase, 0.0, 7.0)
    assert [mark.phase for mark in state.history] == [phase]


def test_a_state_in_the_middle_survives_json() -> None:
    state = begin(0.0, analysis=ROLLOUT.analysis, needs_approval=False)
    state = advance(state, Observation(canary_ready=True), ROLLOUT, 3.5)
    evidence = fold(state.evidence, Block(40, 800, 1, 2, 0, 3, share=0.05), ROLLOUT.analysis)
    state = command(RolloutState(**{**vars(state), "evidence": evidence}), "pause", 9.0, by="ann", reason="lunch")
    assert RolloutState.from_json(json.loads(json.dumps(state.to_json()))) == state


@pytest.mark.parametrize("phase", Phase)
def test_three_phases_end_a_rollout(phase: Phase) -> None:
    assert phase.ended == (phase.value in ("COMPLETED", "ROLLED_BACK", "ABORTED"))
