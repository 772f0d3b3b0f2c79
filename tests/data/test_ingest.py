"""Raw files to versions, on a real Ray and a real catalog."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pyarrow.dataset as ds
import pytest

from mlops_ray.data import (
    DatasetTable,
    IngestResult,
    create_ref,
    find_leftovers,
    ingest,
    load_version,
    open_catalog,
    publish_branch,
    remove_leftovers,
    verify_version,
)
from mlops_ray.errors import DataError, SchemaError, SourceError, UnknownVersionError, ValidationError
from mlops_ray.lake import Lake
from mlops_ray.spec import Workspace
from tests.data.batches import spec_of, table_of, write

pytestmark = pytest.mark.usefixtures("ray_cluster")


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    return tmp_path / "raw files"


def run(raw: Path, workspace: Workspace, run_id: str = "run", **changes: object) -> IngestResult:
    return ingest(spec_of(raw, **changes), workspace, now_s=1_700_000_000.5, run_id=run_id)


def files_of(workspace: Workspace) -> list[str]:
    lake = Lake(workspace.lake)
    return [f for f in lake.list("") if "/metadata/" not in f]


def test_two_batches_make_two_versions(raw: Path, workspace: Workspace) -> None:
    write(raw, "a.parquet", table_of(100))
    first = run(raw, workspace)
    write(raw, "b.parquet", table_of(50, first=100))
    second = run(raw, workspace)
    assert (first.committed, first.version.number, first.version.rows, first.version.added_rows) == (True, 1, 100, 100)
    assert (second.committed, second.version.number, second.version.rows, second.version.added_rows) == (
        True,
        2,
        150,
        50,
    )
    assert second.version.parent_snapshot_id == first.version.snapshot_id
    assert [Path(s.uri).name for s in second.version.sources] == ["b.parquet"]
    assert second.version.committed_s == 1_700_000_000.5
    dataset = DatasetTable.of(spec_of(raw), workspace)
    assert dataset.versions() == [first.version, second.version]
    assert dataset.history(second.version) == first.version.sources + second.version.sources


def test_a_second_ingest_finds_nothing_new(raw: Path, workspace: Workspace) -> None:
    write(raw, "a.parquet", table_of(10))
    first = run(raw, workspace)
    before = files_of(workspace)
    again = run(raw, workspace, "run-2")
    assert (again.committed, again.version) == (False, first.version)
    assert files_of(workspace) == before


def test_a_version_stays_as_it_was_when_raw_files_are_overwritten_and_deleted(raw: Path, workspace: Workspace) -> None:
    write(raw, "a.parquet", table_of(20))
    write(raw, "b.parquet", table_of(20, first=20))
    version = run(raw, workspace).version
    before = load_version(workspace, version)
    write(raw, "a.parquet", table_of(20, first=500))
    (raw / "b.parquet").unlink()
    later = run(raw, workspace).version
    assert load_version(workspace, version).equals(before)
    assert (later.number, later.rows) == (2, 60)
    assert load_version(workspace, later).num_rows == 60


def test_a_file_that_was_only_touched_is_not_new(raw: Path, workspace: Workspace) -> None:
    file = write(raw, "a.parquet", table_of(10))
    first = run(raw, workspace)
    os.utime(file, (1, 1))
    assert run(raw, workspace) == IngestResult(first.version, committed=False)


def test_a_touched_file_beside_a_new_one_is_left_out(raw: Path, workspace: Workspace) -> None:
    file = write(raw, "a.parquet", table_of(10))
    run(raw, workspace)
    os.utime(file, (1, 1))
    write(raw, "b.parquet", table_of(5, first=10))
    assert run(raw, workspace).version.rows == 15


def test_bad_rows_are_quarantined_with_their_reasons(raw: Path, workspace: Workspace) -> None:
    table = table_of(10, age=[20.0] * 8 + [200.0, -1.0]).append_column("note", [["x"] * 10])
    file = write(raw, "a.parquet", table)
    result = run(raw, workspace)
    assert result.reasons == {"age: above max 120": 1, "age: below min 0": 1}
    assert (result.version.rows, result.version.quarantined_rows) == (8, 2)
    uri = result.version.quarantine_uri
    assert uri is not None
    assert "/quarantine/mlops.churn/run/" in uri
    rows = ds.dataset(Lake(uri).root).to_table().to_pylist()
    assert [(r["customer"], r["note"], r["_reason"]) for r in rows] == [
        ("c8", "x", "age: above max 120"),
        ("c9", "x", "age: below min 0"),
    ]
    assert {r["_source"] for r in rows} == {file.as_uri()}


def test_columns_beyond_the_spec_are_ignored(raw: Path, workspace: Workspace) -> None:
    write(raw, "a.parquet", table_of(5).append_column("note", [["x"] * 5]))
    assert list(run(raw, workspace).version.schema) == list(table_of(1).column_names)


def test_files_of_different_but_fitting_types_make_one_table(raw: Path, workspace: Workspace) -> None:
    write(raw, "a.parquet", table_of(4, visits=[1.0, 2.0, 3.0, 4.0], churned=[True, False, None, True]))
    write(raw, "b.parquet", table_of(4, first=4, age=[1, 2, 3, 4]))
    version = run(raw, workspace).version
    assert version.schema == {
        "customer": "string",
        "day": "timestamptz",
        "age": "double",
        "visits": "long",
        "active": "boolean",
        "plan": "string",
        "income": "double",
        "churned": "long",
    }
    assert load_version(workspace, version, columns=["churned"])["churned"].to_pylist()[:4] == [1, 0, None, 1]


def test_a_file_of_several_row_groups_is_read_whole(raw: Path, workspace: Workspace) -> None:
    write(raw, "a.parquet", table_of(1000), row_group_size=64)
    assert run(raw, workspace).version.rows == 1000


def test_equal_contents_under_equal_rules_have_equal_digests(tmp_path: Path) -> None:
    digests = []
    for name in ("one", "two"):
        write(tmp_path / name, f"{name}.parquet", table_of(10))
        digests.append(run(tmp_path / name, Workspace.at(tmp_path / f"home {name}")).version.digest)
    assert digests[0] == digests[1]


def test_progress_is_told(raw: Path, workspace: Workspace) -> None:
    write(raw, "a.parquet", table_of(10))
    told: list[str] = []
    ingest(spec_of(raw), workspace, now_s=0, run_id="r", progress=told.append)
    assert [line.split(": ")[1].split(",")[0] for line in told] == ["checking 1 new files", "committing 10 rows"]


def truncated(raw: Path) -> None:
    file = write(raw, "bad.parquet", table_of(100))
    file.write_bytes(file.read_bytes()[:-100])


def damaged(raw: Path) -> None:
    file = write(raw, "bad.parquet", table_of(10_000), compression="zstd")
    content = bytearray(file.read_bytes())
    content[100:2000] = bytes(1900)
    file.write_bytes(content)


def text(raw: Path) -> None:
    (raw / "bad.parquet").write_text("age,plan\n1,free\n")


BAD: list[tuple[Callable[[Path], object], type[DataError], str]] = [
    (truncated, SourceError, r"bad\.parquet: expected a whole Parquet file, found [\d,]+ bytes that are not"),
    (damaged, SourceError, r"bad\.parquet: row group 0 cannot be read, the file is damaged"),
    (text, SourceError, r"bad\.parquet: expected a whole Parquet file, found 16 bytes that are not"),
    (
        lambda raw: (raw / "bad.parquet").touch(),
        SourceError,
        r"bad\.parquet: expected a whole Parquet file, found 0 bytes",
    ),
    (lambda raw: write(raw, "bad.parquet", table_of(0)), SourceError, r"bad\.parquet: expected rows, found a Parquet"),
    (
        lambda raw: write(raw, "bad.parquet", table_of(9).drop_columns(["plan"])),
        SchemaError,
        r"bad\.parquet: expected one column 'plan', found only customer, day",
    ),
    (
        lambda raw: write(raw, "bad.parquet", table_of(3, age=["1", "2", "3"])),
        SchemaError,
        r"bad\.parquet: column 'age': expected float, int or decimal, found string",
    ),
    (
        lambda raw: write(raw, "bad.parquet", table_of(100, age=[None] * 100)),
        ValidationError,
        r"column 'age': expected values, found null in all 100 rows",
    ),
    (
        lambda raw: write(raw, "bad.parquet", table_of(100, first=100, age=[-1.0] * 60 + [1.0] * 40)),
        ValidationError,
        r"at most 50\.00% bad rows .* found 60 of 100 \(60\.00%\): age: below min 0 \(60 rows\)",
    ),
    (
        lambda raw: write(raw, "bad.parquet", table_of(30, first=10)),
        ValidationError,
        r"expected at least 50 good rows \(checks\.min_rows\), found 30",
    ),
    (
        lambda raw: write(raw, "bad.parquet", table_of(60, customer=["twin"] * 60)),
        ValidationError,
        r"expected customer to name each row once \(checks\.unique\), found 59 of 60 rows",
    ),
]


@pytest.mark.parametrize(("spoil", "kind", "message"), BAD, ids=[message[:40] for _, _, message in BAD])
def test_a_bad_batch_changes_nothing_and_says_why(
    raw: Path, workspace: Workspace, spoil: Callable[[Path], object], kind: type[DataError], message: str
) -> None:
    checks = {"min_rows": 50, "unique": ["customer"]}
    write(raw, "a.parquet", table_of(100))
    first = run(raw, workspace, checks=checks)
    before = files_of(workspace)
    spoil(raw)
    with pytest.raises(kind, match=message):
        run(raw, workspace, checks=checks)
    left = [f for f in files_of(workspace) if f not in before]
    assert all(f.startswith("quarantine/") for f in left)
    assert bool(left) == (kind is ValidationError)
    assert DatasetTable.of(spec_of(raw), workspace).versions() == [first.version]


def test_a_file_that_changes_after_it_was_listed_refuses_the_batch(raw: Path, workspace: Workspace) -> None:
    file = write(raw, "a.parquet", table_of(10))
    spec = spec_of(raw)
    with pytest.raises(SourceError, match=r"a\.parquet: changed since it was listed"):
        ingest(spec, workspace, now_s=0, run_id="r", progress=lambda _: os.utime(file, (1, 1)))
    assert files_of(workspace) == []


def test_a_file_that_is_gone_after_it_was_listed_refuses_the_batch(raw: Path, workspace: Workspace) -> None:
    file = write(raw, "a.parquet", table_of(10))
    with pytest.raises(SourceError, match=r"a\.parquet: was listed, but cannot be read on .*No such file"):
        ingest(spec_of(raw), workspace, now_s=0, run_id="r", progress=lambda _: file.unlink())


def test_good_files_beside_a_bad_one_are_not_committed_until_it_is_gone(raw: Path, workspace: Workspace) -> None:
    write(raw, "a.parquet", table_of(10, age=[200.0] + [20.0] * 9))
    truncated(raw)
    with pytest.raises(SourceError):
        run(raw, workspace)
    assert files_of(workspace) == []
    assert DatasetTable.of(spec_of(raw), workspace).versions() == []
    (raw / "bad.parquet").unlink()
    assert run(raw, workspace).version.rows == 9


def test_a_null_share_above_the_limit_refuses_the_batch(raw: Path, workspace: Workspace) -> None:
    write(raw, "a.parquet", table_of(10, income=[None] * 6 + [1.0] * 4))
    with pytest.raises(ValidationError, match=r"'income': expected at most 50\.00% nulls .* found 6 of 10"):
        run(raw, workspace, features={"income": {"type": "float", "max_null_share": 0.5}})


def test_a_folder_that_is_missing_or_empty_is_named(raw: Path, workspace: Workspace) -> None:
    with pytest.raises(SourceError, match=r"raw files: expected a folder with raw files, found nothing"):
        run(raw, workspace)
    raw.mkdir()
    with pytest.raises(SourceError, match=r"raw files: expected files named \*\.parquet, \*\.csv, .*found none"):
        run(raw, workspace)


def test_a_unique_column_that_the_spec_does_not_have_is_named(raw: Path, workspace: Workspace) -> None:
    with pytest.raises(SchemaError, match=r"checks\.unique: expected columns of the spec .*, found 'no_such'"):
        run(raw, workspace, checks={"unique": ["no_such"]})


def test_a_table_of_other_columns_is_not_written_to(raw: Path, workspace: Workspace) -> None:
    write(raw, "a.parquet", table_of(10))
    run(raw, workspace)
    with pytest.raises(SchemaError, match=r"found others \(age double, age long in only one of them\)"):
        run(raw, workspace, features={"age": "int"})


def ingest_meeting(raw: Path, workspace: Workspace, meet: Callable[[], object]) -> IngestResult:
    """An ingest that another writer meets between its check and its commit."""
    pending = [meet]

    def told(message: str) -> None:
        if "committing" in message and pending:
            pending.pop()()

    return ingest(spec_of(raw), workspace, now_s=1, run_id="first", progress=told)


def test_two_ingests_of_other_files_that_meet_both_commit(tmp_path: Path, workspace: Workspace) -> None:
    write(tmp_path / "one", "a.parquet", table_of(10))
    write(tmp_path / "two", "b.parquet", table_of(5, first=10))
    write(tmp_path / "three", "c.parquet", table_of(3, first=20))
    run(tmp_path / "three", workspace)
    result = ingest_meeting(tmp_path / "one", workspace, lambda: run(tmp_path / "two", workspace))
    versions = DatasetTable.of(spec_of(tmp_path), workspace).versions()
    assert [(v.number, v.rows) for v in versions] == [(1, 3), (2, 8), (3, 18)]
    assert result.version == versions[2]
    assert sorted(load_version(workspace, versions[2])["customer"].to_pylist()) == sorted(
        f"c{i}" for i in (*range(15), 20, 21, 22)
    )


def test_two_first_ingests_that_meet_both_commit(tmp_path: Path, workspace: Workspace) -> None:
    write(tmp_path / "one", "a.parquet", table_of(10))
    write(tmp_path / "two", "b.parquet", table_of(5, first=10))
    result = ingest_meeting(tmp_path / "one", workspace, lambda: run(tmp_path / "two", workspace))
    assert (result.version.number, result.version.rows) == (2, 15)
    assert load_version(workspace, result.version).num_rows == 15


@pytest.mark.parametrize("versions_before", [0, 1])
def test_two_ingests_of_the_same_files_that_meet_commit_them_once(
    raw: Path, workspace: Workspace, versions_before: int
) -> None:
    if versions_before:
        write(raw, "a.parquet", table_of(10))
        run(raw, workspace)
    write(raw, "b.parquet", table_of(5, first=10, age=[200.0] + [20.0] * 4))
    result = ingest_meeting(raw, workspace, lambda: run(raw, workspace, "second"))
    assert (result.committed, result.version.number) == (False, versions_before + 1)
    assert not [f for f in files_of(workspace) if "/first/" in f]
    assert load_version(workspace, result.version).num_rows == 10 * versions_before + 4


_KILLED = """
import sys, ray
from mlops_ray.data import ingest
from mlops_ray.spec import Workspace
from tests.data.batches import spec_of
source, home, address, moment = sys.argv[1:]
ray.init(address=address, namespace="mlops_ray", log_to_driver=False)
def told(message):
    if moment in message:
        print("now", flush=True)
