"""`advance`: each transition as a literal case, and what no sequence of observations can break."""

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_ray.rollout import (
    Block,
    Evidence,
    Moments,
    Observation,
    Phase,
    RolloutState,
    Stratum,
    advance,
    assess,
    begin,
    command,
    fold,
    with_outcomes,
)
from mlops_ray.spec import AB, Analysis, Bake, Outcome, Rollout, Shadow, Step
from mlops_ray.verdict import Verdict
from tests.rollout.strategies import OBSERVATIONS, blocks

STEPS = (
    Step(share=0.05, min_s=60, max_s=600, min_requests=100),
    Step(share=0.5, min_s=60, max_s=600, min_requests=100),
)
ROLLOUT = Rollout(steps=STEPS, ready_timeout_s=300)
GOOD = Block(300, 3000, 0, 0, 0, 0, share=0.05)
BAD = Block(100, 1000, 50, 10, 0, 0, share=0.05)
SPARSE = Block(20, 400, 0, 0, 0, 0, share=0.05)


def state_in(phase: Phase, *, step: int = 0, seen: Block | None = None, **changes: Any) -> RolloutState:
    """A rollout that entered `phase` at second 1000 and saw one block since."""
    evidence = Evidence.none(ROLLOUT.analysis)
    if seen is not None:
        evidence = fold(evidence, seen, ROLLOUT.analysis)
    state = begin(1000.0, analysis=ROLLOUT.analysis, needs_approval=False)
    share = STEPS[step].share if phase in (Phase.CANARY, Phase.PAUSED, Phase.PROMOTING) else 0.0
    return replace(state, phase=phase, step=step, share=share, evidence=evidence, **changes)


def test_waiting_goes_on_when_approved() -> None:
    waiting = state_in(Phase.WAITING)
    assert advance(waiting, Observation(), ROLLOUT, 9e9) is waiting
    assert advance(waiting, Observation(approved=True), ROLLOUT, 1001.0).phase is Phase.STARTING


def test_a_ready_canary_gets_the_first_share() -> None:
    state = advance(state_in(Phase.STARTING), Observation(canary_ready=True), ROLLOUT, 1010.0)
    assert (state.phase, state.step, state.share, state.step_since_s) == (Phase.CANARY, 0, 0.05, 1010.0)


def test_a_canary_that_is_not_ready_in_time_is_rolled_back() -> None:
    starting = state_in(Phase.STARTING)
    assert advance(starting, Observation(), ROLLOUT, 1300.0) is starting
    late = advance(starting, Observation(), ROLLOUT, 1300.1)
    assert (late.phase, late.reason) == (Phase.ROLLING_BACK, "the canary was not ready within 300 s")


@pytest.mark.parametrize("phase", [Phase.STARTING, Phase.CANARY, Phase.PAUSED, Phase.PROMOTING])
def test_a_version_that_cannot_run_is_rolled_back_with_share_0(phase: Phase) -> None:
    failed = advance(state_in(phase), Observation(canary_failed="no such module"), ROLLOUT, 1001.0)
    assert (failed.phase, failed.share) == (Phase.ROLLING_BACK, 0.0)
    assert "no such module" in failed.reason


@pytest.mark.parametrize("phase", [Phase.CANARY, Phase.PAUSED])
@pytest.mark.parametrize("step", [0, 1])
def test_a_failing_canary_is_rolled_back_at_once_at_any_step(phase: Phase, step: int) -> None:
    failed = advance(state_in(phase, step=step, seen=BAD), Observation(), ROLLOUT, 1000.5)
    assert (failed.phase, failed.share) == (Phase.ROLLING_BACK, 0.0)
    assert "50 of 100 on the canary" in failed.reason


def test_a_step_ends_when_time_and_requests_are_there() -> None:
    enough = state_in(Phase.CANARY, seen=GOOD)
    assert advance(enough, Observation(), ROLLOUT, 1059.9) is enough
    following = advance(enough, Observation(), ROLLOUT, 1060.0)
    assert (following.phase, following.step, following.share) == (Phase.CANARY, 1, 0.5)
    assert (following.step_since_s, following.phase_since_s, following.step_requests) == (1060.0, 1000.0, 300)


