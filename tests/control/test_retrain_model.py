"""A whole retraining on a real Ray: by a trigger and by hand, killed in the middle, on a window of its own."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import ray

from mlops_ray.cli.context import json_ready
from mlops_ray.control import retrain_model as module
from mlops_ray.control.ledger import OUTCOME
from mlops_ray.control.loop_breaker import pause_loop
from mlops_ray.control.manual_retraining import retrain_by_hand
from mlops_ray.control.operations import register
from mlops_ray.control.outcomes_in_a_row import VERSION
from mlops_ray.control.ray_jobs import DRIVER, RayJobs
from mlops_ray.control.retrain_model import Retrained, retrain_model
from mlops_ray.errors import ConflictError, MlopsRayError
from mlops_ray.spec import ModelSpec, Workspace
from mlops_ray.store import AlertRecord, Event, Store, TriggerRecord
from tests.train.conftest import churn_table, spec_of

pytestmark = pytest.mark.slow


class Killed(BaseException):
    """SIGKILL, as far as one process can play it."""


class Retrainings:
    """One model with rows, and what retrains it."""

    def __init__(self, folder: Path, gates: tuple[Any, ...] = (), **retrain: Any) -> None:
        (folder / "raw").mkdir(parents=True)
        pq.write_table(churn_table(), folder / "raw" / "1.parquet")
        self.workspace = Workspace.at(folder / "home")
        self.store = Store(self.workspace.store)
        self.store.create()
        self.now_s = 1_800_000_000.0
        self.told: list[str] = []
        self.spec: ModelSpec = spec_of(data={"source": str(folder / "raw")}, gates=gates, retrain=retrain)
        register(self.store, self.spec, actor="test", now_s=self.now_s)

    def clock(self) -> float:
        self.now_s += 1.0
        return self.now_s

    def arguments(self) -> dict[str, Any]:
        return {"actor": "ada", "clock": self.clock, "progress": self.told.append}

    def by_hand(self, key: str | None = None, *, force: bool = False) -> Retrained:
        return retrain_by_hand(self.store, self.workspace, "churn", key=key, force=force, **self.arguments())

    def trigger(self, id: str) -> None:
        """A trigger whose job has begun."""
        record = TriggerRecord(id, "churn", "drift", {}, "submitted", f"retrain-{id}", "", 1.0, 1.0)
        with self.store.change(Event("trigger.raised", id, {}, "test", 1.0)) as change:
            change.put_trigger(record)

    def answer(self, id: str) -> Retrained:
        return retrain_model(self.store, self.workspace, "churn", trigger=id, **self.arguments())


@pytest.fixture
def retrainings(ray_cluster: str, tmp_path: Path) -> Iterator[Retrainings]:
    assert ray_cluster
    here = Retrainings(tmp_path)
    yield here
    here.store.close()


def test_a_person_retrains_once_under_a_key(retrainings: Retrainings) -> None:
    done = retrainings.by_hand("monday")
    assert done.version is not None
    assert done.rollout is not None
    (trigger,) = retrainings.store.triggers("churn")
    assert (trigger.id, trigger.cause, trigger.state) == ("churn-manual-monday", "manual", "succeeded")
    assert trigger.evidence[VERSION] == done.version.version
    again = retrainings.by_hand("monday")
    assert again.reason == "key 'monday' was given before, and is succeeded: gates PASS"
    assert (again.version, len(retrainings.store.model_versions("churn"))) == (done.version, 1)
    assert retrainings.store.verify().verified


def test_a_person_who_forces_it_is_told_what_the_guards_say_and_trains(ray_cluster: str, tmp_path: Path) -> None:
    assert ray_cluster
    here = Retrainings(tmp_path, guards={"min_new_rows": 10_000})  # so that no sweep is run
    pause_loop(here.store, "churn", by="bob", reason="a migration", now_s=here.now_s)
    alert = AlertRecord("q", "churn", 1, "data_quality", "critical", "zeros", ("tenure",), {}, "open", 1.0, 1.0)
    with here.store.change(Event("alert.test", "q", {}, "test", 1.0)) as change:
        change.put_alert(alert)
    with pytest.raises(ConflictError, match=r"alert q is open \(tenure\).*--force"):
        here.by_hand("k")
    assert here.told == []
    done = here.by_hand("k", force=True)
    assert [w.guard for w in done.warnings] == ["paused", "data_quality"]
    assert here.told[:2] == [
        "warning: paused: paused by bob: a migration",
        "warning: data_quality: data_quality alert q is open (tenure): zeros",
    ]
    assert json_ready(done)["warnings"][0] == {
        "guard": "paused",
        "reason": "paused by bob: a migration",
        "until_s": None,
    }
    assert here.by_hand("k").warnings == done.warnings


def test_a_retraining_that_fails_says_so_in_the_ledger(retrainings: Retrainings) -> None:
    for file in Path(retrainings.spec.data.source).iterdir():
        file.unlink()
    with pytest.raises(MlopsRayError):
        retrainings.by_hand("k")
    (trigger,) = retrainings.store.triggers("churn")
    assert trigger.state == "failed"
    assert trigger.reason.startswith("SourceError: ")


def test_killed_between_training_and_delivery_it_trains_nothing_twice(
    retrainings: Retrainings, monkeypatch: pytest.MonkeyPatch
) -> None:
    retrainings.trigger("t")

    def dies(*_: Any, **__: Any) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(module, "deploy", dies)
        with pytest.raises(Killed):
            retrainings.answer("t")
    assert len(retrainings.store.model_versions("churn")) == 1
    done = retrainings.answer("t")
    assert len(retrainings.store.model_versions("churn")) == 1
    assert done.rollout is not None
    # And once more, as when Ray lost its record of a job that had ended.
    again = retrainings.answer("t")
    assert again.rollout is not None
    assert again.rollout.id == done.rollout.id
    assert len(retrainings.store.rollouts("churn")) == 1
    assert (
        retrainings.store.trigger("t").evidence[OUTCOME]
        == f"v{again.version.version if again.version else 0}: gates PASS"
    )


def test_too_few_new_rows_make_no_version_and_the_reason_is_kept(ray_cluster: str, tmp_path: Path) -> None:
    assert ray_cluster
    here = Retrainings(tmp_path, guards={"min_new_rows": 10_000})
    here.trigger("t")
    done = here.answer("t")
    assert done.version is None
    assert here.store.trigger("t").evidence[OUTCOME] == f"no version: {done.reason}"
    assert "600 new rows, retrain.guards.min_new_rows asks for 10000" in done.reason


def test_a_window_is_what_the_version_says_it_was_trained_on(ray_cluster: str, tmp_path: Path) -> None:
    assert ray_cluster
    never = ({"metric": "auc", "min": 0.9999},)  # so that nothing is delivered
    here = Retrainings(tmp_path, never, data={"window": "sliding", "rows": 400})
    done = here.by_hand()
    assert done.version is not None
    assert done.version.dataset.startswith("tests.churn_w1_")
    assert done.version.dataset.endswith("@v1")
    assert here.store.events(subject=done.version.dataset, kind="dataset.committed")
    # The next retraining reckons its new rows from the table's version behind the window.
    champion = done.version
    with here.store.change(Event("champion.test", "churn", {}, "test", 1.0)) as change:
        change.set_stage("churn", champion.version, champion.stage.CHAMPION)
    again = here.by_hand()
    assert again.version is not None
    assert again.version.dataset == champion.dataset


def test_a_driver_runs_as_long_as_its_process_does(live: Workspace) -> None:
    jobs = RayJobs(live)
    assert jobs.state(f"{DRIVER}{ray.get_runtime_context().get_job_id()}") == ("running", "")
    connects = f"import ray; ray.init('{live.ray_address}', log_to_driver=False)"
    script = f"{connects}; print(ray.get_runtime_context().get_job_id())"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert jobs.state(f"{DRIVER}{done.stdout.split()[-1]}") == ("unknown", "")
