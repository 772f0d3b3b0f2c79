"""Served rows with labels become dataset versions, once; and windows of a table become versions of their own."""

from dataclasses import replace
from datetime import UTC, datetime
from math import inf
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mlops_ray.control import joined_rows, training_rows
from mlops_ray.control.joined_rows import Joined, Joining, keys_in, labels_of, training_folder
from mlops_ray.control.operations import ingest_batch
from mlops_ray.control.training_rows import add_records, alarm_spans, join_records, window_of
from mlops_ray.control.window_table import base_of
from mlops_ray.data import DatasetTable, DatasetVersion, load_version
from mlops_ray.data.column import columns_of
from mlops_ray.errors import SchemaError, SpecError
from mlops_ray.lake import Lake
from mlops_ray.records import LABELS, RecordLog, served_schema
from mlops_ray.records.schema import SERVED
from mlops_ray.spec import ModelSpec, Monitor, Workspace
from mlops_ray.store import AlertRecord, Event, Store
from tests.data.batches import spec_of, table_of, write

NOW_S = datetime(2026, 3, 2, 12, tzinfo=UTC).timestamp()
DAY_S = 86_400.0
FEATURES = pa.struct(
    [
        ("age", pa.float64()),
        ("visits", pa.int64()),
        ("active", pa.bool_()),
        ("plan", pa.string()),
        ("income", pa.float64()),
    ]
)


def spec_with(source: Path, **data: Any) -> ModelSpec:
    spec = spec_of(source)
    return ModelSpec.model_validate(spec.model_dump() | {"retrain": {"data": {"from_records": True, **data}}})


class Place:
    """One model's lake, store and records."""

    def __init__(self, home: Path, **data: Any) -> None:
        self.raw = home / "raw"
        self.workspace = Workspace.at(home / "home")
        self.lake = Lake(self.workspace.lake)
        self.log = RecordLog(self.lake, "churn")
        self.store = Store(self.workspace.store)
        self.store.create()
        self.spec = spec_with(self.raw, **data)
        self.told: list[str] = []

    def serve(
        self, name: str, ids: list[str], *, time_s: float = NOW_S, not_kept: tuple[str, ...] = (), **changes: Any
    ) -> None:
        """Answered requests of one row each; a keyword replaces a column."""
        n = len(ids)
        features = changes.pop("features", None) or pa.array(
            [{"age": 30.0, "visits": 2, "active": True, "plan": "pro", "income": None}] * n, FEATURES
        )
        values: dict[str, Any] = {f.name: [None] * n for f in SERVED}
        values |= {"request_id": ids, "row": [0] * n, "unit": [f"u-{i}" for i in ids], "time_s": [time_s] * n}
        values |= {"version": [1] * n, "role": ["champion"] * n, "assigned": ["champion"] * n, "status": [200] * n}
        values |= {"score": [0.99] * n} | changes
        schema = served_schema(features.type, not_kept)
        columns = [features if f.name == "features" else pa.array(values[f.name], f.type) for f in schema]
        assert self.log.append_served(name, pa.Table.from_arrays(columns, schema=schema), time_s)

    def label(self, name: str, labels: dict[str, float], *, at_s: float = NOW_S + 60) -> None:
        rows = [list(labels), [0] * len(labels), list(labels.values()), [at_s] * len(labels)]
        assert self.log.append_labels(name, pa.table(rows, schema=LABELS), at_s)

    def joined(self) -> dict[str, int]:
        """Label of every joined row by its request."""
        tables = [pq.read_table(f"{self.lake.root}/{p}") for p in self.lake.list(training_folder("churn"), ".parquet")]
        rows = [row for table in tables for row in table.to_pylist()]
        assert len({row["mlops_ray.request_id"] for row in rows}) == len(rows)
        return {row["mlops_ray.request_id"]: row["churned"] for row in rows}

    def join(self) -> Joined:
        """The work of `join_records` in this process."""
        labels, served = self.log.label_files(0.0), self.log.served_files(0.0)
        roles = (self.spec.data.unit, self.spec.data.timestamp, self.spec.data.label)
        files, alarms = (tuple(served), tuple(labels)), alarm_spans(self.store.alerts("churn"), self.spec.monitor)
        return Joining(
            self.workspace.lake, "churn", columns_of(self.spec), roles, (), *files, 30 * DAY_S, alarms=alarms
        ).run()

    def join_on_ray(self) -> Joined:
        return join_records(self.store, self.spec, self.workspace, progress=self.told.append)

    def alert(self, record: AlertRecord) -> None:
        with self.store.change(Event("alert.test", record.id, {}, "test", record.updated_s)) as change:
            change.put_alert(record)

    def arguments(self) -> dict[str, Any]:
        return {"actor": "test", "clock": lambda: NOW_S, "progress": self.told.append}

    def ingest(self) -> DatasetVersion:
        return ingest_batch(self.store, self.spec, self.workspace, **self.arguments()).version

    def add(self) -> DatasetVersion | None:
        return add_records(self.store, self.spec, self.workspace, **self.arguments())


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def test_a_row_gets_the_label_that_came_back_and_never_its_score(place: Place) -> None:
    place.serve("s", ["a", "b", "c"])
    place.label("l", {"a": 1.0, "b": 0.0})
    place.join()
    assert place.joined() == {"a": 1.0, "b": 0.0}


