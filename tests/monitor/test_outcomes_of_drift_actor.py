"""Outcomes on a real drift actor that is killed again and again: no label lost, none doubled, one alert."""

import os
import signal
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import ray

from mlops_ray.evaluation import facts_of
from mlops_ray.monitor import ensure_drift_actor
from mlops_ray.records import LABELS
from mlops_ray.spec import Workspace
from tests.monitor.samples import Watch, rows_of, toy_spec

SPEC = toy_spec(monitor={"window": {"size_s": 600, "every_s": 0.5, "min_rows": 200}})
Y = (np.arange(2_000) % 2).astype(np.float64)


def stream_of(actor: Any, seen: int) -> dict[str, Any]:
    """The stream of errors once it has so many labels."""
    outcomes: dict[str, Any] | None = None
    for _ in range(240):
        outcomes = ray.get(actor.status.remote("toy"), timeout=120)["outcomes"]
        if outcomes is not None and outcomes["errors"] is not None and outcomes["errors"]["seen"] >= seen:
            return dict(outcomes["errors"])
        time.sleep(0.25)
    raise AssertionError(f"{seen} labels were not there, the last outcomes are {outcomes}")


@pytest.mark.slow
def test_killed_between_labels_it_has_each_of_them_once(ray_cluster: str, workspace: Workspace, tmp_path: Path) -> None:
    assert ray_cluster
    workspace = workspace.model_copy(update={"namespace": "test_outcomes_of_drift_actor"})
    watch = Watch(workspace, tmp_path, spec=SPEC, now_s=time.time() - 300)
    facts = facts_of("binary", Y, np.where(np.arange(2_000) % 10 == 0, 1 - Y, Y) * 0.8 + 0.1, Y)
    watch.put_champion(2, training={"holdout": facts.to_json()})
    actor = ensure_drift_actor(workspace)
    errors = 0
    try:
        for step in range(4):
            watch.now_s += 10.0
            handover = watch.handover(rows_of(100, seed=step), version=2)
            ray.get(actor.receive.remote("toy", handover), timeout=120)
            wrong = np.random.default_rng(step).random(100) < (0.1 if step < 2 else 0.7)
            said = handover["records"]["score"].to_numpy() >= 0.5
            errors += int(wrong.sum())
            rows = [
                {"request_id": name, "row": 0, "label": float(label), "received_s": 0.0}
                for name, label in zip(handover["records"]["request_id"].to_pylist(), said != wrong, strict=True)
            ]
            table = pa.Table.from_pylist(rows, schema=LABELS)
            ray.get(actor.keep_labels.remote("toy", f"labels-{step}", table), timeout=120)
            os.kill(ray.get(actor.ready.remote(), timeout=120), signal.SIGKILL)
            # whoever sent them does not know whether they arrived, and sends them again
            ray.get(actor.keep_labels.remote("toy", f"labels-{step}-again", table), timeout=120)
        found = stream_of(actor, 400)
        assert (found["seen"], found["errors"], found["level"]) == (400, errors, "drift")
        assert [(a.kind, a.severity) for a in watch.store.alerts("toy") if a.state == "open"] == [
            ("concept_drift", "critical")
        ]
    finally:
        ray.kill(actor)
        watch.store.close()
