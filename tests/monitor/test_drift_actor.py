import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import ray

from mlops_ray.monitor import Cursor, ensure_drift_actor
from mlops_ray.rollout import Block
from mlops_ray.spec import Workspace
from tests.monitor.samples import Watch, labels, on, rows_of, served, toy_spec

SPEC = toy_spec(
    monitor={"window": {"size_s": 600, "every_s": 0.5, "min_rows": 200}},
    rollout={"analysis": {"outcomes": [{"name": "mistakes", "of": "error", "max_harm": 0.1}]}},
)


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


def until(look: Callable[[], Any]) -> Any:
    """What `look` finds, as soon as it is something."""
    for _ in range(120):
        if found := look():
            return found
        time.sleep(0.25)
    raise AssertionError("it did not come within 30 s")


@pytest.mark.slow
def test_killed_it_gives_a_reader_the_evidence_and_outcomes_it_has_not_given_yet(
    ray_cluster: str, workspace: Workspace, tmp_path: Path
) -> None:
    workspace = workspace.model_copy(update={"namespace": "test_drift_actor_evidence"})
    watch = Watch(workspace, tmp_path, spec=SPEC, now_s=time.time())
    watch.put_rollout(created_s=watch.now_s)
    actor = ensure_drift_actor(workspace)
    cursor = Cursor()

    def blocks() -> list[Block]:
        nonlocal cursor
        cursor, found = ray.get(actor.evidence.remote("toy", 2, cursor), timeout=60)
        return found

    def outcomes() -> Any:
        totals = ray.get(actor.outcomes.remote("toy", 2), timeout=60)
        return totals and totals["mistakes"]

    def hand_over(requests: int) -> dict[str, Any]:
        rows = [on("canary", time_s=watch.now_s, unit="ada", error="boom") for _ in range(requests)]
        handover = watch.handover(rows_of(1, seed=1)) | {"records": served(*rows)}
        ray.get(actor.receive.remote("toy", handover), timeout=60)
        return handover

    try:
        hand_over(1)
        assert [block.canary_requests for block in until(blocks)] == [1]
        unread = hand_over(2)
        ray.get(actor.keep_labels.remote("toy", "labels", labels(("r0", 0, 0.0, 0.0))), timeout=60)
        os.kill(ray.get(actor.ready.remote()), signal.SIGKILL)
        ray.get(actor.receive.remote("toy", unread), timeout=60)
        hand_over(3)
        found = until(blocks)
        assert [(block.canary_requests, block.canary_errors) for block in found] == [(2, 0), (3, 0)]
        assert blocks() == []
        (stratum,) = until(outcomes)
        assert (stratum.canary.n, stratum.canary.mean) == (1, 1.0)
    finally:
        ray.kill(actor)
        watch.store.close()
