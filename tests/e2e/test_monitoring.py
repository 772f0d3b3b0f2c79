"""A real Prometheus reads a running cluster: its counts are right, every panel has an answer, and an alert fires."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml
from prometheus_client.parser import text_string_to_metric_families
from ray.util.state import list_actors

from mlops_ray.control.client import ModelClient
from mlops_ray.control.local_cluster import LocalCluster, free_port
from mlops_ray.control.operations import register
from mlops_ray.prometheus import Target, dashboards, monitoring_files
from mlops_ray.rollout import Phase
from mlops_ray.spec import Workspace
from tests.e2e import broken_models
from tests.e2e.toy import Toy, kill, sound_model, until
from tests.prometheus.programs import run_promtool, serving

pytestmark = pytest.mark.slow

FOR_EVER = {"min_s": 3600, "max_s": 7200}
EMPTY_HERE = {
    "Refused",
    "Retrainings by cause and state",
    "Since the newest retraining",
    "Answered by the champion instead",
}
"""Panels of what did not happen in these tests."""


@pytest.fixture(scope="module")
def prometheus(live: Workspace, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """On the files of `mlops-ray monitoring export`, only that it looks every second (at Ray's long page less often:
    one that takes longer than the time between two looks counts as down)."""
    folder = tmp_path_factory.mktemp("prometheus")
    target = Target(live.serve, str(LocalCluster(live).metrics_discovery))
    for name, text in monitoring_files(target).items():
        if "/" not in name:
            (folder / name).write_text(text)
    config = yaml.safe_load((folder / "prometheus.yml").read_text())
    config["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    for job in config["scrape_configs"]:
        if job["job_name"] == "ray":
            job["scrape_interval"] = "5s"
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
    with serving(folder, port=free_port()) as url:
        until(lambda: _targets(url) >= {"mlops_ray", "ray"}, "both targets up", timeout_s=90)
        yield url


@pytest.fixture(scope="module")
def watched(live: Workspace) -> Iterator[Toy]:
    toy = Toy(live, "watched", rollout={"steps": [{"share": 0.5, **FOR_EVER}]}).first_champion()
    yield toy
    toy.retire()


def test_what_prometheus_reads_is_what_clients_saw(watched: Toy, prometheus: str) -> None:
    before = _counted(watched)
    with watched.traffic() as driver:
        time.sleep(5)
        counts = driver.stop()
    assert counts.answered == counts.sent > 100
    until(lambda: _counted(watched) - before >= counts.answered, "all counts", timeout_s=30)
    assert _counted(watched) - before == counts.answered
    page = requests.get(f"{watched.workspace.serve}/metrics", timeout=30)
    assert page.headers["content-type"].startswith("text/plain; version=0.0.4")
    query = f'sum(mlops_ray_requests_total{{model="{watched.name}"}})'
    until(lambda: _value(prometheus, query) == _counted(watched), "Prometheus has it too", timeout_s=30)


def test_what_a_killed_replica_had_counted_stays(watched: Toy) -> None:
    with watched.traffic() as driver:
        time.sleep(2)
        driver.stop()
    before = until(lambda: _settled(watched), "the last report", timeout_s=30)
    wanted = [("state", "=", "ALIVE"), ("class_name", "=", f"ServeReplica:{watched.name}:front")]
    (replica,) = list_actors(watched.workspace.dashboard, filters=wanted, detail=True)
    kill(replica.pid)
    until(lambda: len(list_actors(watched.workspace.dashboard, filters=wanted)) == 1, "a new replica", timeout_s=90)
    with watched.traffic() as driver:
        time.sleep(3)
        counts = driver.stop()
    after = until(lambda: _settled(watched), "the last report", timeout_s=30)
    # A request may be asked twice when its replica dies before it answers, and is counted for each.
    assert before + counts.answered <= after <= before + counts.answered + counts.retried + 8


def test_the_page_is_one_that_promtool_finds_nothing_wrong_with(watched: Toy, tmp_path: Path) -> None:
    page = requests.get(f"{watched.workspace.serve}/metrics", timeout=30).content
    assert run_promtool("check", "metrics", folder=tmp_path, given=page).strip() == ""


def test_every_panel_asks_something_prometheus_answers(watched: Toy, prometheus: str) -> None:
    rollout = watched.deploy(watched.add_version(sound_model(40)))
    watched.await_phase(rollout, Phase.CANARY)
    client = ModelClient(watched.workspace.serve, watched.name)
    with watched.traffic() as driver:
        until(lambda: driver.snapshot().answered > 1200, "enough traffic to be judged", timeout_s=120)
        answers = driver.drain_answers()
        client.send_labels([{"request_id": a.request_id, "label": int(i % 3 == 0)} for i, a in enumerate(answers)])
        until(
            lambda: _value(prometheus, f'sum(mlops_ray_performance{{model="{watched.name}"}})'),
            "performance on outcomes",
            timeout_s=90,
        )
        for _ in range(60):
            unanswered = _unanswered(prometheus, watched.name)
            if unanswered <= EMPTY_HERE:
                break
            time.sleep(1)
    assert unanswered <= EMPTY_HERE


def test_a_champion_that_fails_fires_alerts_in_prometheus(live: Workspace, prometheus: str) -> None:
    toy = Toy(live, "failing")
    register(toy.store, toy.spec, actor="test", now_s=time.time())
    raises = broken_models.broken(broken_models.Raises, sound_model(11))
    assert toy.ended(toy.deploy(toy.add_version(raises))).phase == Phase.COMPLETED
    with toy.traffic():
        until(lambda: "firing" in _states(prometheus, "MlopsRayMonitorAlert", toy.name), "the alert", timeout_s=120)
        until(lambda: _states(prometheus, "MlopsRayErrorShareHigh", toy.name), "the rule on errors", timeout_s=60)
    (alert,) = [a for a in toy.store.alerts(toy.name) if a.kind == "operational"]
    assert "requests failed" in alert.message
    toy.retire()


def _targets(url: str) -> set[str]:
    """Jobs of which a target is up."""
    try:
        active = requests.get(f"{url}/api/v1/targets", timeout=5).json()["data"]["activeTargets"]
    except requests.RequestException:
        return set()
    return {target["labels"]["job"] for target in active if target["health"] == "up"}


def _ask(url: str, query: str) -> list[Any]:
    answer = requests.get(f"{url}/api/v1/query", params={"query": query}, timeout=10).json()
    assert answer["status"] == "success", (query, answer)
    found: list[Any] = answer["data"]["result"]
    return found


def _unanswered(url: str, model: str) -> set[str]:
    """Panels of which nothing is known, but for open alerts, which nobody needs to have."""
    return {title for title, query in _panels(model) if not _ask(url, query)} - {"Open alerts"}


def _value(url: str, query: str) -> float | None:
    found = _ask(url, query)
    return float(found[0]["value"][1]) if found else None


def _states(url: str, alert: str, model: str) -> set[str]:
    """Of the alert about a model, in Prometheus."""
    alerts = requests.get(f"{url}/api/v1/alerts", timeout=10).json()["data"]["alerts"]
    return {a["state"] for a in alerts if (a["labels"]["alertname"], a["labels"].get("model")) == (alert, model)}


def _counted(toy: Toy) -> float:
    """Requests of a model by the page itself."""
    text = requests.get(f"{toy.workspace.serve}/metrics", timeout=30).text
    families = {family.name: family.samples for family in text_string_to_metric_families(text)}
    return sum(s.value for s in families.get("mlops_ray_requests", ()) if s.labels["model"] == toy.name)


def _settled(toy: Toy) -> float | None:
    """The count, once a few flushes have not changed it."""
    first = _counted(toy)
    time.sleep(3)
    return first if _counted(toy) == first else None


def _panels(model: str) -> Iterator[tuple[str, str]]:
    """Title and query of every panel, as Grafana asks it."""
    for content in dashboards().values():
        for panel in content["panels"]:
            for target in panel.get("targets", ()):
                query = target["expr"].replace("$model", model).replace("$__rate_interval", "30s")
                yield panel["title"], query
