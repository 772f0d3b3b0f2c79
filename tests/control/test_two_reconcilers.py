"""Two control loops drive one rollout: the one without the newest epoch changes nothing, whenever it wakes up."""

from pathlib import Path

import pytest

from mlops_ray.control.lease import FencedStore, Lease
from mlops_ray.control.reconciler import Reconciler
from mlops_ray.rollout import Phase
from tests.control.world import ENDED, World


def contender(world: World, name: str) -> tuple[Lease, Reconciler]:
    lease = Lease(world.store, clock=lambda: world.now_s, owner=f"elsewhere/1/{name}", lasts_s=5.0)
    store = FencedStore(world.store.url, lease)
    return lease, Reconciler(store, world.hosting, world.sources, clock=lambda: world.now_s)


@pytest.mark.parametrize("sleeps_at", range(1, 14))
def test_a_takeover_at_any_second_ends_in_one_promotion(tmp_path: Path, sleeps_at: int) -> None:
    world = World(tmp_path).champion(1)
    old_lease, old = contender(world, "old")
    new_lease, new = contender(world, "new")
    assert old_lease.renew()
    rollout = world.deploy(2)
    for second in range(1, 60):
        world.now_s += 1.0
        world.serve()
        if second < sleeps_at:
            old_lease.renew()
        # The old one sleeps from then on, wakes up now and then, and believes that it is still the one.
        if second < sleeps_at or second % 2 == 0:
            old.tick()
        if new_lease.renew():
            new.tick()
        if world.store.rollout(rollout.id).phase in ENDED:
            break
    assert world.store.rollout(rollout.id).phase == Phase.COMPLETED
    assert world.route.champion == 2
    assert world.kinds().count("rollout.completed") == 2  # of version 1, and of version 2
    assert [e.payload["epoch"] for e in world.store.events(kind="lease.taken")] in ([1], [1, 2])
    assert world.store.verify().verified


def test_the_old_one_writes_nothing_after_the_takeover(tmp_path: Path) -> None:
    world = World(tmp_path).champion(1)
    old_lease, old = contender(world, "old")
    new_lease, _ = contender(world, "new")
    assert old_lease.renew()
    world.deploy(2)
    world.now_s += 6.0
    assert new_lease.renew()
    before = len(world.store.events())
    for _ in range(10):
        world.now_s += 1.0
        world.serve()
        old.tick()
    assert len(world.store.events()) == before
