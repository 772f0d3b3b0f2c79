"""Why a version under delivery cannot run: what Serve says, replicas that die again and again, time that ran out."""

from collections.abc import Callable

from mlops_ray.rollout import Phase, RolloutState
from mlops_ray.serve import AppStatus, Hosting, app_name
from mlops_ray.spec import ModelSpec
from mlops_ray.store import RolloutRecord

__all__ = ["CRASH_LOOP_DEATHS", "Failures"]

CRASH_LOOP_DEATHS = 3
"""Replicas of one version that died: Serve starts another each time, and would for ever."""

_UNHEALTHY_S = 30.0
_COUNT_EVERY_S = 2.0


class Failures:
    """Remembers, for as long as the process lives, since when applications are unhealthy; nothing hangs on it."""

    def __init__(self, hosting: Hosting, *, clock: Callable[[], float]) -> None:
        self._hosting = hosting
        self._clock = clock
        self._unhealthy_since: dict[str, float] = {}
        self._deaths: dict[str, tuple[float, int]] = {}

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
        now_s = self._clock()
        counted_s, deaths = self._deaths.get(rollout.id, (float("-inf"), 0))
        if now_s - counted_s >= _COUNT_EVERY_S:
            deaths = self._hosting.deaths(app_name(rollout.model, rollout.version))
            self._deaths[rollout.id] = (now_s, deaths)
        if deaths < CRASH_LOOP_DEATHS:
            return None
        return f"crash loop: {deaths} of its replicas died (out of memory, killed, or hung and replaced)"

    def _overdue(self, spec: ModelSpec, state: RolloutState) -> str | None:
        """Replicas that cannot load the version keep the champion they have, and would for ever."""
        waits_s = spec.rollout.ready_timeout_s
        if state.phase is not Phase.PROMOTING or self._clock() - state.phase_since_s <= waits_s:
            return None
        return f"not every champion replica took it over within {waits_s:g} s"
