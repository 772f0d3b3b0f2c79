"""Hosting without a cluster: applications come up look by look, and replicas hold the routes pushed to them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from mlops_ray.serve.applied import Applied
from mlops_ray.serve.hosting import AppStatus
from mlops_ray.serve.versions import app_name
from mlops_ray.spec import ModelSpec
from mlops_ray.store import RouteRecord

__all__ = ["MemoryHosting"]


@dataclass(frozen=True)
class _App:
    state: Literal["opening", "ready", "failed", "closing"]
    front_of: str | None
    front_digest: str = ""
    looks: int = 0
    message: str = ""


@dataclass
class MemoryHosting:
    """See `Hosting`. What goes wrong is said by its fields, which may be changed at any time."""

    routes: Callable[[str], RouteRecord | None]
    """Where a replica that starts reads the route of its model: the store."""
    looks: int = 2
    """Calls of `statuses` until an application that was opened is ready."""
    replicas: int = 2
    """Champion replicas of each model."""
    cannot_start: dict[str, str] = field(default_factory=dict)
    """Applications that never come up, and what they say; an empty text is no failure, only never being ready."""
    cannot_load: set[int] = field(default_factory=set)
    """Versions that champion replicas cannot load."""
    unhealthy: dict[str, str] = field(default_factory=dict)
    """Applications of which a replica has died, and what they say."""
    died: dict[str, int] = field(default_factory=dict)
    """Applications of which replicas have died, and how many."""
    swaps: bool = True
    """Whether champion replicas load a new champion beside the one they hold."""
    unreachable: bool = False
    """Whether pushed routes are lost."""
    opened: list[str] = field(default_factory=list)
    """Every application opened so far, in order."""
    renewed: list[str] = field(default_factory=list)
    """Every front door whose replicas were replaced so far, in order."""
    _apps: dict[str, _App] = field(default_factory=dict)
    _held: dict[str, list[RouteRecord]] = field(default_factory=dict)
    _digests: dict[str, str] = field(default_factory=dict)

    def statuses(self) -> Mapping[str, AppStatus]:
        """See `Hosting.statuses`; time goes on by one look."""
        closing = [name for name, app in self._apps.items() if app.state == "closing"]
        for name in closing:
            del self._apps[name]
        self._apps = {name: self._later(name, app) for name, app in self._apps.items()}
        return {
            name: AppStatus(
                ready=app.state == "ready" and name not in self.unhealthy,
                failed=app.message if app.state == "failed" else None,
                unhealthy=self.unhealthy.get(name),
            )
            for name, app in self._apps.items()
        }

    def open_front(self, spec: ModelSpec) -> None:
        """See `Hosting.open_front`."""
        self.opened.append(spec.name)
        self._apps[spec.name] = _App("opening", spec.name, spec.front_digest)

    def open_version(self, spec: ModelSpec, version: int) -> None:
        """See `Hosting.open_version`."""
        self.opened.append(app_name(spec.name, version))
        self._apps[app_name(spec.name, version)] = _App("opening", None)

    def renew_front(self, spec: ModelSpec) -> None:
        """See `Hosting.renew_front`; the replicas there are go on until the new ones are up."""
        self.renewed.append(spec.name)
        self._apps[spec.name] = _App("opening", spec.name, spec.front_digest)

    def deaths(self, app: str) -> int:
        """See `Hosting.deaths`."""
        return self.died.get(app, 0)

    def close(self, app: str) -> None:
        """See `Hosting.close`; the application is seen once more while it goes."""
        if app in self._apps:
            self._apps[app] = replace(self._apps[app], state="closing")
            self._held.pop(app, None)
            self._digests.pop(app, None)

    def push(self, route: RouteRecord) -> list[Applied]:
        """See `Hosting.push`; nothing when one replica could not take it over, as on a cluster."""
        held = self._held.get(route.model)
        if held is None or self.unreachable or route.champion in self.cannot_load:
            return []
        held[:] = [route if self._takes_over(known, route) else known for known in held]
        return self.applied(route.model)

    def applied(self, model: str) -> list[Applied]:
        """What each champion replica of a model holds."""
        return [
            Applied(route.epoch, route.champion, route.canary, route.share, route.mirror, self._digests[model])
            for route in self._held.get(model, [])
            if route.champion is not None
        ]

    def fail(self, app: str, message: str) -> None:
        """Let a running application fail."""
        self._apps[app] = replace(self._apps[app], state="failed", message=message)

    def _takes_over(self, known: RouteRecord, route: RouteRecord) -> bool:
        return route.epoch > known.epoch and (self.swaps or route.champion == known.champion)

    def _later(self, name: str, app: _App) -> _App:
        if app.state != "opening":
            return app
        if name in self.cannot_start:
            message = self.cannot_start[name]
            return replace(app, state="failed", message=message) if message else app
        if app.looks + 1 < self.looks:
            return replace(app, looks=app.looks + 1)
        return self._front_up(app, app.front_of) if app.front_of is not None else replace(app, state="ready")

    def _front_up(self, app: _App, model: str) -> _App:
        route = self.routes(model)
        if route is None or route.champion is None:
            return replace(app, state="failed", message=f"model {model!r} has no champion to open a front door with")
        if route.champion in self.cannot_load:
            return replace(app, state="failed", message=f"version {route.champion} cannot be loaded")
        self._held[model] = [route] * self.replicas
        self._digests[model] = app.front_digest
        return replace(app, state="ready")
