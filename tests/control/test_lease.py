"""Leases and fencing on both databases: two loops at once, a paused one that comes back."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import pytest

from mlops_ray.control.lease import CONTROL_LEASE, FencedStore, Lease, new_owner
from mlops_ray.control.memory_jobs import MemoryJobs
from mlops_ray.control.operations import register
from mlops_ray.control.retraining import Retraining, submission_id_of
from mlops_ray.errors import ConflictError
from mlops_ray.store import AlertRecord, Event, Store
from tests.control.world import toy_spec
from tests.store.conftest import postgresql_socket, store, store_url

__all__ = ["postgresql_socket", "store", "store_url"]  # fixtures: every test runs on SQLite and on PostgreSQL

SPEC = toy_spec(retrain={"triggers": ["drift"]})


@dataclass
class Contender:
    """A control loop with a clock that a test moves."""

    url: str
    name: str
    now_s: float = 1000.0
    jobs: MemoryJobs = field(default_factory=MemoryJobs)

    def __post_init__(self) -> None:
        self.lease = Lease(Store(self.url), clock=lambda: self.now_s, owner=f"elsewhere/1/{self.name}", lasts_s=15.0)
        self.store = FencedStore(self.url, self.lease)
        self.retraining = Retraining(self.store, self.jobs, clock=lambda: self.now_s)

    def close(self) -> None:
        self.lease._store.close()
        self.store.close()


@pytest.fixture
def contenders(store: Store) -> Iterator[tuple[Contender, Contender]]:
    first, second = Contender(store.url, "first"), Contender(store.url, "second")
    yield first, second
    first.close()
    second.close()


def drifted(store: Store, name: str) -> None:
    register(store, SPEC, actor="test", now_s=0.0)
    alert = AlertRecord(name, "toy", 1, "drift", "warning", "a drifted", ("a",), {}, "open", 0.0, 0.0)
    with store.change(Event("alert.test", name, {}, "test", 0.0)) as change:
        change.put_alert(alert)


def test_one_of_two_has_it_until_its_time_runs_out(store: Store, contenders: tuple[Contender, Contender]) -> None:
    first, second = contenders
    assert first.lease.renew()
    assert not second.lease.renew()
    second.now_s += 15.1
    assert second.lease.renew()
    assert (first.lease.epoch, second.lease.epoch) == (1, 2)
    assert [e.payload["epoch"] for e in store.events(kind="lease.taken")] == [1, 2]


def test_renewing_is_no_news_and_keeps_the_epoch(store: Store, contenders: tuple[Contender, Contender]) -> None:
    first, second = contenders
    for _ in range(5):
        assert first.lease.renew()
        first.now_s += 10
        second.now_s += 10
        assert not second.lease.renew()
    assert first.lease.epoch == 1
    assert len(store.events()) == 1
    assert store.verify().verified


def test_a_paused_loop_that_comes_back_changes_nothing(store: Store, contenders: tuple[Contender, Contender]) -> None:
    first, second = contenders
    drifted(store, "a")
    assert first.lease.renew()
    second.now_s += 20
    assert second.lease.renew()
    # The first one sleeps through it: by its own clock the lease is still its.
    assert first.lease.held
    with pytest.raises(ConflictError, match="epoch 1 and the lease with elsewhere/1/second with epoch 2"):
        first.retraining.tick(SPEC)
    assert store.triggers() == []
    assert first.jobs.started == []
    second.retraining.tick(SPEC)
    assert second.jobs.started == [submission_id_of("a-retrain")]
    assert store.verify().verified


def test_paused_between_its_look_and_its_write_it_writes_nothing(
    store: Store, contenders: tuple[Contender, Contender]
) -> None:
    first, second = contenders
    assert first.lease.renew()
    with pytest.raises(ConflictError, match="newest epoch"):  # noqa: PT012 - what happens in between is the point
        found = first.store.lease(CONTROL_LEASE)
        assert found is not None
        second.now_s += 20
        assert second.lease.renew()
        with first.store.change(Event("toy.changed", "toy", {}, "first", 0.0)) as change:
            change.skip()
    assert [e.kind for e in store.events()] == ["lease.taken", "lease.taken"]


def test_without_the_lease_nothing_is_written_at_all(store: Store, contenders: tuple[Contender, Contender]) -> None:
    first, _ = contenders
    drifted(store, "a")
    with pytest.raises(ConflictError, match="nobody"):
        first.retraining.tick(SPEC)
    assert store.triggers() == []


def test_of_many_that_ask_at_once_one_gets_it(store: Store) -> None:
    def take(name: int) -> str:
        own = Store(store.url)
        record = own.take_lease("control", f"elsewhere/1/{name}", now_s=1000.0, lasts_s=15.0)
        own.close()
        return record.owner

    with ThreadPoolExecutor(8) as pool:
        owners = set(pool.map(take, range(8)))
    found = store.lease("control")
    assert found is not None
    assert owners == {found.owner}
    assert found.epoch == 1


def test_nobody_waits_for_a_dead_process_of_the_same_host(store: Store) -> None:
    dead = subprocess.Popen([sys.executable, "-c", "pass"])
    dead.wait()
    first = Lease(store, clock=lambda: 1000.0, owner=f"{socket.gethostname()}/{dead.pid}/x")
    second = Lease(store, clock=lambda: 1000.0, owner=new_owner())
    assert first.renew()
    assert second.renew()
    assert second.epoch == 2
    assert f"/{os.getpid()}/" in second.owner


def test_an_older_epoch_is_never_written_over_a_newer_one(store: Store) -> None:
    old = store.take_lease("control", "elsewhere/1/a", now_s=0.0, lasts_s=1.0)
    store.take_lease("control", "elsewhere/1/b", now_s=10.0, lasts_s=1.0)
    with pytest.raises(ConflictError, match="expected epoch 2 or a later one"), store.bookkeeping() as change:
        change.put_lease(old)
