import pyarrow as pa
import pytest

from mlops_ray.errors import NotFoundError
from mlops_ray.lake import Lake
from mlops_ray.records import LABELS, RecordLog, not_kept, served_schema
from mlops_ray.spec import Workspace

FEATURES = pa.struct([("a", pa.float64())])


@pytest.fixture
def log(workspace: Workspace) -> RecordLog:
    return RecordLog(Lake(workspace.lake), "shop")


def served(*requests: tuple[str, float]) -> pa.Table:
    """Served requests (id, time) of one row each."""
    rows = [
        {
            "request_id": request_id,
            "row": 0,
            "unit": "u",
            "time_s": time_s,
            "version": 1,
            "role": "champion",
            "assigned": "champion",
            "canary": 0,
            "epoch": 1,
            "status": 200,
            "error": None,
            "latency_ms": 1.0,
            "score": 0.5,
            "features": {"a": time_s},
        }
        for request_id, time_s in requests
    ]
    return pa.Table.from_pylist(rows, schema=served_schema(FEATURES))


def labels(*outcomes: tuple[str, int, float, float]) -> pa.Table:
    """Outcomes (request id, row, label, received)."""
    return pa.Table.from_pylist([dict(zip(LABELS.names, o, strict=True)) for o in outcomes], schema=LABELS)


def test_what_was_appended_is_read(log: RecordLog) -> None:
    assert log.append_served("one", served(("a", 10.0), ("b", 20.0)), 10.0)
    assert log.served(0.0).sort_by("time_s").to_pylist() == served(("a", 10.0), ("b", 20.0)).to_pylist()


def test_a_hand_over_that_is_repeated_adds_nothing(log: RecordLog) -> None:
    assert log.append_served("one", served(("a", 10.0)), 10.0)
    assert not log.append_served("one", served(("a", 10.0)), 10.0)
    assert log.served(0.0).num_rows == 1


def test_only_records_since_then_are_read_also_of_files_that_began_before(log: RecordLog) -> None:
    log.append_served("old", served(("a", 100.0)), 100.0)
    log.append_served("across", served(("b", 7190.0), ("c", 7210.0)), 7190.0)
    log.append_served("new", served(("d", 9000.0)), 9000.0)
    assert sorted(log.served(7200.0)["request_id"].to_pylist()) == ["c", "d"]


def test_only_some_columns_are_read_when_asked(log: RecordLog) -> None:
    log.append_served("one", served(("a", 10.0)), 10.0)
    assert log.served(0.0, columns=["request_id", "time_s"]).column_names == ["request_id", "time_s"]


def test_an_empty_log_reads_as_no_rows(log: RecordLog) -> None:
    assert log.served(0.0).num_rows == 0
    assert log.labels(0.0).num_rows == 0


def test_files_whose_features_differ_are_read_together(log: RecordLog) -> None:
    other = pa.struct([("a", pa.float64()), ("b", pa.string())])
    log.append_served("one", served(("a", 10.0)), 10.0)
    row = served(("b", 20.0)).to_pylist()[0] | {"features": {"a": 1.0, "b": "x"}}
    log.append_served("two", pa.Table.from_pylist([row], schema=served_schema(other)), 20.0)
    assert sorted(log.served(0.0)["request_id"].to_pylist()) == ["a", "b"]


def test_the_newest_outcome_of_a_row_counts(log: RecordLog) -> None:
    log.append_labels("one", labels(("a", 0, 1.0, 10.0), ("a", 1, 1.0, 10.0), ("b", 0, 0.0, 10.0)), 10.0)
    log.append_labels("two", labels(("a", 0, 0.0, 20.0)), 20.0)
    found = {(r["request_id"], r["row"]): r["label"] for r in log.labels(0.0).to_pylist()}
    assert found == {("a", 0): 0.0, ("a", 1): 1.0, ("b", 0): 0.0}