def test_a_step_waits_for_requests_of_its_own() -> None:
    waiting = state_in(Phase.CANARY, seen=GOOD, step_requests=250)
    assert advance(waiting, Observation(), ROLLOUT, 1100.0) is waiting


def test_the_last_step_needs_a_pass_as_well() -> None:
    doubtful = Block(300, 300, 8, 7, 0, 0, share=0.5)
    state = state_in(Phase.CANARY, step=1, seen=doubtful)
    assert advance(state, Observation(), ROLLOUT, 1200.0) is state


def test_a_pass_at_the_last_step_promotes_with_the_share_kept() -> None:
    promoting = advance(state_in(Phase.CANARY, step=1, seen=GOOD), Observation(), ROLLOUT, 1060.0)
    assert (promoting.phase, promoting.share) == (Phase.PROMOTING, 0.5)
    assert "fine" in promoting.reason


@pytest.mark.parametrize(("step", "share"), [(0, 0.05), (1, 0.5)])
def test_a_step_without_decision_pauses_with_its_share_and_says_what_is_missing(step: int, share: float) -> None:
    paused = advance(state_in(Phase.CANARY, step=step, seen=SPARSE), Observation(), ROLLOUT, 1600.1)
    assert (paused.phase, paused.share, paused.resume_to) == (Phase.PAUSED, share, Phase.CANARY)
    assert "20 of 100 canary requests seen" in paused.reason
    assert "errors of 14.94% and more would probably have been found" in paused.reason


def test_a_step_without_decision_is_given_up_when_the_spec_says_so() -> None:
    rollout = Rollout(steps=STEPS, analysis=Analysis(on_inconclusive="abort"))
    assert advance(state_in(Phase.CANARY), Observation(), rollout, 1600.1).phase is Phase.ROLLING_BACK


def test_a_paused_rollout_stays_so_whatever_good_it_sees() -> None:
    paused = state_in(Phase.PAUSED, step=1, seen=GOOD)
    assert advance(paused, Observation(approved=True, canary_ready=True), ROLLOUT, 9e9) is paused


def test_promoting_ends_when_every_champion_replica_holds_the_version() -> None:
    promoting = state_in(Phase.PROMOTING, step=1)
    assert advance(promoting, Observation(), ROLLOUT, 9e9) is promoting
    done = advance(promoting, Observation(promoted=True), ROLLOUT, 1001.0)
    assert (done.phase, done.share) == (Phase.COMPLETED, 0.0)


def test_rolling_back_ends_when_share_0_is_everywhere_and_keeps_its_cause() -> None:
    rolling = state_in(Phase.ROLLING_BACK, reason="errors: worse")
    assert advance(rolling, Observation(), ROLLOUT, 9e9) is rolling
    done = advance(rolling, Observation(withdrawn=True), ROLLOUT, 1001.0)
    assert (done.phase, done.reason) == (Phase.ROLLED_BACK, "errors: worse")


@pytest.mark.parametrize("phase", [phase for phase in Phase if phase.ended])
@given(observation=OBSERVATIONS, now_s=st.floats(0, 1e9))
def test_an_ended_rollout_never_changes(phase: Phase, observation: Observation, now_s: float) -> None:
    ended = state_in(phase, seen=BAD)
    assert advance(ended, observation, ROLLOUT, now_s) is ended


SHADOW = Rollout(strategy="shadow", shadow=Shadow(mirror=0.3, min_s=60, max_s=600, min_requests=100))
COPIES = Block(300, 1000, 0, 0, 0, 0, share=0.0)


def entered(rollout: Rollout, seen: Block | None = None) -> RolloutState:
    """A rollout that entered its first step at second 1000 and saw one block since."""
    starting = begin(1000.0, analysis=rollout.analysis, needs_approval=False)
    state = advance(starting, Observation(canary_ready=True), rollout, 1000.0)
    return state if seen is None else replace(state, evidence=fold(state.evidence, seen, rollout.analysis))


