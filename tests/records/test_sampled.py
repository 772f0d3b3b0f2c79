from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from mlops_ray.lake import Lake
from mlops_ray.records import RecordLog, not_kept, sampled, served_schema
from tests.monitor.samples import FEATURES, served

NOW_S = 1_700_000_000.0
ROWS: list[dict[str, Any]] = [{} for _ in range(50)]


@pytest.fixture
def log(tmp_path: Path) -> RecordLog:
    return RecordLog(Lake(str(tmp_path)), "toy")


def keep(log: RecordLog, name: str, *rows: dict[str, Any]) -> None:
    table = served(*[{"time_s": NOW_S, **row} for row in rows])
    log.append_served(
        name, table.set_column(0, "request_id", pa.array([f"{name}-{i}" for i in range(len(rows))])), NOW_S
    )


def of(log: RecordLog, rows: int = 1000, **span: Any) -> pa.Table:
    return sampled(log, version=1, **{"since_s": NOW_S - 10, "until_s": NOW_S + 10, "rows": rows, **span})


def test_only_what_the_version_answered_as_champion_in_that_time_is_in_it(log: RecordLog) -> None:
    others: list[dict[str, Any]] = [
        {"version": 2},
        {"role": "canary"},
        {"assigned": "canary"},
        {"status": 500},
        {"time_s": NOW_S - 11},
        {"time_s": NOW_S + 10},
    ]
    keep(log, "a", {}, *others, {})
    assert of(log)["request_id"].to_pylist() == ["a-0", "a-7"]


def test_as_many_rows_as_wanted_the_same_each_time_and_every_row_alike(log: RecordLog) -> None:
    for name in range(40):
        keep(log, f"file{name}", *ROWS[:50])
    found = of(log, 200)
    assert found.num_rows == 200
    assert found["request_id"].to_pylist() == of(log, 200)["request_id"].to_pylist()
    assert len(set(found["request_id"].to_pylist())) == 200
    places = np.array([int(name.split("-")[1]) for name in found["request_id"].to_pylist()])
    files = {name.split("-")[0] for name in found["request_id"].to_pylist()}
    assert len(files) > 30, "of 40 files with as many rows each"
    assert abs(places.mean() - 24.5) < 5


def test_fewer_rows_than_wanted_are_all_of_them(log: RecordLog) -> None:
    keep(log, "a", *ROWS[:5])
    keep(log, "b", *ROWS[:7])
    assert of(log, 100).num_rows == 12
    assert of(RecordLog(Lake(str(log._lake.root)), "other")).num_rows == 0


def test_it_says_which_features_were_not_kept(log: RecordLog) -> None:
    keep(log, "a", {})
    log.append_served("b", served({"time_s": NOW_S}).cast(served_schema(FEATURES, ["b"])), NOW_S)
    assert not_kept(of(log).schema) == {"b"}