def test_only_what_users_were_answered_is_learned_from(place: Place) -> None:
    ids = ["champion", "canary", "fallback", "direct", "shadow", "failed"]
    place.serve(
        "s",
        ids,
        assigned=["champion", "canary", "canary", "direct", "shadow", "champion"],
        role=["champion", "canary", "champion", "direct", "shadow", "champion"],
        status=[200, 200, 200, 200, 200, 500],
    )
    place.label("l", dict.fromkeys(ids, 1.0))
    place.join()
    assert set(place.joined()) == {"champion", "canary", "fallback"}


def test_joined_rows_are_tagged_with_who_answered(place: Place) -> None:
    place.serve("s", ["a"], assigned=["canary"], role=["canary"])
    place.label("l", {"a": 1.0})
    place.join()
    (path,) = place.lake.list(training_folder("churn"), ".parquet")
    (row,) = pq.read_table(f"{place.lake.root}/{path}").to_pylist()
    assert (row["mlops_ray.role"], row["customer"], row["day"].timestamp()) == ("canary", "u-a", NOW_S)


def test_of_several_labels_of_a_row_the_newest_counts_until_the_row_is_added(place: Place) -> None:
    place.serve("s", ["a", "b"])
    place.label("first", {"a": 0.0, "b": 0.0}, at_s=NOW_S + 10)
    place.label("corrected", {"a": 1.0}, at_s=NOW_S + 20)
    place.join()
    assert place.joined() == {"a": 1.0, "b": 0.0}
    place.label("too late", {"b": 1.0}, at_s=NOW_S + 30)
    place.join()
    assert place.joined() == {"a": 1.0, "b": 0.0}


def test_a_request_that_was_sent_again_under_its_id_is_one_row(place: Place) -> None:
    place.serve("s", ["a", "b"])
    place.serve("again", ["a"], time_s=NOW_S + 1)
    place.label("l", {"a": 1.0, "b": 0.0})
    place.join()
    assert place.joined() == {"a": 1.0, "b": 0.0}


def test_late_labels_add_what_was_missing_and_nothing_twice(place: Place) -> None:
    place.serve("s", ["a", "b"])
    place.label("l", {"a": 1.0})
    for _ in range(3):
        place.join()
    place.label("late", {"a": 1.0, "b": 0.0}, at_s=NOW_S + 5 * DAY_S)
    for _ in range(3):
        place.join()
    assert place.joined() == {"a": 1.0, "b": 0.0}
    assert sum(t.num_rows for t in keys_in(place.lake, "churn")) == 2


def test_labels_that_come_too_late_are_not_joined(place: Place) -> None:
    place.serve("s", ["a", "b"])
    place.label("l", {"a": 1.0}, at_s=NOW_S + 29 * DAY_S)
    place.label("later", {"b": 1.0}, at_s=NOW_S + 31 * DAY_S)
    place.join()
    assert place.joined() == {"a": 1.0}