def test_all_at_once_asks_for_no_evidence() -> None:
    promoting = entered(Rollout(strategy="all-at-once"))
    assert (promoting.phase, promoting.share, promoting.mirror) == (Phase.PROMOTING, 0.0, 0.0)


def test_a_shadow_has_copies_and_no_share() -> None:
    state = entered(SHADOW)
    assert (state.phase, state.share, state.mirror) == (Phase.CANARY, 0.0, 0.3)
    assert (state.history[-1].share, state.history[-1].mirror) == (0.0, 0.3)


def test_a_shadow_that_passes_asks_a_person_to_promote_it_and_goes_on_with_its_copies() -> None:
    state = entered(SHADOW, COPIES)
    assert advance(state, Observation(), SHADOW, 1059.0) is state
    paused = advance(state, Observation(), SHADOW, 1060.0)
    assert (paused.phase, paused.mirror, paused.resume_to) == (Phase.PAUSED, 0.3, Phase.CANARY)
    assert paused.reason.startswith("the shadow is fine; promote it, or abort")
    promoted = command(paused, "promote", 1061.0, by="ann", reason="")
    assert (promoted.phase, promoted.share, promoted.mirror) == (Phase.PROMOTING, 0.0, 0.0)


def test_a_shadow_is_promoted_by_itself_when_the_spec_says_so() -> None:
    rollout = Rollout(strategy="shadow", shadow=Shadow(min_s=60, max_s=600, min_requests=100, then="promote"))
    assert advance(entered(rollout, COPIES), Observation(), rollout, 1060.0).phase is Phase.PROMOTING


def test_a_shadow_that_fails_is_withdrawn_with_its_mirror() -> None:
    failed = advance(entered(SHADOW, Block(300, 1000, 30, 2, 0, 0, share=0.0)), Observation(), SHADOW, 1001.0)
    assert (failed.phase, failed.mirror) == (Phase.ROLLING_BACK, 0.0)


def test_a_resumed_shadow_keeps_its_mirror_and_gets_its_time_anew() -> None:
    paused = command(entered(SHADOW), "pause", 1500.0, by="ann", reason="")
    resumed = command(paused, "resume", 2000.0, by="ann", reason="")
    assert (paused.mirror, resumed.mirror, resumed.step_since_s) == (0.3, 0.3, 2000.0)
    assert advance(resumed, Observation(), SHADOW, 2600.0) is resumed
    assert advance(resumed, Observation(), SHADOW, 2600.1).phase is Phase.PAUSED


def test_a_canary_may_begin_with_copies_only() -> None:
    rollout = Rollout(steps=(Step(share=0.0, mirror=0.5), STEPS[0]))
    dark = entered(rollout, replace(COPIES, canary_requests=500))
    assert (dark.share, dark.mirror) == (0.0, 0.5)
    canary = advance(dark, Observation(), rollout, 1060.0)
    assert (canary.step, canary.share, canary.mirror) == (1, 0.05, 0.0)


def test_blue_green_meets_everybody_at_once_and_is_promoted_by_its_absolute_share() -> None:
    rollout = Rollout(strategy="blue-green", bake=Bake(min_s=60, max_s=600, min_requests=100))
    flipped = entered(rollout, Block(500, 0, 1, 0, 0, 0, share=1.0))
    assert flipped.share == 1.0
    promoting = advance(flipped, Observation(), rollout, 1060.0)
    assert (promoting.phase, promoting.share) == (Phase.PROMOTING, 1.0)


def test_blue_green_without_a_decision_says_which_errors_it_would_have_seen() -> None:
    rollout = Rollout(strategy="blue-green", bake=Bake(min_s=60, max_s=600, min_requests=100))
    paused = advance(entered(rollout, Block(200, 0, 4, 0, 0, 0, share=1.0)), Observation(), rollout, 1601.0)
    assert paused.phase is Phase.PAUSED
    assert "errors of 6.11% and more would probably have been found, fewer not" in paused.reason


