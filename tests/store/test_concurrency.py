"""Several processes at one store, on each database; one of them killed in the middle."""

import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import pytest

from mlops_ray.errors import ConflictError
from mlops_ray.store import ModelRecord, Store
from tests.store.samples import event, route, trigger

PROCESSES, CHANGES = 4, 25


def create(url: str) -> bool:
    store = Store(url)
    store.create()
    verified = store.verify().verified
    store.close()
    return verified


def append(url: str, worker: int) -> int:
    store = Store(url)
    for n in range(CHANGES):
        with store.change(event(subject=f"worker {worker}", payload={"n": n})) as change:
            change.put_model(ModelRecord(f"model {worker}", "{}", float(n)))
    store.close()
    return CHANGES


def count_up(url: str, _worker: int) -> int:
    """Move the route's epoch `CHANGES` times, trying again where another process was first."""
    store, done = Store(url), 0
    while done < CHANGES:
        found = store.route("churn")
        try:
            with store.change(event()) as change:
                change.put_route(route(epoch=found.epoch + 1 if found else 1))
            done += 1
        except ConflictError:
            continue
    store.close()
    return done


def insert_once(url: str, _worker: int) -> int:
    store = Store(url)
    with store.change(event(kind="trigger.inserted")) as change:
        inserted = change.insert_trigger(trigger())
        if not inserted:
            change.skip()
    store.close()
    return int(inserted)


@pytest.fixture(scope="module")
def processes() -> Iterator[ProcessPoolExecutor]:
    """Fresh processes, as Ray's are."""
    with ProcessPoolExecutor(PROCESSES, mp_context=get_context("spawn")) as pool:
        yield pool


def test_several_processes_may_create_at_once(store_url: str, processes: ProcessPoolExecutor) -> None:
    assert all(processes.map(create, [store_url] * 2 * PROCESSES))


def test_the_chain_of_several_writers_verifies_and_misses_nothing(store: Store, processes: ProcessPoolExecutor) -> None:
    written = sum(processes.map(append, [store.url] * PROCESSES, range(PROCESSES)))
    report = store.verify()
    assert (report.events, report.verified) == (written, True)
    for worker in range(PROCESSES):
        assert [e.payload["n"] for e in store.events(subject=f"worker {worker}")] == list(range(CHANGES))


def test_no_epoch_of_a_route_is_given_twice(store: Store, processes: ProcessPoolExecutor) -> None:
    written = sum(processes.map(count_up, [store.url] * PROCESSES, range(PROCESSES)))
    found = store.route("churn")
    assert found is not None
    assert found.epoch == store.verify().events == written


def test_one_cause_is_inserted_by_one_process(store: Store, processes: ProcessPoolExecutor) -> None:
    assert sum(processes.map(insert_once, [store.url] * 2 * PROCESSES, range(2 * PROCESSES))) == 1
    assert len(store.events(kind="trigger.inserted")) == 1


DIES_IN_A_CHANGE = """
import sys, time
from mlops_ray.store import ModelRecord, Store
from tests.store.samples import event
with Store(sys.argv[1]).change(event(kind="never.committed")) as change:
    change.put_model(ModelRecord("half", "{}", 1.0))
    print("written", flush=True)
    time.sleep(60)
"""


def test_a_process_killed_in_a_change_leaves_nothing_and_stops_nobody(store: Store) -> None:
    with store.change(event(kind="before")):
        pass
    with subprocess.Popen([sys.executable, "-c", DIES_IN_A_CHANGE, store.url], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"written\n"
        process.kill()
    with store.change(event(kind="after")):
        pass
    assert [e.kind for e in store.events()] == ["before", "after"]
    assert store.models() == []
    assert store.verify().verified
