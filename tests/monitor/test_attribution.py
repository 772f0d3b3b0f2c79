"""The attribution judge: quiet on traffic as in training, loud where a feature that mattered broke."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import pytest
from numpy.typing import NDArray

from mlops_ray.drift import attribution_reference
from mlops_ray.errors import ClusterError
from mlops_ray.lake import Lake
from mlops_ray.model import TrainedModel, explainer_for, publish_bundle, write_bundle
from mlops_ray.model.lightgbm_predictor import LightGBMPredictor
from mlops_ray.monitor import ModelMonitor
from mlops_ray.monitor.attribution_task import AttributionOrder, Contributions, explain_window
from mlops_ray.spec import Workspace
from mlops_ray.store import Event, ModelVersionRecord, Stage
from tests.monitor.samples import SIGNATURE, Watch, reference, rows_of, toy_spec

MONITOR: dict[str, Any] = {
    "window": {"size_s": 200, "every_s": 10, "min_rows": 200},
    "attribution": {"every_s": 20, "rows": 300},
}


class HereAndNow:
    """Explains when asked for the result; fails as often as it is told before."""

    def __init__(self) -> None:
        self.orders: list[AttributionOrder] = []
        self.failures = 0

    def start(self, order: AttributionOrder) -> AttributionOrder:
        self.orders.append(order)
        return order

    def result(self, task: AttributionOrder) -> Contributions | None:
        if self.failures:
            self.failures -= 1
            raise ClusterError("the worker was killed")
        return explain_window(task)


class Explained(Watch):
    """Model "toy", whose champion 2 is a booster that leans on feature b."""

    tasks: HereAndNow
    kept = True

    def put_champion(self, version: int, *, training: Mapping[str, Any] | None = None) -> None:  # noqa: ARG002
        matrix = rows_of(2000, seed=0)[:, :2]
        labels = (2 * matrix[:, 1] + matrix[:, 0] > 0).astype(float)
        quiet = {"objective": "binary", "verbose": -1, "num_threads": 1}
        booster = lightgbm.train(quiet, lightgbm.Dataset(matrix, labels), 20)
        explainer = explainer_for("lightgbm", LightGBMPredictor(booster), SIGNATURE, matrix)
        known = attribution_reference(
            SIGNATURE.names, explainer.explain(matrix[:500]).contributions, method=explainer.method, exact=True, seed=1
        )
        folder = self.folder / f"explained-{version}"
        manifest = write_bundle(
            folder,
            model=TrainedModel("lightgbm", {"model.lgb.txt": booster.model_to_string().encode()}),
            signature=SIGNATURE,
            reference=reference(),
            card="",
            attribution=known if self.kept else None,
        )
        uri = publish_bundle(folder, Lake(self.workspace.lake), "toy")
        record = ModelVersionRecord(
            "toy", version, manifest.digest, uri, "run", "toy@v1", {}, {}, {}, "PASS", Stage.CHAMPION, self.now_s
        )
        with self.store.change(Event("model_version.created", f"toy@{version}", {}, "test", 0.0)) as change:
            change.put_model_version(record)

    def new_monitor(self) -> ModelMonitor:
        self.tasks = HereAndNow()
        monitor = ModelMonitor(
            self.spec, self.workspace, self.store, now_s=self.now_s, sinks=[self.sink], attribution=self.tasks
        )
        monitor.follow(self.now_s)
        return monitor

    def serve(self, seconds: int, *, broken: bool = False) -> None:
        """Traffic as in training; where feature b is broken, it is zero."""
        for _ in range(seconds // 10):
            self.now_s += 10
            matrix: NDArray[np.float64] = rows_of(50, seed=next(self._seeds))
            if broken:
                matrix[:, 1] = 0.0
            self.monitor.receive(self.handover(matrix))
            self.monitor.look_at_attribution(self.now_s)

    def alerts(self) -> list[tuple[str, str, tuple[str, ...]]]:
        return [(a.kind, a.state, a.features) for a in self.store.alerts("toy")]


@pytest.fixture
def watch(workspace: Workspace, tmp_path: Path) -> Iterator[Explained]:
    watch = Explained(workspace, tmp_path, spec=toy_spec(monitor=MONITOR))
    yield watch
    watch.monitor.close()
    watch.store.close()


def test_traffic_as_in_training_raises_nothing(watch: Explained) -> None:
    watch.serve(600)
    assert watch.alerts() == []
    status = watch.monitor.status()["attribution"]
    assert status["verdict"] == "PASS"
    assert status["rows"] == 300
    assert len(watch.tasks.orders) >= 15


def test_a_broken_key_feature_is_an_alert_that_names_it_and_ends_with_it(watch: Explained) -> None:
    watch.serve(300)
    watch.serve(300, broken=True)
    ((kind, state, features),) = watch.alerts()
    assert (kind, state) == ("attribution", "open")
    assert "b" in features
    (alert,) = watch.store.alerts("toy")
    assert "reasons with other features than in training" in alert.message
    assert alert.evidence["verdict"] == "FAIL"
    watch.serve(600)
    assert watch.alerts() == [("attribution", "resolved", features)]


def test_one_look_alone_decides_nothing(watch: Explained) -> None:
    watch.serve(20, broken=True)
    watch.serve(10, broken=True)
    assert len(watch.tasks.orders) == 1
    assert watch.alerts() == []


def test_after_a_restart_an_open_alert_is_not_raised_again(watch: Explained) -> None:
    watch.serve(300, broken=True)
    watch.monitor = watch.new_monitor()
    watch.serve(100, broken=True)
    assert len(watch.alerts()) == 1
    assert len(watch.told()) == 1


def test_a_task_that_fails_is_tried_again_at_the_next_look(watch: Explained) -> None:
    watch.tasks.failures = 2
    watch.serve(300, broken=True)
    assert [kind for kind, _, _ in watch.alerts()] == ["attribution"]


@pytest.mark.parametrize("attribution", [{"enabled": False}, {}], ids=["off", "no reference"])
def test_nothing_is_looked_at_where_it_is_off_or_the_bundle_says_nothing(
    workspace: Workspace, tmp_path: Path, attribution: dict[str, Any]
) -> None:
    Explained.kept = bool(attribution)
    try:
        watch = Explained(workspace, tmp_path, spec=toy_spec(monitor=MONITOR | {"attribution": attribution}))
    finally:
        Explained.kept = True
    watch.serve(2000, broken=True)
    assert watch.tasks.orders == []
    assert watch.monitor.status()["attribution"] is None
    watch.monitor.close()
    watch.store.close()
