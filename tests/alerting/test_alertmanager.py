"""Alerts for Alertmanager, held against its API's description, and where it can be had against the real one."""

import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import requests

from mlops_ray.alerting import AlertmanagerSink
from mlops_ray.alerting.alertmanager import alertmanager_alerts
from tests.alerting.receiver import Receiver, closed_port, receiver
from tests.alerting.samples import BROKEN, alert, message

# `postableAlerts` of api/v2/openapi.yaml, prometheus/alertmanager.
LABELS: dict[str, Any] = {"type": "object", "additionalProperties": {"type": "string"}}
POSTABLE: dict[str, Any] = {
    "type": "array",
    "items": {
        "type": "object",
        "required": ["labels"],
        "additionalProperties": False,
        "properties": {
            "labels": LABELS | {"propertyNames": {"pattern": "^[a-zA-Z_][a-zA-Z0-9_]*$"}},
            "annotations": LABELS,
            "startsAt": {"type": "string", "format": "date-time"},
            "endsAt": {"type": "string", "format": "date-time"},
            "generatorURL": {"type": "string"},
        },
    },
}


def at_s(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def test_an_open_alert_lasts_until_it_could_have_been_repeated_four_times(hook: Receiver) -> None:
    AlertmanagerSink(hook.url.removesuffix("/services/T000/SECRET"), repeat_s=30).send(message())
    (body,) = hook.bodies
    assert hook.paths == ["/api/v2/alerts"]
    jsonschema.validate(body, POSTABLE, format_checker=jsonschema.FormatChecker())
    (told,) = body
    assert told["labels"] == {"alertname": "mlops_ray_drift", "model": "churn", "version": "3", "severity": "warning"}
    assert at_s(told["startsAt"]) == 1_700_000_000.5
    assert at_s(told["endsAt"]) == 1_700_000_020.0 + 4 * 30
    assert "tenure: KS 0.312" in told["annotations"]["description"]


def test_what_is_over_ends_under_the_same_labels() -> None:
    (before,) = alertmanager_alerts(message(), lasts_s=60)
    (over,) = alertmanager_alerts(message(alert(event="resolved", at_s=1_700_000_500.0)), lasts_s=60)
    assert over["labels"] == before["labels"]
    assert at_s(over["endsAt"]) == 1_700_000_500.0


def test_an_alert_that_got_more_severe_takes_the_place_of_the_one_before() -> None:
    escalated = alert(event="escalated", severity="critical", severity_before="warning", at_s=1_700_000_015.0)
    ended, new = alertmanager_alerts(message(escalated), lasts_s=60)
    assert (ended["labels"]["severity"], at_s(ended["endsAt"])) == ("warning", 1_700_000_015.0)
    assert (new["labels"]["severity"], at_s(new["endsAt"])) == ("critical", 1_700_000_080.0)


# -- the real one ------------------------------------------------------------------------------------------------------

CONFIG = """
route: {receiver: hook, group_wait: 100ms, group_interval: 200ms, repeat_interval: 1h}
receivers:
  - name: hook
    webhook_configs: [{url: "URL", send_resolved: true}]
"""


# Debian's looks for its templates in a folder of the system: one of the same length, seen from where it runs.
INSTALLED, UNPACKED = b"/usr/share/prometheus/alertmanager", b"./" * 16 + b"am"


def _binary(folder: Path) -> Path:
    """Alertmanager of Debian's packages, unpacked into `folder` and not installed; it runs there."""
    if not shutil.which("apt-get") or not shutil.which("dpkg"):
        pytest.skip("no Alertmanager: it comes from Debian's packages, and this is no Debian")
    ask = ["apt-get", "download", "prometheus-alertmanager"]
    done = subprocess.run(ask, cwd=folder, capture_output=True, text=True, check=False)
    packages = list(folder.glob("*.deb"))
    if done.returncode != 0 or not packages:
        pytest.skip(f"no Alertmanager: {done.stderr.strip()[-200:]}")
    subprocess.run(["dpkg", "-x", str(packages[0]), str(folder)], check=True)
    binary = folder / "usr/bin/prometheus-alertmanager"
    binary.write_bytes(binary.read_bytes().replace(INSTALLED, UNPACKED))
    (folder / "usr/share/prometheus/alertmanager").rename(folder / "am")
    return binary


@pytest.fixture
def alertmanager(tmp_path: Path, hook: Receiver) -> Iterator[str]:
    """The base URL of a running Alertmanager that tells `hook`."""
    config = tmp_path / "alertmanager.yaml"
    config.write_text(CONFIG.replace("URL", hook.url))
    binary, port = _binary(tmp_path), closed_port()
    arguments = [f"--config.file={config}", f"--storage.path={tmp_path}", "--cluster.listen-address="]
    process = subprocess.Popen([str(binary), *arguments, f"--web.listen-address=127.0.0.1:{port}"], cwd=tmp_path)
    url = f"http://127.0.0.1:{port}"
    try:
        for _ in range(300):
            with suppress(requests.ConnectionError):
                if requests.get(f"{url}/-/ready", timeout=5).ok:
                    break
            assert process.poll() is None, "Alertmanager ended"
            time.sleep(0.1)
        yield url
    finally:
        process.terminate()
        process.wait()


def _until(condition: Any) -> None:
    deadline_s = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline_s
        time.sleep(0.05)


@pytest.mark.slow
def test_a_real_alertmanager_tells_of_the_alert_and_of_its_end(alertmanager: str, hook: Receiver) -> None:
    sink, now_s = AlertmanagerSink(alertmanager, repeat_s=60), time.time()
    sink.send(message(alert(raised_s=now_s), at_s=now_s, sent_s=now_s))
    _until(lambda: hook.bodies)
    (firing,) = hook.bodies[0]["alerts"]
    assert (firing["status"], firing["labels"]["alertname"]) == ("firing", "mlops_ray_drift")
    assert requests.get(f"{alertmanager}/api/v2/alerts", timeout=5).json()[0]["annotations"]["summary"] == (
        "two features drifted"
    )
    sink.send(message(alert(raised_s=now_s, event="repeated"), at_s=now_s, sent_s=time.time()))
    sink.send(message(alert(raised_s=now_s, event="resolved", at_s=time.time()), sent_s=time.time()))
    _until(lambda: hook.bodies[-1]["alerts"][0]["status"] == "resolved")
    assert [body["status"] for body in hook.bodies] == ["firing", "resolved"], "the repetition told nobody anything"


def test_the_receiver_used_here_runs_where_it_is_told() -> None:
    port = closed_port()
    with receiver(port) as state:
        assert f":{port}/" in state.url


def test_the_description_says_what_is_broken() -> None:
    (told,) = alertmanager_alerts(message(alert(**BROKEN)), lasts_s=240.0)
    assert told["annotations"]["description"] == "plan: every value is <null>"