def test_of_two_outcomes_that_came_together_the_later_counts(log: RecordLog) -> None:
    log.append_labels("one", labels(("a", 0, 1.0, 10.0), ("a", 0, 0.0, 10.0)), 10.0)
    assert log.labels(0.0)["label"].to_pylist() == [0.0]


def test_outcomes_from_before_are_left_out(log: RecordLog) -> None:
    log.append_labels("one", labels(("a", 0, 1.0, 10.0), ("b", 0, 1.0, 30.0)), 10.0)
    assert log.labels(20.0)["request_id"].to_pylist() == ["b"]


def test_a_request_is_found_by_its_id(log: RecordLog) -> None:
    log.append_served("one", served(("a", 10.0), ("b", 20.0)), 10.0)
    log.append_served("two", served(("c", 30.0)), 30.0)
    assert log.find("b")["time_s"] == 20.0


def test_a_request_that_was_never_served_is_not_found(log: RecordLog) -> None:
    log.append_served("one", served(("a", 10.0)), 10.0)
    with pytest.raises(NotFoundError, match="request 'zz' is not among the records of model 'shop'"):
        log.find("zz")


def test_what_a_shadow_made_of_a_request_is_not_what_was_answered(log: RecordLog) -> None:
    copied = served(("a", 10.0), ("b", 10.0))
    shadows = copied.set_column(copied.schema.get_field_index("role"), "role", pa.array(["shadow", "shadow"]))
    log.append_served("one", shadows, 10.0)
    log.append_served("two", served(("a", 9.0)), 9.0)
    assert (log.find("a")["role"], log.find("a")["time_s"]) == ("champion", 9.0)
    with pytest.raises(NotFoundError):
        log.find("b")


def test_features_that_some_files_do_not_hold_are_known(log: RecordLog) -> None:
    plain, dropped = served(("a", 10.0)), served(("b", 20.0))
    log.append_served("one", plain, 10.0)
    assert not_kept(log.served(0.0).schema) == frozenset()
    log.append_served("two", dropped.cast(served_schema(FEATURES, {"a"})), 20.0)
    log.append_served("three", dropped.cast(served_schema(FEATURES, {"b"})), 20.0)
    assert not_kept(log.served(0.0).schema) == {"a", "b"}
    assert not_kept(log.served(0.0, columns=["time_s"]).schema) == {"a", "b"}


def test_models_keep_their_records_apart(log: RecordLog, workspace: Workspace) -> None:
    log.append_served("one", served(("a", 10.0)), 10.0)
    assert RecordLog(Lake(workspace.lake), "other").served(0.0).num_rows == 0


def test_a_file_is_read_by_itself_with_what_its_writer_noted(log: RecordLog) -> None:
    noted = served(("a", 7300.0)).replace_schema_metadata({b"number": b"17"})
    log.append_served("one", noted, 7300.0)
    log.append_served("two", served(("b", 7400.0), ("c", 7500.0)), 7400.0)
    one, two = log.served_files(7200.0)
    assert log.note_of(one)[b"number"] == b"17"
    assert b"number" not in log.note_of(two)
    assert log.served_in(two, ["time_s", "request_id"]).to_pydict() == {
        "time_s": [7400.0, 7500.0],
        "request_id": ["b", "c"],
    }


def test_files_that_began_long_before_are_not_listed(log: RecordLog) -> None:
    log.append_served("old", served(("a", 100.0)), 100.0)
    log.append_served("across", served(("b", 3700.0)), 3700.0)
    assert len(log.served_files(7300.0)) == 1


def test_a_column_that_a_file_of_an_older_version_does_not_have_is_null(log: RecordLog) -> None:
    log.append_served("old", served(("a", 10.0)).drop_columns(["share", "error"]), 10.0)
    (path,) = log.served_files(10.0)
    assert log.served_in(path, ["share", "error", "request_id"]).to_pylist() == [
        {"share": None, "error": None, "request_id": "a"}
    ]