def ab_after(canary: float, champion: float, *, units: int = 2000) -> tuple[RolloutState, Rollout]:
    """An AB test on who buys, with these shares of buyers."""
    bought = Outcome(name="bought", of="label", better="higher", max_harm=0.05)
    rollout = Rollout(strategy="ab", ab=AB(primary=bought, min_effect=0.05, min_s=60, max_s=600, min_requests=100))
    state = entered(rollout, Block(500, 500, 0, 0, 0, 0, share=0.5))
    sides = [Moments(units, share, units * share * (1 - share)) for share in (canary, champion)]
    return replace(state, evidence=with_outcomes(state.evidence, {"bought": (Stratum(1, *sides),)})), rollout


@pytest.mark.parametrize(
    ("canary", "phase"), [(0.3, Phase.PROMOTING), (0.2, Phase.CANARY), (0.1, Phase.ROLLING_BACK)], ids=str
)
def test_an_ab_test_ends_as_soon_as_its_primary_outcome_says_which_is_better(canary: float, phase: Phase) -> None:
    state, rollout = ab_after(canary, 0.2)
    assert advance(state, Observation(), rollout, 1060.0).phase is phase


def test_an_ab_test_without_a_decision_says_which_difference_it_would_have_seen() -> None:
    state, rollout = ab_after(0.2, 0.2)
    paused = advance(state, Observation(), rollout, 1601.0)
    assert paused.phase is Phase.PAUSED
    assert "bought: a harm of 0.0405 and more would probably have been found, a smaller one not" in paused.reason


FOLLOWING = {
    Phase.WAITING: {Phase.STARTING},
    Phase.STARTING: {Phase.CANARY, Phase.ROLLING_BACK},
    Phase.CANARY: {Phase.CANARY, Phase.PAUSED, Phase.PROMOTING, Phase.ROLLING_BACK},
    Phase.PAUSED: {Phase.ROLLING_BACK},
    Phase.PROMOTING: {Phase.COMPLETED, Phase.ROLLING_BACK},
    Phase.ROLLING_BACK: {Phase.ROLLED_BACK},
}


DARK = Rollout(steps=(Step(share=0.0, mirror=0.5, min_requests=10), *STEPS, Step(share=1.0, min_requests=10)))
SHARED = (Phase.CANARY, Phase.PAUSED, Phase.PROMOTING)
MIRRORED = (Phase.CANARY, Phase.PAUSED)


@given(
    st.sampled_from([ROLLOUT, DARK, SHADOW]),
    st.booleans(),
    st.lists(st.tuples(OBSERVATIONS, blocks(largest=300), st.floats(0, 400)), max_size=20),
)
def test_no_course_of_events_skips_a_step_or_promotes_without_a_pass(
    rollout: Rollout, needs_approval: bool, events: list[tuple[Observation, Block, float]]
) -> None:
    state, now_s = begin(0.0, analysis=rollout.analysis, needs_approval=needs_approval), 0.0
    for observation, block, passed_s in events:
        now_s += passed_s
        if state.phase is Phase.CANARY:
            state = replace(state, evidence=fold(state.evidence, block, rollout.analysis))
        before, state = state, advance(state, observation, rollout, now_s)
        if state is before:
            continue
        step = rollout.plan[state.step]
        assert state.phase in FOLLOWING[before.phase]
        assert 0 <= state.step - before.step <= 1
        assert state.phase is not Phase.PROMOTING or passed_at_the_last_step(before, rollout)
        assert state.history == (*before.history, state.history[-1])
        assert state.share == (step.share if state.phase in SHARED else 0.0)
        assert state.mirror == (step.mirror if state.phase in MIRRORED else 0.0)
        assert RolloutState.from_json(json.loads(json.dumps(state.to_json()))) == state


def passed_at_the_last_step(state: RolloutState, rollout: Rollout) -> bool:
    return state.step == len(rollout.plan) - 1 and assess(state.evidence, rollout).verdict is Verdict.PASS


@given(OBSERVATIONS, blocks(), st.floats(0, 1e4))
def test_advance_has_no_memory_of_its_own(observation: Observation, block: Block, now_s: float) -> None:
    state = state_in(Phase.CANARY, seen=block)
    first = advance(state, observation, ROLLOUT, now_s)
    assert advance(state, observation, ROLLOUT, now_s) == first
