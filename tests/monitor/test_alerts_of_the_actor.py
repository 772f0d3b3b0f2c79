"""From traffic through a real drift actor to real receivers, which are down while the actor is killed."""

import os
import signal
import time
from pathlib import Path

import pytest
import ray

from mlops_ray.monitor import ensure_drift_actor
from mlops_ray.spec import Workspace
from tests.alerting.receiver import closed_port, receiver, smtp_server
from tests.monitor.samples import Watch, rows_of, toy_spec
from tests.monitor.test_drift_actor import until


@pytest.mark.slow
def test_an_alert_of_a_killed_actor_reaches_receivers_that_were_down_once(
    ray_cluster: str, workspace: Workspace, tmp_path: Path
) -> None:
    http, smtp = closed_port(), closed_port()
    email = {"type": "email", "host": "127.0.0.1", "port": smtp, "security": "none", "sender": "m@b", "to": ["o@b"]}
    spec = toy_spec(
        monitor={"window": {"size_s": 600, "every_s": 0.5, "min_rows": 200}},
        alerts=[{"type": "webhook", "url": f"http://127.0.0.1:{http}/hook"}, email],
        alerting={"group_s": 0, "retry_max_s": 2},
    )
    workspace = workspace.model_copy(update={"namespace": "test_alerts_of_the_actor"})
    watch = Watch(workspace, tmp_path, spec=spec, now_s=time.time())
    watch.monitor.close()
    actor = ensure_drift_actor(workspace)
    try:
        ray.get(actor.receive.remote("toy", watch.handover(rows_of(300, seed=1, shift_b=1.0))), timeout=60)
        until(lambda: any(d.reason for d in watch.store.deliveries("toy")))
        os.kill(ray.get(actor.ready.remote()), signal.SIGKILL)
        with receiver(http) as hook, smtp_server(smtp) as box:
            until(lambda: [d.state for d in watch.store.deliveries("toy")] == ["sent", "sent"])
            time.sleep(3)
            (alert,) = watch.store.alerts("toy")
            assert [told["id"] for body in hook.bodies for told in body["alerts"]] == [alert.id]
            assert [alert.message in str(mail["Subject"]) for mail in box.emails] == [True]
        assert watch.store.verify().verified
    finally:
        ray.kill(actor)
        watch.store.close()
