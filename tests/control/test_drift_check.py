"""Rows in files are held against the champion's reference, whole columns that are broken included."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mlops_ray.control.drift_check import DriftCheck, check_drift
from mlops_ray.errors import NotFoundError, SchemaError, SourceError
from mlops_ray.spec import Workspace
from mlops_ray.verdict import Verdict
from tests.monitor.samples import Watch, rows_of

pytestmark = pytest.mark.usefixtures("ray_cluster")


@pytest.fixture
def watch(workspace: Workspace, tmp_path: Path) -> Iterator[Watch]:
    """Model "toy" with champion 1."""
    watch = Watch(workspace, tmp_path)
    yield watch
    watch.monitor.close()
    watch.store.close()


def write(folder: Path, rows: int, *, files: int = 3, shift_b: float = 0.0, scale_a: float = 1.0) -> str:
    """Files of rows."""
    folder.mkdir()
    for number in range(files):
        matrix = rows_of(rows, seed=70 + number, shift_b=shift_b)
        table = pa.table({"b": matrix[:, 1], "a": scale_a * matrix[:, 0], "y": np.zeros(rows)})
        pq.write_table(table, folder / f"{number}.parquet")
    return str(folder)


def check(watch: Watch, data: str, **how: int) -> DriftCheck:
    return check_drift(watch.store, watch.workspace, "toy", data, **how)


def test_rows_like_those_of_the_training_pass(watch: Watch, tmp_path: Path) -> None:
    found = check(watch, write(tmp_path / "rows", 500))
    assert (found.verdict, found.version, found.report.rows, found.problems) == (Verdict.PASS, 1, 1500, ())
    assert "toy v1: " in found.text()
    one = check(watch, str(tmp_path / "rows" / "1.parquet"))
    assert one.report.rows == 500
    assert check(watch, f"file://{tmp_path}/rows").report.rows == 1500


def test_a_feature_that_drifted_fails_by_its_name(watch: Watch, tmp_path: Path) -> None:
    found = check(watch, write(tmp_path / "rows", 500, shift_b=0.6))
    assert (found.verdict, found.report.drifted) == (Verdict.FAIL, ("b",))
    assert found.to_json()["verdict"] == "FAIL"


def test_a_broken_column_fails_and_is_no_drift(watch: Watch, tmp_path: Path) -> None:
    found = check(watch, write(tmp_path / "rows", 500, scale_a=0.0))
    assert (found.verdict, found.report.drifted) == (Verdict.FAIL, ())
    assert [problem.feature for problem in found.problems] == ["a"]
    assert "BROKEN a: " in found.text()


def test_infinite_values_are_broken_as_they_are_in_traffic(watch: Watch, tmp_path: Path) -> None:
    matrix = rows_of(600, seed=3)
    matrix[:120, 0] = np.inf
    pq.write_table(pa.table({"a": matrix[:, 0], "b": matrix[:, 1], "prediction": [0.5] * 600}), tmp_path / "x.parquet")
    found = check(watch, str(tmp_path / "x.parquet"))
    assert [(problem.feature, problem.breakage) for problem in found.problems] == [("a", "infinite")]
    assert found.report.drifted == (), "answers are not judged where a column is broken"


def test_too_few_rows_say_nothing(watch: Watch, tmp_path: Path) -> None:
    assert check(watch, write(tmp_path / "rows", 20, files=2)).verdict is Verdict.INCONCLUSIVE


def test_what_cannot_be_read_is_named(watch: Watch, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"nowhere\.parquet: expected Parquet that can be read"):
        check(watch, str(tmp_path / "nowhere.parquet"))
    (tmp_path / "text.parquet").write_text("a,b\n1,2\n")
    with pytest.raises(SourceError, match=r"text\.parquet: expected Parquet"):
        check(watch, str(tmp_path / "text.parquet"))
    pq.write_table(pa.table({"a": [1.0]}), tmp_path / "less.parquet")
    with pytest.raises(SchemaError, match="'b' is missing"):
        check(watch, str(tmp_path / "less.parquet"))
    pq.write_table(pa.table({"a": ["one"] * 200, "b": [1.0] * 200}), tmp_path / "texts.parquet")
    with pytest.raises(SourceError, match=r"cannot be read as rows of the model: .*Failed to parse string: .one"):
        check(watch, str(tmp_path / "texts.parquet"))
    folder = write(tmp_path / "rows", 200)
    (tmp_path / "rows" / "2.parquet").write_bytes(b"PAR1 and then nothing PAR1")
    with pytest.raises(SourceError, match="rows: "):
        check(watch, folder)
    with pytest.raises(NotFoundError):
        check(watch, str(tmp_path / "less.parquet"), version=7)
    with pytest.raises(NotFoundError, match="no model 'other'"):
        check_drift(watch.store, watch.workspace, "other", "x")
