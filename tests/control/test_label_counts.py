"""Counting labels and answers: each file read once, each row counted once."""

from pathlib import Path

import pyarrow as pa
import pytest

from mlops_ray.control.label_counts import RecordCounts
from mlops_ray.lake import Lake
from mlops_ray.records import LABELS, RecordLog, served_schema
from mlops_ray.records.schema import SERVED

NOW_S = 1_800_000_000.0


class Place:
    def __init__(self, folder: Path) -> None:
        self.now_s = 0.0
        self.lake = Lake(str(folder))
        self.log = RecordLog(self.lake, "toy")
        self.counts = RecordCounts(self.lake, clock=lambda: self.now_s)

    def label(self, name: str, ids: list[str], at_s: float) -> None:
        rows = [ids, [0] * len(ids), [1.0] * len(ids), [at_s] * len(ids)]
        self.log.append_labels(name, pa.table(rows, schema=LABELS), at_s)

    def serve(self, name: str, times: list[float], assigned: str = "champion") -> None:
        n = len(times)
        values = {f.name: pa.nulls(n, f.type) for f in SERVED}
        values |= {"time_s": pa.array(times), "assigned": pa.array([assigned] * n)}
        features = pa.array([{"a": 1.0}] * n)
        schema = served_schema(features.type)
        table = pa.Table.from_arrays([values.get(f.name, features) for f in schema], schema=schema)
        self.log.append_served(name, table, times[0])

    def later(self) -> RecordCounts:
        self.now_s += 60
        return self.counts


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def test_nothing_is_none_labelled(place: Place) -> None:
    assert place.counts.labelled("toy", 0.0) == 0
    assert place.counts.maturity("toy", 0.0, NOW_S) is None


def test_a_row_counts_once_however_often_it_is_corrected(place: Place) -> None:
    place.label("a", ["r1", "r2"], NOW_S)
    assert place.later().labelled("toy", 0.0) == 2
    place.label("b", ["r2", "r3"], NOW_S + 5)
    assert place.later().labelled("toy", 0.0) == 3
    assert place.later().labelled("other", 0.0) == 0


def test_two_beginnings_are_counted_beside_each_other(place: Place) -> None:
    place.label("a", ["r1", "r2"], NOW_S)
    place.label("b", ["r3"], NOW_S + 5)
    for _ in range(3):
        assert place.later().labelled("toy", 0.0) == 3
        assert place.later().labelled("toy", NOW_S + 1) == 1
    assert len(place.counts._labels) == 2
    place.later().labelled("toy", NOW_S + 2)
    assert len(place.counts._labels) == 2


def test_maturity_is_the_share_of_answers_that_are_old_enough(place: Place) -> None:
    place.serve("old", [NOW_S, NOW_S + 10])
    place.serve("new", [NOW_S + 100, NOW_S + 110])
    place.serve("bulk", [NOW_S, NOW_S + 10], assigned="direct")
    assert place.later().maturity("toy", NOW_S, NOW_S + 50) == 0.5
    assert place.later().maturity("toy", NOW_S, NOW_S + 105) == 0.75
    assert place.later().maturity("toy", NOW_S, NOW_S - 1) == 0.0
    assert place.later().maturity("toy", NOW_S, NOW_S + 200) == 1.0
    assert place.later().maturity("toy", NOW_S + 50, NOW_S + 60) == 0.0
