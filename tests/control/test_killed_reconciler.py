"""The control actor killed before and after every single thing it does to the store or the cluster."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from mlops_ray.control.reconciler import Reconciler
from mlops_ray.rollout import Phase
from mlops_ray.serve import Applied, AppStatus, app_name
from mlops_ray.spec import ModelSpec
from mlops_ray.store import RouteRecord
from tests.control.fused import FusedStore, Killed
from tests.control.world import WORSE, World, toy_spec


@dataclass
class Fuse:
    """Kills at the `at`-th of the points between which something is done; never at 0."""

    at: int
    points: int = 0

    def burn(self) -> None:
        """One point is reached."""
        self.points += 1
        if self.points == self.at:
            raise Killed


class FusedHosting:
    """Hosting whose callers may be killed before and after a call."""

    def __init__(self, world: World, fuse: Fuse) -> None:
        self._hosting = world.hosting
        self._fuse = fuse

    def statuses(self) -> Mapping[str, AppStatus]:
        return self._hosting.statuses()

    def open_front(self, spec: ModelSpec) -> None:
        self._fuse.burn()
        self._hosting.open_front(spec)
        self._fuse.burn()

    def open_version(self, spec: ModelSpec, version: int) -> None:
        self._fuse.burn()
        self._hosting.open_version(spec, version)
        self._fuse.burn()

    def renew_front(self, spec: ModelSpec) -> None:
        self._fuse.burn()
        self._hosting.renew_front(spec)
        self._fuse.burn()

    def deaths(self, app: str) -> int:
        return self._hosting.deaths(app)

    def close(self, app: str) -> None:
        self._fuse.burn()
        self._hosting.close(app)
        self._fuse.burn()

    def push(self, route: RouteRecord) -> list[Applied]:
        self._fuse.burn()
        applied = self._hosting.push(route)
        self._fuse.burn()
        return applied


def succeeds(world: World) -> None:
    """Version 2 takes over from version 1."""


def is_worse(world: World) -> None:
    """Version 2 fails in its canary."""
    world.traffic = WORSE


def cannot_start(world: World) -> None:
    """Version 2 does not come up."""
    world.hosting.cannot_start[app_name("toy", 2)] = "out of memory"


def cannot_load(world: World) -> None:
    """Version 2 is promoted, and champion replicas cannot load it."""
    world.hosting.cannot_load.add(2)
    world.spec = toy_spec(rollout={"steps": [{"share": 0.5, "min_s": 1, "max_s": 30}], "ready_timeout_s": 4})


STORIES = [succeeds, is_worse, cannot_start, cannot_load]


def told(folder: Path, story: Callable[[World], None], fuse: Fuse) -> World:
    """Deliver 1, then 2 as the story says, in a world whose control actor dies when the fuse blows."""
    folder.mkdir()
    world = World(folder)

    def new_reconciler() -> Reconciler:
        store = FusedStore(world.store.url, fuse.burn)
        return Reconciler(store, FusedHosting(world, fuse), world.sources, clock=lambda: world.now_s)

    def tick() -> None:
        try:
            world.tick()
        except Killed:
            world.reconciler = new_reconciler()

    world.reconciler = new_reconciler()
    for number in (1, 2):
        if number == 2:
            story(world)
        rollout = world.deploy(number)
        while not Phase(world.store.rollout(rollout.id).phase).ended:
            assert world.now_s < 2000, f"version {number} is {world.store.rollout(rollout.id).phase} for ever"
            tick()
    for _ in range(8):
        tick()
    return world


def outcome(world: World) -> dict[str, Any]:
    """All that has to be the same however often the actor was killed."""
    return {
        "route": (world.route.champion, world.route.canary, world.route.share, world.route.previous),
        "stages": [v.stage for v in world.store.model_versions("toy")],
        "rollouts": [r.phase for r in world.store.rollouts("toy")],
        "replicas": [(a.champion, a.canary, a.share) for a in world.hosting.applied("toy")],
        "applications": world.apps(),
        "promotions": world.kinds().count("rollout.completed"),
        "withdrawals": world.kinds().count("rollout.rolled_back"),
        "verified": world.store.verify().verified,
    }


@pytest.mark.parametrize("story", STORIES)
def test_killed_at_any_line_the_story_ends_alike(tmp_path: Path, story: Callable[[World], None]) -> None:
    never = Fuse(at=0)
    expected = outcome(told(tmp_path / "alive", story, never))
    assert expected["promotions"] == (2 if story is succeeds else 1)
    for at in range(1, never.points + 1):
        world = told(tmp_path / str(at), story, Fuse(at))
        assert outcome(world) == expected, f"killed at point {at} of {never.points}"
        world.store.close()
