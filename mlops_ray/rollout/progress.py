"""How a rollout moves on by itself: `advance`, pure, at most one transition a call, safe to call at any moment."""

from collections.abc import Callable, Mapping
from dataclasses import replace

from mlops_ray.rollout.assess import Assessment, assess
from mlops_ray.rollout.phase import Phase
from mlops_ray.rollout.sensitivity import smallest_effects
from mlops_ray.rollout.state import Observation, RolloutState, moved
from mlops_ray.spec import Rollout, Step
from mlops_ray.verdict import Verdict

__all__ = ["advance"]


def advance(state: RolloutState, observation: Observation, rollout: Rollout, now_s: float) -> RolloutState:
    """The next state, or `state` itself when there is nothing to do.

    Args:
        state: as stored, with the newest evidence folded in.
        observation: what the cluster looks like.
        rollout: strategy, time limits and analysis of the spec.
        now_s: seconds on the clock that `state` was made with.

    >>> from mlops_ray.rollout.state import begin
    >>> first = begin(0.0, analysis=Rollout().analysis, needs_approval=False)
    >>> canary = advance(first, Observation(canary_ready=True), Rollout(), 5.0)
    >>> canary.phase.value, canary.share, canary.reason
    ('CANARY', 0.05, 'the canary is ready; step 1 of 3 with share 0.05')
    """
    if state.phase.ended:
        return state
    return _FROM[state.phase](state, observation, rollout, now_s)


def _waiting(state: RolloutState, observation: Observation, rollout: Rollout, now_s: float) -> RolloutState:
    del rollout
    return moved(state, Phase.STARTING, now_s, "approved") if observation.approved else state


def _starting(state: RolloutState, observation: Observation, rollout: Rollout, now_s: float) -> RolloutState:
    if observation.canary_failed is not None:
        return _failed(state, observation.canary_failed, now_s)
    if observation.canary_ready and not rollout.plan:
        return moved(state, Phase.PROMOTING, now_s, f"the new version is ready; {rollout.strategy} needs no evidence")
    if observation.canary_ready:
        return _to_step(state, 0, rollout, now_s, because="the canary is ready")
    if now_s - state.phase_since_s > rollout.ready_timeout_s:
        reason = f"the canary was not ready within {rollout.ready_timeout_s:g} s"
        return moved(state, Phase.ROLLING_BACK, now_s, reason)
    return state


def _canary(state: RolloutState, observation: Observation, rollout: Rollout, now_s: float) -> RolloutState:
    if observation.canary_failed is not None:
        return _failed(state, observation.canary_failed, now_s)
    assessment = assess(state.evidence, rollout)
    if assessment.verdict is Verdict.FAIL:
        return moved(state, Phase.ROLLING_BACK, now_s, assessment.reason)
    last = state.step >= len(rollout.plan) - 1
    step = rollout.plan[min(state.step, len(rollout.plan) - 1)]
    missing = _missing(state, step, assessment if last else None, now_s)
    if missing is None and last:
        return _passed(state, assessment, rollout, now_s)
    if missing is None:
        because = f"{_requests(state):,} canary requests in {now_s - state.step_since_s:.0f} s and no sign of harm"
        return _to_step(state, state.step + 1, rollout, now_s, because=because)
    if now_s - state.step_since_s > step.max_s:
        reason = (
            f"step {state.step + 1} of {len(rollout.plan)} inconclusive after {step.max_s:g} s: {missing}; "
            f"{smallest_effects(state.evidence, assessment, rollout)}"
        )
        return _inconclusive(state, reason, rollout, now_s)
    return state


def _paused(state: RolloutState, observation: Observation, rollout: Rollout, now_s: float) -> RolloutState:
    if observation.canary_failed is not None:
        return _failed(state, observation.canary_failed, now_s)
    assessment = assess(state.evidence, rollout)
    if assessment.verdict is Verdict.FAIL:
        return moved(state, Phase.ROLLING_BACK, now_s, assessment.reason)
    return state


def _promoting(state: RolloutState, observation: Observation, rollout: Rollout, now_s: float) -> RolloutState:
    del rollout
    if observation.promoted:
        return moved(state, Phase.COMPLETED, now_s, "every champion replica holds the new version")
    if observation.canary_failed is not None:
        return _failed(state, observation.canary_failed, now_s)
    return state


def _rolling_back(state: RolloutState, observation: Observation, rollout: Rollout, now_s: float) -> RolloutState:
    del rollout
    # the cause of the rollback is what people ask for afterwards: it stays the reason of the last mark
    return moved(state, Phase.ROLLED_BACK, now_s, state.reason) if observation.withdrawn else state


_FROM: Mapping[Phase, Callable[[RolloutState, Observation, Rollout, float], RolloutState]] = {
    Phase.WAITING: _waiting,
    Phase.STARTING: _starting,
    Phase.CANARY: _canary,
    Phase.PAUSED: _paused,
    Phase.PROMOTING: _promoting,
    Phase.ROLLING_BACK: _rolling_back,
}


def _to_step(state: RolloutState, step: int, rollout: Rollout, now_s: float, *, because: str) -> RolloutState:
    entered = rollout.plan[step]
    mirror = f" and mirror {entered.mirror:g}" if entered.mirror else ""
    reason = f"{because}; step {step + 1} of {len(rollout.plan)} with share {entered.share:g}{mirror}"
    return moved(state, Phase.CANARY, now_s, reason, share=entered.share, mirror=entered.mirror, step=step)


def _failed(state: RolloutState, why: str, now_s: float) -> RolloutState:
    return moved(state, Phase.ROLLING_BACK, now_s, f"the new version failed: {why}")


def _passed(state: RolloutState, assessment: Assessment, rollout: Rollout, now_s: float) -> RolloutState:
    if rollout.strategy == "shadow" and rollout.shadow.then == "pause":
        return _pause(state, f"the shadow is fine; promote it, or abort: {assessment.reason}", now_s)
    return moved(state, Phase.PROMOTING, now_s, assessment.reason, share=state.share)


def _inconclusive(state: RolloutState, reason: str, rollout: Rollout, now_s: float) -> RolloutState:
    if rollout.analysis.on_inconclusive == "abort":
        return moved(state, Phase.ROLLING_BACK, now_s, reason)
    return _pause(state, reason, now_s)


def _pause(state: RolloutState, reason: str, now_s: float) -> RolloutState:
    paused = moved(state, Phase.PAUSED, now_s, reason, share=state.share, mirror=state.mirror)
    return replace(paused, resume_to=Phase.CANARY)


def _requests(state: RolloutState) -> int:
    return state.evidence.canary_requests - state.step_requests


def _missing(state: RolloutState, step: Step, needs_pass: Assessment | None, now_s: float) -> str | None:
    """What keeps the step from being over, or None; `needs_pass` is the assessment of a last step."""
    missing = []
    elapsed_s = now_s - state.step_since_s
    if elapsed_s < step.min_s:
        missing.append(f"{elapsed_s:.0f} of {step.min_s:g} s passed")
    if _requests(state) < step.min_requests:
        missing.append(f"{_requests(state):,} of {step.min_requests:,} canary requests seen")
    if needs_pass is not None and needs_pass.verdict is not Verdict.PASS:
        missing.append(needs_pass.reason)
    return ", ".join(missing) or None