ingest(spec_of(source), Workspace.at(home), now_s=0, run_id="killed", progress=told)
"""


@pytest.mark.slow
@pytest.mark.parametrize(("moment", "delay_s"), [("checking", 0.02), ("committing", 0.01)])
def test_a_killed_ingest_leaves_a_whole_version_and_the_next_one_succeeds(
    raw: Path, workspace: Workspace, ray_cluster: str, moment: str, delay_s: float
) -> None:
    write(raw, "a.parquet", table_of(10))
    first = run(raw, workspace)
    write(raw, "b.parquet", table_of(10, first=10))
    arguments = [sys.executable, "-c", _KILLED, str(raw), workspace.home, ray_cluster, moment]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        assert any(line == "now\n" for line in iter(process.stdout.readline, ""))
        time.sleep(delay_s)
        process.send_signal(signal.SIGKILL)
    dataset = DatasetTable.of(spec_of(raw), workspace)
    after = dataset.resolve("latest")
    assert after == first.version or (moment == "committing" and after.rows == 20)
    assert load_version(workspace, after).num_rows == after.rows
    assert run(raw, workspace).version.rows == 20
    assert load_version(workspace, dataset.resolve("latest")).num_rows == 20


def test_an_ingest_to_a_branch_leaves_main_alone_until_it_is_published(raw: Path, workspace: Workspace) -> None:
    spec = spec_of(raw)
    dataset = DatasetTable.of(spec, workspace)
    write(raw, "a.parquet", table_of(10))
    first = run(raw, workspace).version
    create_ref(dataset, "branch", "audit", "latest")
    write(raw, "b.parquet", table_of(5, first=10))
    done = ingest(spec, workspace, now_s=1, run_id="audit", branch="audit")
    assert (done.committed, done.version.number, done.version.rows) == (True, None, 15)
    assert dataset.resolve("latest") == first
    assert load_version(workspace, dataset.resolve("audit")).num_rows == 15
    assert ingest(spec, workspace, now_s=2, run_id="again", branch="audit") == IngestResult(done.version, False)
    (published,) = publish_branch(dataset, "audit", now_s=3)
    assert (published.number, published.snapshot_id, published.digest) == (
        2,
        done.version.snapshot_id,
        done.version.digest,
    )
    assert run(raw, workspace) == IngestResult(published, committed=False)


def test_a_batch_on_a_branch_has_the_digest_it_would_have_on_main(raw: Path, tmp_path: Path) -> None:
    digests = []
    for branch in ("main", "audit"):
        home, folder = Workspace.at(tmp_path / branch), tmp_path / f"raw of {branch}"
        write(folder, "a.parquet", table_of(10))
        run(folder, home)
        create_ref(DatasetTable.of(spec_of(folder), home), "branch", "audit", "latest")
        write(folder, "b.parquet", table_of(5, first=10))
        digests.append(ingest(spec_of(folder), home, now_s=1, run_id="r", branch=branch).version.digest)
    assert digests[0] == digests[1]


def test_a_branch_that_is_not_there_is_named_before_anything_is_read(raw: Path, workspace: Workspace) -> None:
    write(raw, "a.parquet", table_of(10))
    with pytest.raises(UnknownVersionError, match=r"no branch 'audit'; ingest to main first"):
        ingest(spec_of(raw), workspace, now_s=0, run_id="r", branch="audit")
    run(raw, workspace)
    create_ref(DatasetTable.of(spec_of(raw), workspace), "tag", "audit", "v1")
    with pytest.raises(UnknownVersionError, match=r"no branch 'audit'; `mlops-ray data branch mlops\.churn@latest"):
        ingest(spec_of(raw), workspace, now_s=0, run_id="r", branch="audit")


def test_garbage_collected_while_an_ingest_runs_takes_nothing_of_it(raw: Path, workspace: Workspace) -> None:
    write(raw, "a.parquet", table_of(10, age=[200.0] + [20.0] * 9))
    run(raw, workspace)
    write(raw, "b.parquet", table_of(10, first=10, age=[200.0] + [20.0] * 9))
    lake = Lake(workspace.lake)

    def collect() -> None:
        catalog = open_catalog(workspace.catalog, lake)
        assert {i.kind for i in find_leftovers(catalog, lake, older_than_s=0, now_s=time.time() + 1)} == {
            "data",
            "quarantine",
            "reports",
            "statistics",
        }
        remove_leftovers(lake, find_leftovers(catalog, lake, older_than_s=600, now_s=time.time()))

    version = ingest_meeting(raw, workspace, collect).version
    assert load_version(workspace, version).num_rows == 18
    assert verify_version(DatasetTable.of(spec_of(raw), workspace), version).intact
    assert len(Lake(version.quarantine_uri or "").list("", ".parquet")) == 1