def test_rows_without_a_needed_value_or_with_an_unseen_category_are_left_out(place: Place) -> None:
    whole = {"age": 30.0, "visits": 2, "active": True, "plan": "pro", "income": None}
    rows = [whole, whole | {"age": None}, whole | {"plan": "<unseen>"}]
    place.serve("s", ["a", "b", "c"], features=pa.array(rows, FEATURES))
    place.label("l", dict.fromkeys("abc", 1.0))
    place.join()
    assert set(place.joined()) == {"a"}


def alarm(
    id: str = "q", *, until_s: float | None = None, kind: str = "data_quality", at_s: float = NOW_S, **evidence: float
) -> AlertRecord:
    """Raised at `at_s`, and open where it has no end."""
    state: Any = "open" if until_s is None else "resolved"
    ended_s = at_s if until_s is None else until_s
    return AlertRecord(id, "churn", 1, kind, "critical", "zeros came", ("age",), evidence, state, at_s, ended_s)


WATCHED = Monitor.model_validate({"window": {"size_s": 3600, "every_s": 300}})


def test_what_is_served_during_a_data_quality_alert_is_not_learned_then_nor_later(place: Place) -> None:
    place.serve("before", ["a"], time_s=NOW_S - 4000)
    place.serve("in the window", ["b"], time_s=NOW_S - 3000)
    place.serve("open", ["c"], time_s=NOW_S + 50)
    place.label("l", {"a": 1.0, "b": 1.0})
    place.alert(alarm(from_s=NOW_S - 3600, to_s=NOW_S))
    done = place.join()
    assert (done.rows, done.alarmed, done.unusable) == (1, 1, 0)
    place.alert(alarm(until_s=NOW_S + 100, from_s=NOW_S - 3600, to_s=NOW_S))
    place.serve("after", ["d"], time_s=NOW_S + 101)
    place.label("late", {"b": 0.0, "c": 1.0, "d": 0.0}, at_s=NOW_S + DAY_S)
    for rows, known in ((1, 1), (0, 2)):
        done = place.join()
        assert (done.rows, done.known, done.alarmed) == (rows, known, 2)
    assert place.joined() == {"a": 1.0, "d": 0.0}


def test_what_was_joined_before_an_alarm_stays(place: Place) -> None:
    place.serve("s", ["a"])
    place.label("l", {"a": 1.0})
    place.join()
    place.alert(alarm(at_s=NOW_S + 10))
    assert place.join().rows == 0
    assert place.joined() == {"a": 1.0}


def test_alarms_of_other_kinds_and_models_leave_nothing_out(place: Place) -> None:
    place.serve("s", ["a"])
    place.label("l", {"a": 1.0})
    place.alert(alarm(kind="drift"))
    place.alert(replace(alarm("other"), model="toy"))
    place.join()
    assert place.joined() == {"a": 1.0}


def test_a_feature_that_was_hashed_does_not_matter_where_no_row_is_learned_from(place: Place) -> None:
    place.serve("s", ["a"], not_kept=("age",))
    place.label("l", {"a": 1.0})
    place.alert(alarm())
    assert place.join().alarmed == 1


@pytest.mark.parametrize(
    ("alert", "span"),
    [
        (alarm(from_s=NOW_S - 1000, to_s=NOW_S), (NOW_S - 1000, inf)),
        (alarm(from_s=NOW_S - 1000, to_s=NOW_S, until_s=NOW_S + 7), (NOW_S - 1000, NOW_S + 7)),
        # Nobody wrote down in which rows it was seen.
        (alarm(), (NOW_S - 3600, inf)),
        # The newest rows showed it at once, and broken ones came ever since the look before.
        (alarm(from_s=NOW_S - 2, to_s=NOW_S), (NOW_S - 300, inf)),
        # A feature joined it later, and its rows took the place of the first ones.
        (alarm(from_s=NOW_S + 800, to_s=NOW_S + 900), (NOW_S - 3600, inf)),
    ],
)
def test_an_alarm_reaches_back_to_the_first_row_that_may_be_broken(
    alert: AlertRecord, span: tuple[float, float]
) -> None:
    assert alarm_spans([alarm(kind="drift"), alert], WATCHED) == (span,)


def test_looks_that_had_to_agree_reach_back_by_as_many(place: Place) -> None:
    monitor = Monitor.model_validate(WATCHED.model_dump() | {"quality": {"persist": [3, 3]}})
    ((from_s, _),) = alarm_spans([alarm(from_s=NOW_S - 2)], monitor)
    assert from_s == NOW_S - 900


