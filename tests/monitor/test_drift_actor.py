import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest
import ray

from mlops_ray.monitor import ensure_drift_actor
from mlops_ray.spec import Workspace
from tests.monitor.samples import Watch, rows_of, toy_spec

SPEC = toy_spec(monitor={"window": {"size_s": 600, "every_s": 0.5, "min_rows": 200}})


def judged(actor: Any, rows: int) -> dict[str, Any]:
    """The status once a window of so many rows was judged."""
    status: dict[str, Any] = {}
    for _ in range(120):
        status = ray.get(actor.status.remote("toy"), timeout=60)
        if status["report"] is not None and status["report"]["rows"] == rows:
            return status
        time.sleep(0.25)
    raise AssertionError(f"no window of {rows} rows was judged, the last status is {status}")


@pytest.mark.slow
def test_killed_it_is_started_again_and_goes_on_with_its_window(
    ray_cluster: str, workspace: Workspace, tmp_path: Path
) -> None:
    # The cluster has a drift actor of its own; this one watches another workspace.
    workspace = workspace.model_copy(update={"namespace": "test_drift_actor"})
    watch = Watch(workspace, tmp_path, spec=SPEC, now_s=time.time())
    actor = ensure_drift_actor(workspace)
    try:
        handover = watch.handover(rows_of(300, seed=1, shift_b=1.0))
        ray.get(actor.receive.remote("toy", handover))
        assert judged(actor, 300)["version"] == 1
        pid = ray.get(actor.ready.remote())
        os.kill(pid, signal.SIGKILL)
        # What the replica could not be sure of it offers again; it has to count once.
        ray.get(actor.receive.remote("toy", handover), timeout=60)
        ray.get(actor.receive.remote("toy", watch.handover(rows_of(100, seed=2, shift_b=1.0))), timeout=60)
        assert ray.get(actor.ready.remote()) != pid
        judged(actor, 400)
        time.sleep(2)
        assert watch.open_alerts() == [("drift", 1, ["b"])]
        assert len(watch.store.alerts("toy")) == 1
    finally:
        ray.kill(actor)
        watch.store.close()
