from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from mlops_ray.model import InputColumn, Signature
from mlops_ray.monitor.recent_rows import RecentRows
from mlops_ray.monitor.reference import Watched
from mlops_ray.records import served_schema
from tests.monitor.samples import FEATURES, SIGNATURE, on, reference, served

WATCHED = Watched(1, SIGNATURE, reference(), {})


def rows(count: int, *, since_s: float = 0.0, **changes: Any) -> pa.Table:
    """Records of a second each, whose feature b is their time."""
    times = [since_s + i for i in range(count)]
    return served(*[{"time_s": t, "request_id": f"t{t:g}", "features": {"a": 1.0, "b": t}, **changes} for t in times])


def times(recent: RecentRows) -> list[float]:
    return recent.rows(0.0, 3).table["time_s"].to_pylist()


@pytest.mark.parametrize("size", [1, 7, 400, 1000])
def test_the_newest_rows_are_kept_and_no_more_than_there_is_room_for(size: int) -> None:
    recent = RecentRows(WATCHED, rows=500)
    for begin in range(0, 2000, size):
        recent.add(rows(size, since_s=begin))
        assert len(recent) <= 500
        assert sum(table.nbytes for table in recent._tables) < 500 * 100
    newest = -(-2000 // size) * size - 1
    assert times(recent) == [newest - i for i in range(500)]


def test_only_what_the_version_answered_itself_as_champion_is_kept() -> None:
    recent = RecentRows(WATCHED)
    others = [on("shadow"), on("direct"), on("canary"), on("canary", role="champion", version=1)]
    failed = {"status": 500, "score": None}
    recent.add(served(*others, {"version": 7}, failed, {"time_s": 5.0}))
    assert times(recent) == [5.0]
    recent.add(served().select(["request_id"]))
    assert len(recent) == 1


def test_rows_from_before_are_not_shown() -> None:
    recent = RecentRows(WATCHED)
    recent.add(rows(10))
    assert recent.rows(8.0, 3).table["time_s"].to_pylist() == [9.0, 8.0]
    assert RecentRows(WATCHED).rows(0.0, 3).told(["a"], []) == []


def test_a_row_is_told_with_its_request_its_answer_and_the_named_features_first() -> None:
    recent = RecentRows(WATCHED)
    recent.add(rows(2, since_s=1_700_000_000.0, score=0.25, row=3))
    (first, _) = recent.rows(0.0, 3).told(["b"], [])
    assert first == {
        "request_id": "t1.7e+09",
        "row": 3,
        "time": "2023-11-14 22:13:21 UTC",
        "answer": 0.25,
        "b": 1_700_000_001.0,
        "a": 1.0,
    }
    assert list(first)[-2:] == ["b", "a"]


def test_what_is_hashed_is_kept_nowhere() -> None:
    schema = served_schema(pa.struct([("a", pa.float64()), ("b", pa.string())]), ["b"])
    hashed = (
        rows(3)
        .drop_columns("features")
        .append_column("features", pa.array([{"a": 2.0, "b": "5ec2e7"}] * 3, schema.field("features").type))
    )
    recent = RecentRows(WATCHED)
    recent.add(rows(3))
    recent.add(hashed.cast(schema))
    told = recent.rows(0.0, 6).told(["b", "a"], [])
    assert {row["a"] for row in told} == {1.0, 2.0}
    assert all("b" not in row for row in told)
    recent.add(rows(500, since_s=10.0))
    assert "b" in recent.rows(0.0, 1).told([], [])[0], "records that hold it are there alone again"


def test_what_the_spec_hides_now_is_not_shown_from_records_of_before() -> None:
    recent = RecentRows(WATCHED, hidden={"b"})
    recent.add(rows(3))
    assert "feature:b" not in recent._tables[0].column_names
    assert "b" not in recent.rows(0.0, 3).values


def test_numbers_that_json_does_not_have_are_words() -> None:
    recent = RecentRows(WATCHED)
    recent.add(served({"features": {"a": float("inf"), "b": None}}))
    (row,) = recent.rows(0.0, 3).told([], [])
    assert (row["a"], row["b"]) == ("inf", None)


def test_of_classes_the_name_is_told_and_how_sure_the_answer_was() -> None:
    plan = InputColumn("plan", "category", nullable=True, categories=("free", "paid"))
    watched = Watched(1, Signature((plan,), "multiclass", classes=("cat", "dog")), reference(), {})
    records = served({"score": 1.0, "confidence": 0.75}).drop_columns("features")
    features = pa.array([{"plan": "<unseen>"}], pa.struct([("plan", pa.string())]))
    recent = RecentRows(watched)
    recent.add(records.append_column("features", features))
    sample = recent.rows(0.0, 3)
    (row,) = sample.told([], [])
    assert (row["answer"], row["confidence"], row["plan"]) == ("dog", 0.75, "<unseen>")
    np.testing.assert_array_equal(sample.values["plan"], [2.0])


@pytest.mark.parametrize("hidden", [True, False])
def test_of_a_picture_the_numbers_and_the_digest_are_told_unless_it_is_hidden(hidden: bool) -> None:
    photo = Signature((InputColumn("photo", "image", nullable=False, shape=(8, 8, 3)),), "binary")
    names = [*(column.name for column in photo.columns()), "photo.digest"]
    values = {name: 0.5 for name in names[:-1]} | {"photo.digest": "abc"}
    kinds = pa.struct([(name, pa.float64()) for name in names[:-1]] + [("photo.digest", pa.string())])
    records = served({}).drop_columns("features").append_column("features", pa.array([values], kinds))
    recent = RecentRows(Watched(1, photo, reference(), {}), hidden={"photo"} if hidden else ())
    recent.add(records)
    sample = recent.rows(0.0, 3)
    (row,) = sample.told([], [])
    assert [name for name in row if name.startswith("photo")] == ([] if hidden else names)
    assert ("photo.brightness" in sample.values) == (not hidden)


def test_a_feature_called_like_a_fact_does_not_hide_it() -> None:
    signature = Signature((InputColumn("answer", "float", nullable=False),), "binary")
    records = served({"score": 0.5}).drop_columns("features")
    recent = RecentRows(Watched(1, signature, reference(), {}))
    recent.add(records.append_column("features", pa.array([{"answer": 7.0}])))
    (row,) = recent.rows(0.0, 3).told([], [])
    assert (row["answer"], row["feature:answer"]) == (0.5, 7.0)


def test_the_features_struct_of_the_tests_is_the_one_of_records() -> None:
    assert [field.name for field in FEATURES] == list(SIGNATURE.names)