def test_a_feature_that_was_hashed_is_refused_by_its_name(place: Place) -> None:
    place.serve("s", ["a"], not_kept=("age",))
    place.label("l", {"a": 1.0})
    with pytest.raises(SchemaError, match=r"feature 'age'.*serve\.capture\.fields hashed or dropped"):
        place.join()


def test_a_spec_that_would_learn_from_hashes_is_refused(tmp_path: Path) -> None:
    content = spec_with(tmp_path).model_dump(mode="json")
    for policy in ("hash", "drop"):
        with pytest.raises(ValueError, match=f"serve.capture.fields has 'age': {policy}"):
            ModelSpec.model_validate(content | {"serve": {"capture": {"fields": {"age": policy}}}})
    with pytest.raises(ValueError, match=r"serve\.capture\.enabled"):
        ModelSpec.model_validate(content | {"serve": {"capture": {"enabled": False}}})


@pytest.mark.parametrize(
    "data",
    [
        {"window": "sliding"},
        {"window": "sliding", "rows": 200, "since_s": 5},
        {"window": "weighted", "since_s": 5},
        {"window": "table", "rows": 200, "from_records": False},
        {"window": "expanding", "from_records": False},
    ],
)
def test_a_window_without_its_size_is_refused(tmp_path: Path, data: dict[str, Any]) -> None:
    with pytest.raises((ValueError, SpecError), match="window"):
        spec_with(tmp_path, **data)


def test_labels_of_one_file_without_value_are_none(place: Place) -> None:
    assert labels_of(place.log, []).num_rows == 0


# -- on Ray ------------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_records_become_the_next_version_once_with_a_lineage_to_their_files(ray_cluster: str, place: Place) -> None:
    assert ray_cluster
    write(place.raw, "1.parquet", table_of(200))
    assert place.ingest().rows == 200
    assert place.add() is None
    place.serve("s1", [f"a{i}" for i in range(30)])
    place.serve("s2", [f"b{i}" for i in range(30)], time_s=NOW_S + 3600)
    place.label("l", {f"{x}{i}": float(i % 2) for x in "ab" for i in range(30)}, at_s=NOW_S + 7200)
    version = place.add()
    assert version is not None
    assert (version.ref, version.rows, version.added_rows) == ("mlops.churn@v2", 260, 60)
    behind: set[str] = set()
    for source in version.sources:
        behind |= set(joined_rows.records_behind(place.lake, source.uri)["served"])
    assert behind == set(place.log.served_files(0.0))
    assert [e.subject for e in place.store.events(kind="dataset.committed")] == ["mlops.churn@v1", "mlops.churn@v2"]
    # Nothing new: no version, however often, and the source's own files stay what they were.
    assert place.add() is None
    assert place.ingest().ref == "mlops.churn@v2"
    place.label("late", {"a0": 1.0, "b0": 1.0}, at_s=NOW_S + 9000)
    assert place.add() is None


@pytest.mark.slow
def test_killed_between_joining_and_ingesting_nothing_is_lost_or_twice(ray_cluster: str, place: Place) -> None:
    assert ray_cluster
    write(place.raw, "1.parquet", table_of(200))
    place.ingest()
    place.serve("s1", ["a", "b"])
    place.label("l1", {"a": 1.0, "b": 0.0})
    place.join_on_ray()
    place.serve("s2", ["c"], time_s=NOW_S + 100)
    place.label("l2", {"c": 1.0}, at_s=NOW_S + 200)
    place.join()  # files are written, and the process ends before it says up to when it has read
    version = place.add()
    assert version is not None
    assert version.added_rows == 3
    assert place.joined() == {"a": 1.0, "b": 0.0, "c": 1.0}


