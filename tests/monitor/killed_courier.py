"""A process that raises an alert, tells it and resolves it, and kills itself at a line of the code that does so."""

import os
import signal
import sys
import threading
import time
from types import FrameType
from typing import Any

from mlops_ray.alerting import Route, WebhookSink
from mlops_ray.monitor import alert_book, alert_claims, alert_outbox, alert_plan, courier
from mlops_ray.monitor.alert_book import AlertBook
from mlops_ray.monitor.alert_outbox import AlertOutbox
from mlops_ray.monitor.courier import Courier
from mlops_ray.monitor.finding import Finding
from mlops_ray.spec import AlertPolicy
from mlops_ray.store import Store

FILES = {module.__file__ for module in (alert_book, alert_claims, alert_outbox, alert_plan, courier)}
LEASE_S = 0.5
POLICY = AlertPolicy(group_s=0, cooldown_s=0, retry_first_s=0.05, retry_max_s=0.2)


def live(store_url: str, hook: str, kill_at: int) -> None:
    """Go on where the process before was killed; ends when everything is told, or at the line of that number."""
    lines = iter(range(1, sys.maxsize))

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        if frame.f_code.co_filename not in FILES:
            return None
        if event == "line" and next(lines) == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)
        return trace

    threading.settrace(trace)
    sys.settrace(trace)
    store = Store(store_url)
    outbox = AlertOutbox("toy", [Route("hook", WebhookSink(hook), resolved=True)], POLICY)
    book, sender = AlertBook("toy", store, outbox), Courier(store, outbox, lease_s=LEASE_S)
    if not store.alerts("toy"):
        book.report(Finding("drift", "warning", 1, "a drifted", ("a",)), time.time())
    _until_told(store)
    book.resolve("drift", 1, "gone", time.time())
    _until_told(store)
    sender.close(5)


def deliver(store_url: str, hook: str, alerts: int) -> None:
    """Send what others write, until so many alerts were told."""
    store = Store(store_url)
    sender = Courier(store, AlertOutbox("toy", [Route("hook", WebhookSink(hook))], POLICY), lease_s=LEASE_S)
    while len(store.deliveries("toy", "sent")) < alerts:
        time.sleep(0.05)
    sender.close(5)


def _until_told(store: Store) -> None:
    while store.deliveries("toy", "pending"):
        time.sleep(0.01)
