import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mlops_ray.control.model_checks import check_model, check_performance, record_baseline
from mlops_ray.control.operations import register
from mlops_ray.errors import NotFoundError, SourceError, SpecError
from mlops_ray.model import TrainedModel
from mlops_ray.spec import Workspace
from mlops_ray.store import Event, Stage
from mlops_ray.verdict import Verdict
from tests.e2e import broken_models
from tests.e2e.toy import Toy, rows, sound_model


@pytest.fixture
def toy(workspace: Workspace) -> Toy:
    made = Toy(workspace, "checked")
    made.store.create()
    register(made.store, made.spec, actor="test", now_s=0.0)
    return made


@pytest.fixture
def fixed(tmp_path: Path) -> Path:
    """Labelled rows that never change."""
    table = pa.Table.from_pylist(rows(500, 7))
    outcome = [int(row["a"] + (row["c"] == "z") > 0.5) for row in table.to_pylist()]
    pq.write_table(table.append_column("y", pa.array(outcome)), tmp_path / "fixed.parquet")
    return tmp_path / "fixed.parquet"


def python_model(kind: type) -> TrainedModel:
    return broken_models.broken(kind, sound_model(11))


class NotTheSame:
    """Another answer each time."""

    def __init__(self, _: Path) -> None:
        self._generator = np.random.default_rng()

    def predict(self, matrix: np.ndarray) -> np.ndarray:
        """See the class."""
        return self._generator.uniform(size=len(matrix))


class OfAll:
    """An answer that depends on the other rows."""

    def __init__(self, _: Path) -> None: ...

    def predict(self, matrix: np.ndarray) -> np.ndarray:
        """See the class."""
        return np.full(len(matrix), 1.0 / (1 + len(matrix)))


class TooLarge:
    """No probability."""

    def __init__(self, _: Path) -> None: ...

    def predict(self, matrix: np.ndarray) -> np.ndarray:
        """See the class."""
        return np.full(len(matrix), 1.5)


def test_a_sound_version_is_sane(toy: Toy) -> None:
    toy.add_version()
    report = check_model(toy.store, toy.name)
    assert (report.verdict, report.version) == (Verdict.PASS, 1)
    assert set(report.checks) == {"loads", "predicts", "probabilities", "repeats", "as trained"}


@pytest.mark.parametrize(
    ("kind", "why"),
    [
        (NotTheSame, "another one the second time"),
        (OfAll, "other rows of its call"),
        (TooLarge, "0..1"),
        (broken_models.Unloadable, "weights"),
    ],
)
def test_a_version_that_is_not_sane_says_why(toy: Toy, kind: type, why: str) -> None:
    toy.add_version(python_model(kind))
    report = check_model(toy.store, toy.name)
    assert report.verdict is Verdict.FAIL
    assert why in report.checks["fails"]


def test_a_bundle_that_was_changed_is_found(toy: Toy) -> None:
    toy.add_version()
    record = toy.store.model_version(toy.name, 1)
    Path(record.bundle_uri.removeprefix("file://"), "model.lgb.txt").write_text("tree")
    assert "sha256 differs" in check_model(toy.store, toy.name).checks["fails"]


def test_the_same_model_passes_and_a_weaker_one_fails(toy: Toy, fixed: Path, tmp_path: Path) -> None:
    baseline = tmp_path / "ci" / "baseline.json"
    toy.add_version(sound_model(60))
    record_baseline(toy.store, toy.name, fixed, baseline=baseline)
    assert json.loads(baseline.read_text())["rows"] == 500
    fine = check_performance(toy.store, toy.name, fixed, baseline=baseline, max_drop=0.0)
    assert fine.verdict is Verdict.PASS
    toy.add_version(sound_model(1))
    weaker = check_performance(toy.store, toy.name, fixed, baseline=baseline, max_drop=0.0)
    assert weaker.verdict is Verdict.FAIL
    assert check_performance(toy.store, toy.name, fixed, baseline=baseline, max_drop=0.5).verdict is Verdict.PASS
    # log loss is better when it is smaller
    assert fine.metrics["log_loss"] < weaker.metrics["log_loss"]
    log_loss = check_performance(toy.store, toy.name, fixed, baseline=baseline, max_drop=0.01, metric="log_loss")
    assert log_loss.verdict is Verdict.FAIL


def test_a_champion_is_compared_row_by_row(toy: Toy, fixed: Path, tmp_path: Path) -> None:
    baseline = tmp_path / "baseline.json"
    toy.add_version(sound_model(60))
    with toy.store.change(Event("version.champion", "1", {}, "test", 0.0)) as change:
        change.set_stage(toy.name, 1, Stage.CHAMPION)
    toy.add_version(sound_model(1))
    record_baseline(toy.store, toy.name, fixed, baseline=baseline)  # of the weak one
    report = check_performance(toy.store, toy.name, fixed, baseline=baseline, max_drop=0.0, metric="log_loss")
    assert "against the champion" in report.checks["champion"]
    assert report.verdict is Verdict.FAIL


def test_what_is_missing_is_named(toy: Toy, fixed: Path, tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="no version"):
        check_model(toy.store, toy.name)
    toy.add_version()
    with pytest.raises(SourceError, match="--record"):
        check_performance(toy.store, toy.name, fixed, baseline=tmp_path / "none.json", max_drop=0.0)
    with pytest.raises(SourceError, match="cannot be read"):
        check_performance(toy.store, toy.name, tmp_path / "none.parquet", baseline=fixed, max_drop=0.0)
    with pytest.raises(SpecError, match="rmse"):
        check_performance(toy.store, toy.name, fixed, baseline=fixed, max_drop=0.0, metric="rmse")
