"""Ingests that are killed, and ingests that meet, as processes; readers look all the time."""

import threading
import time
from collections import Counter
from contextlib import closing
from functools import partial
from pathlib import Path
from random import Random
from urllib.parse import urlparse

import pytest

from mlops_ray.data import DatasetTable, find_leftovers, ingest, load_version, open_catalog, remove_leftovers
from mlops_ray.lake import Lake
from mlops_ray.spec import Workspace
from tests.data.batches import spec_of, table_of, write
from tests.data.ingesting import Ingesting

pytestmark = pytest.mark.slow
ROWS = 20  # of each file
KILLS = 20
READY = 3  # processes that wait for their turn, because to connect to Ray takes seconds
WHOLE = 3  # ingests that end by themselves, to know how long one takes


class Reader(threading.Thread):
    """Reads the latest version again and again, without Ray, and keeps what was wrong with it."""

    def __init__(self, dataset: DatasetTable) -> None:
        super().__init__(daemon=True)
        self.problems: list[str] = []
        self.reads = 0
        self._dataset, self._ended = dataset, threading.Event()

    def run(self) -> None:
        rows_before = 0
        while not self._ended.is_set():
            version, table = self._dataset.resolve("latest"), self._dataset.load()
            assert table is not None
            names = table.scan(snapshot_id=int(version.snapshot_id)).to_arrow()["customer"].to_pylist()
            files = Counter(int(name[1:]) // ROWS for name in names)
            if version.rows != len(names) or set(files.values()) != {ROWS} or len(names) < rows_before:
                self.problems.append(f"{version.ref}: {version.rows} rows, read {len(names)} of files {files}")
            rows_before = len(names)
            self.reads += 1
            time.sleep(0.02)

    def finish(self) -> None:
        self._ended.set()
        self.join(30)


def test_an_ingest_killed_at_any_moment_leaves_whole_versions_and_what_gc_removes(
    tmp_path: Path, workspace: Workspace, ray_cluster: str
) -> None:
    raw, random = tmp_path / "raw", Random(4)
    spec = spec_of(raw)
    dataset = DatasetTable.of(spec, workspace)

    def land(number: int) -> None:
        write(raw, f"{number}.parquet", table_of(ROWS, first=number * ROWS))

    def start(number: int) -> Ingesting:
        return Ingesting(raw, workspace.home, ray_cluster, f"run-{number}")

    land(0)
    ingest(spec, workspace, now_s=0, run_id="first")
    waiting = [start(number) for number in range(READY)]
    lasts_s = []
    for number in range(1, 1 + WHOLE):  # the first of them waits for Ray's workers, as none does that is killed
        with closing(waiting.pop(0)) as whole:
            land(number)
            began = time.monotonic()
            whole.begin().read("done")
            lasts_s.append(time.monotonic() - began)
        waiting.append(start(READY + number - 1))
    reader = Reader(dataset)
    reader.start()
    committed = 0
    for number in range(KILLS):
        land(1 + WHOLE + number)
        before, written = dataset.resolve("latest").number, _data_files(workspace)
        process = waiting.pop(0).begin()
        waiting += [start(READY + WHOLE + number)] if number < KILLS - READY else []
        if number % 2:
            process.kill_after(random.uniform(0, min(lasts_s)))
        else:  # rows are written and no version has them, or not long after
            process.kill_once(partial(_has_more, workspace, written), delay_s=random.uniform(0, min(lasts_s) / 10))
        committed += dataset.resolve("latest").number != before
    assert len(waiting) == 0
    reader.finish()
    assert reader.problems == []
    assert reader.reads > KILLS
    last = ingest(spec, workspace, now_s=1, run_id="last").version
    assert last.rows == (1 + WHOLE + KILLS) * ROWS
    assert committed < KILLS, "no kill met an ingest"
    _collect(workspace)
    names = load_version(workspace, last)["customer"].to_pylist()
    assert sorted(names) == sorted(f"c{i}" for i in range(last.rows))
    for version in dataset.versions():
        assert load_version(workspace, version, columns=["customer"]).num_rows == version.rows


def _has_more(workspace: Workspace, written: set[str]) -> bool:
    return _data_files(workspace) > written


def _data_files(workspace: Workspace) -> set[str]:
    """Names of the Parquet files below the lake."""
    return {file.name for file in Path(urlparse(workspace.lake).path).rglob("*.parquet")}


def _collect(workspace: Workspace) -> None:
    """Remove what is left, until tasks of the killed ingests have ended too and nothing comes any more."""
    lake = Lake(workspace.lake)
    catalog = open_catalog(workspace.catalog, lake)
    removed = 0
    for _ in range(100):
        found = find_leftovers(catalog, lake, older_than_s=0, now_s=time.time() + 1)
        if not found:
            break
        remove_leftovers(lake, found)
        removed += len(found)
        time.sleep(0.2)
    assert find_leftovers(catalog, lake, older_than_s=0, now_s=time.time() + 1) == []
    assert removed > 0, "the killed ingests left nothing"


def test_two_ingests_of_different_batches_in_two_processes_are_both_in(
    tmp_path: Path, workspace: Workspace, ray_cluster: str
) -> None:
    for place, name in enumerate(("one", "two")):
        for part in range(3):
            write(tmp_path / name, f"{part}.parquet", table_of(ROWS, first=(3 * place + part) * ROWS))
    processes = [Ingesting(tmp_path / name, workspace.home, ray_cluster, name) for name in ("one", "two")]
    with closing(processes[0]) as one, closing(processes[1]) as two:
        for process in (one, two):
            process.begin()
        numbers = sorted(process.read("done") for process in (one, two))
    assert numbers == ["1", "2"]
    latest = DatasetTable.of(spec_of(tmp_path), workspace).resolve("latest")
    assert (latest.number, latest.rows) == (2, 6 * ROWS)
    names = load_version(workspace, latest)["customer"].to_pylist()
    assert sorted(names) == sorted(f"c{i}" for i in range(6 * ROWS))
