"""Why a version under delivery cannot run: what Serve says, replicas that die again and again, time that ran out."""

from collections.abc import Callable

from mlops_ray.rollout import Phase, RolloutState
from mlops_ray.serve import AppStatus, Hosting, app_name
from mlops_ray.spec import ModelSpec
from mlops_ray.store import RolloutRecord

__all__ = ["CRASH_LOOP_DEATHS", "CRASH_LOOP_S", "Failures"]

CRASH_LOOP_DEATHS = 3
CRASH_LOOP_S = 600.0
"""So many replicas of one version that died within so many seconds: Serve starts another each time, for ever."""

_UNHEALTHY_S = 30.0
_COUNT_EVERY_S = 2.0


class Failures:
    """Remembers, for as long as the process lives, since when applications are unhealthy; nothing hangs on it."""

    def __init__(self, hosting: Hosting, *, clock: Callable[[], float]) -> None:
        self._hosting = hosting
        self._clock = clock
        self._unhealthy_since: dict[str, float] = {}
        self._deaths: dict[str, list[tuple[float, int]]] = {}

    def of(self, spec: ModelSpec, rollout: RolloutRecord, state: RolloutState, app: AppStatus | None) -> str | None:
        """Why the version of `rollout`, hosted by `app`, has failed; None while it may still come right."""
        return self._said(rollout, app) or self._crash_loop(rollout, app) or self._overdue(spec, state)

    def forget(self, rollout: RolloutRecord) -> None:
        """The rollout has ended."""
        self._unhealthy_since.pop(rollout.id, None)
        self._deaths.pop(rollout.id, None)

    def _said(self, rollout: RolloutRecord, app: AppStatus | None) -> str | None:
        """A replica that died is no reason yet, Serve starts another."""
        if app is None or app.unhealthy is None:
            self._unhealthy_since.pop(rollout.id, None)
            return app.failed if app is not None else None
        since_s = self._unhealthy_since.setdefault(rollout.id, self._clock())
        return app.unhealthy if self._clock() - since_s >= _UNHEALTHY_S else None

    def _crash_loop(self, rollout: RolloutRecord, app: AppStatus | None) -> str | None:
        if app is None or rollout.previous is None:
            return None  # the first version is the front door, whose replicas people may replace as they like
        now_s, counted = self._clock(), self._deaths.setdefault(rollout.id, [(float("-inf"), 0)])
        if now_s - counted[-1][0] >= _COUNT_EVERY_S:
            deaths = self._hosting.deaths(app_name(rollout.model, rollout.version))
            # The last look before the window says how many had died when it began.
            while len(counted) > 1 and counted[1][0] <= now_s - CRASH_LOOP_S:
                del counted[0]
            counted.append((now_s, deaths))
        died = counted[-1][1] - counted[0][1]
        if died < CRASH_LOOP_DEATHS:
            return None
        return f"crash loop: {died} of its replicas died within minutes (out of memory, killed, or hung and replaced)"

    def _overdue(self, spec: ModelSpec, state: RolloutState) -> str | None:
        """Replicas that cannot load the version keep the champion they have, and would for ever."""
        waits_s = spec.rollout.ready_timeout_s
        if state.phase is not Phase.PROMOTING or self._clock() - state.phase_since_s <= waits_s:
            return None
        return f"not every champion replica took it over within {waits_s:g} s"
