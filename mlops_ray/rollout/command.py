"""What a person may do to a rollout."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Literal

from mlops_ray.errors import RolloutError
from mlops_ray.rollout.phase import Phase
from mlops_ray.rollout.state import RolloutState, moved

__all__ = ["LEGAL_ACTIONS", "Action", "command"]

Action = Literal["promote", "abort", "rollback", "resume", "pause", "reject"]

_GIVE_UP: tuple[Action, ...] = ("abort", "rollback", "reject")

LEGAL_ACTIONS: Mapping[Phase, tuple[Action, ...]] = {
    Phase.WAITING: _GIVE_UP,
    Phase.STARTING: ("promote", *_GIVE_UP),
    Phase.CANARY: ("promote", "pause", *_GIVE_UP),
    Phase.PAUSED: ("promote", "resume", *_GIVE_UP),
    Phase.PROMOTING: _GIVE_UP,
    Phase.ROLLING_BACK: (),
    Phase.COMPLETED: (),
    Phase.ROLLED_BACK: (),
    Phase.ABORTED: (),
}
"""What may be done in which phase. Approval is not an action: it is observed."""


def command(state: RolloutState, action: Action, now_s: float, *, by: str, reason: str) -> RolloutState:
    """The state after a person's decision.

    promote skips the rest of the analysis; abort, rollback and reject withdraw the version (from WAITING, where
    nothing is deployed, the rollout is ABORTED at once); pause holds the share, resume goes on with the step's clock
    set anew and the evidence kept.

    Raises:
        RolloutError: the action is not legal in this phase; the message lists those that are.
    """
    legal = LEGAL_ACTIONS[state.phase]
    if action not in legal:
        raise RolloutError(
            f"{action}: not possible while the rollout is {state.phase}; possible now: {', '.join(legal) or 'nothing'}"
        )
    because = f"{action} by {by}: {reason}" if reason else f"{action} by {by}"
    if action == "promote":
        return moved(state, Phase.PROMOTING, now_s, because, share=state.share)
    if action == "pause":
        paused = moved(state, Phase.PAUSED, now_s, because, share=state.share, mirror=state.mirror)
        return replace(paused, resume_to=state.phase)
    if action == "resume":
        to = state.resume_to or Phase.CANARY
        resumed = moved(state, to, now_s, because, share=state.share, mirror=state.mirror)
        return replace(resumed, step_since_s=now_s)
    return moved(state, Phase.ABORTED if state.phase is Phase.WAITING else Phase.ROLLING_BACK, now_s, because)