@pytest.mark.slow
def test_what_an_alarm_left_out_is_told_and_comes_into_no_later_version(ray_cluster: str, place: Place) -> None:
    assert ray_cluster
    write(place.raw, "1.parquet", table_of(200))
    place.ingest()
    place.alert(alarm(from_s=NOW_S - 600, to_s=NOW_S))
    place.serve("broken", [f"b{i}" for i in range(5)], time_s=NOW_S + 10)
    place.label("l1", {f"b{i}": 1.0 for i in range(5)}, at_s=NOW_S + 20)
    assert place.add() is None
    assert place.told[-1].endswith("0 could not be used, 5 were served during a data_quality alert")
    place.alert(alarm(from_s=NOW_S - 600, to_s=NOW_S, until_s=NOW_S + 30))
    place.serve("repaired", ["r"], time_s=NOW_S + 40)
    place.label("l2", {"r": 1.0}, at_s=NOW_S + 50)
    version = place.add()
    assert version is not None
    assert version.added_rows == 1
    # Long after the mark has gone on, a corrected label brings back none of them.
    place.label("l3", {"b0": 0.0, "r": 0.0}, at_s=NOW_S + 2 * DAY_S)
    assert place.add() is None
    assert place.joined() == {"r": 1.0}
    (source,) = [s for s in version.sources if joined_rows.records_behind(place.lake, s.uri)]
    assert len(joined_rows.records_behind(place.lake, source.uri)["served"]) == 1


@pytest.mark.slow
def test_many_labels_are_taken_group_by_group_with_the_newest_first(
    ray_cluster: str, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert ray_cluster
    monkeypatch.setattr(training_rows, "_LABELS_AT_ONCE", 2)
    ids = [f"r{i}" for i in range(7)]
    place.serve("s", ids)
    for number in range(3):
        place.label(f"l{number}", dict.fromkeys(ids, float(number == 2)), at_s=NOW_S + 10 * number)
    done = place.join_on_ray()
    assert (done.rows, done.known) == (7, 14)
    assert set(place.joined().values()) == {1.0}


@pytest.mark.slow
def test_a_sliding_window_is_a_version_of_its_own_and_the_same_when_made_again(
    ray_cluster: str, tmp_path: Path
) -> None:
    assert ray_cluster
    place = Place(tmp_path, window="sliding", rows=150, from_records=False)
    write(place.raw, "1.parquet", table_of(400, churned=[None if i >= 380 else i % 2 for i in range(400)]))
    base = place.ingest()
    spec, window = window_of(place.store, place.spec, place.workspace, base, **place.arguments())
    rows = load_version(place.workspace, window)
    # The newest rows that have a label.
    assert sorted(rows["customer"].to_pylist()) == sorted(f"c{i}" for i in range(230, 380))
    assert (spec.table, window.number, base_of(window.ref, "mlops.churn")) == (window.table, 1, "mlops.churn@v1")
    again = window_of(place.store, place.spec, place.workspace, base, **place.arguments())[1]
    assert again == window
    assert DatasetTable.of(place.spec, place.workspace).resolve("latest").ref == "mlops.churn@v1"
    assert window.ref in {e.subject for e in place.store.events(kind="dataset.committed")}


@pytest.mark.slow
def test_a_window_of_seconds_reaches_back_from_its_newest_row(ray_cluster: str, tmp_path: Path) -> None:
    assert ray_cluster
    place = Place(tmp_path, window="sliding", since_s=100 * 3600.0, from_records=False)
    write(place.raw, "1.parquet", table_of(400))
    window = window_of(place.store, place.spec, place.workspace, place.ingest(), **place.arguments())[1]
    assert window.rows == 100


@pytest.mark.slow
def test_a_weighted_window_keeps_the_newest_and_thins_what_is_unlike_it(ray_cluster: str, tmp_path: Path) -> None:
    assert ray_cluster
    place = Place(tmp_path, window="weighted", rows=300, from_records=False)
    # The oldest third lies elsewhere in every number; the middle is as the newest is.
    age = [90.0 + i % 20 if i < 300 else 20.0 + i % 60 for i in range(900)]
    visits = [70 + i % 7 if i < 300 else i % 7 for i in range(900)]
    write(place.raw, "1.parquet", table_of(900, age=age, visits=visits, income=[1000.0] * 900))
    window = window_of(place.store, place.spec, place.workspace, place.ingest(), **place.arguments())[1]
    kept = {int(name[1:]) for name in load_version(place.workspace, window)["customer"].to_pylist()}
    oldest, middle, newest = (len(kept & set(range(s, s + 300))) for s in (0, 300, 600))
    assert newest == 300
    assert oldest < 30
    assert middle > 200
