from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from mlops_ray.control.control_plane import ControlPlane
from mlops_ray.control.metrics_page import metrics_page
from mlops_ray.rollout import Block, Phase
from mlops_ray.serve import Access
from mlops_ray.serve.server_app import ServerApp
from mlops_ray.spec import Workspace
from mlops_ray.store import AlertRecord, Event, Role, Store, TriggerRecord, issue_key
from mlops_ray.telemetry import Page, Tally
from tests.control.world import World
from tests.serve.asgi_client import Reply, call
from tests.serve.samples import run

Labels = tuple[tuple[str, str], ...]


def values(page: Page) -> dict[str, dict[Labels, float]]:
    """As Prometheus reads it: by name without prefix, then labels in order of their names, `model` left out."""
    found: dict[str, dict[Labels, float]] = {}
    for family in text_string_to_metric_families(page.text()):
        for sample in family.samples:
            labels = tuple(sorted((k, v) for k, v in sample.labels.items() if k != "model"))
            found.setdefault(sample.name.removeprefix("mlops_ray_"), {})[labels] = sample.value
    return found


def alert(world: World, id: str, kind: str, severity: str, state: str = "open") -> None:
    record = AlertRecord(id, "toy", 1, kind, severity, "", (), {}, state, world.now_s, world.now_s)  # type: ignore[arg-type]
    with world.store.change(Event("alert.raised", id, {}, "test", world.now_s)) as change:
        change.put_alert(record)


def test_a_rollout_under_way_shows_its_share_phase_and_evidence(world: World) -> None:
    world.champion(1).traffic = Block(2, 18, 0, 0, 0, 0, share=0.1)
    world.run(world.deploy(2), Phase.CANARY)
    world.tick(12)  # a reconciler saves what it has seen every ten seconds
    found = values(metrics_page(world.store, {}))
    assert found["champion_version"] == {(): 1}
    assert found["champion_dataset_version"] == {(): 1}
    assert found["rollout_phase"] == {(("phase", "CANARY"), ("version", "2")): 1}
    assert found["route_share"] == {(): 0.1}
    assert found["rollout_requests"][("side", "canary"), ("version", "2")] > 0
    e_values = {labels[0][1] + " " + labels[1][1]: value for labels, value in found["rollout_e_value"].items()}
    assert e_values["fine errors"] > 1
    assert e_values["worse errors"] <= 1
    assert found["rollouts"] == {(("phase", "CANARY"),): 1, (("phase", "COMPLETED"),): 1}
    assert found["versions"][(("stage", "champion"),)] == 1
    assert found["audit_events"] == {(): world.store.verify().events}
    assert found["objective_error_share"] == {(): 0.02}
    assert found["store_up"] == {(): 1}


def test_alerts_and_retrainings_are_counted_by_what_they_are(world: World) -> None:
    alert(world, "a", "drift", "warning")
    alert(world, "b", "decay", "critical")
    alert(world, "c", "drift", "warning", state="resolved")
    for id, state, job in (("t1", "succeeded", "job"), ("t2", "pending", None)):
        trigger = TriggerRecord(id, "toy", "drift", {"alert": "a"}, state, job, "", 5.0, 6.0)  # type: ignore[arg-type]
        with world.store.change(Event("trigger.raised", id, {}, "test", world.now_s)) as change:
            change.insert_trigger(trigger)
    found = values(metrics_page(world.store, {}))
    assert found["alerts_open"] == {
        (("kind", "drift"), ("severity", "warning")): 1,
        (("kind", "decay"), ("severity", "critical")): 1,
    }
    assert found["retrainings"][("cause", "drift"), ("state", "succeeded")] == 1
    assert found["retraining_timestamp_seconds"] == {(): 5.0}


def feature(name: str, ks: float) -> dict[str, Any]:
    return {"name": name, "ks": ks, "js": ks / 2, "psi": ks * 2, "drifted": ks > 0.5}


def drift_actor(features: int = 3) -> Mapping[str, Any]:
    tally = Tally()
    tally.add(("mlops_ray_requests_total", "1", "champion", "200"), 7)
    status = {
        "version": 1,
        "judged_s": 50.0,
        "alerted_features": ["f2"],
        "report": {"rows": 900, "features": [feature(f"f{i}", i / features) for i in range(features)]},
        "performance": {"coverage": 0.25, "rows": 40, "metrics": {"auc": 0.8}},
    }
    gauges = {"in_flight": 2.0, "in_flight_limit": 64.0, "queued_rows": 0.0, "records_waiting": 5.0}
    replicas = [{"version": 1, "role": "champion", "gauges": gauges}] * 2
    traffic = {"tally": tally.to_json(), "last_request_s": 49.0, "replicas": replicas}
    return {"drift": {"toy": {"traffic": traffic, "status": status}}, "control": None}


def test_what_the_drift_actor_knows_is_on_the_page(world: World) -> None:
    found = values(metrics_page(world.store, drift_actor()))
    version = ("version", "1")
    assert found["requests_total"] == {(("code", "200"), ("role", "champion"), version): 7}
    assert found["replicas"] == {(("role", "champion"), version): 2}
    assert found["in_flight"] == {(version,): 4}
    assert found["drifted_features"] == {(version,): 1}
    assert found["drift_score_max"][("statistic", "ks"), version] == pytest.approx(2 / 3)
    assert found["label_coverage"] == {(version,): 0.25}
    assert found["performance"] == {(("metric", "auc"), version): 0.8}
    assert found["actor_up"] == {(("actor", "drift"),): 1, (("actor", "control"),): 0}


def test_a_thousand_features_are_ten_series_and_the_maximum(world: World) -> None:
    found = values(metrics_page(world.store, drift_actor(features=1000)))
    of_ks = {labels[0][1] for labels in found["drift_score"] if ("statistic", "ks") in labels}
    assert of_ks == {f"f{i}" for i in range(990, 1000)}
    assert found["watched_features"] == {(("version", "1"),): 1000}


def test_without_a_store_the_rest_is_shown(tmp_path: Path) -> None:
    store = Store(f"sqlite:///{tmp_path / 'nowhere' / 'store.db'}")
    found = values(metrics_page(store, drift_actor()))
    assert found["store_up"] == {(): 0}
    assert found["requests_total"]


def test_without_actors_the_store_is_shown(world: World) -> None:
    found = values(metrics_page(world.store, {"drift": None, "control": None}))
    assert set(found["actor_up"].values()) == {0}
    assert found["models"] == {(): 1}


@pytest.fixture
def scrape(world: World, workspace: Workspace) -> Any:
    """GET /metrics as it is mounted, with a key of a role."""
    roles: tuple[Role, ...] = ("infer", "metrics", "admin")
    made = {role: issue_key(role, [role], now_s=0.0) for role in roles}
    access = Access(lambda: [record for _, record in made.values()], required=True)
    plane = ControlPlane(workspace.model_dump_json(), world.store, access, telemetry=drift_actor)
    app = ServerApp("1", dict, access, admin=plane)

    def ask(role: str = "", path: str = "/metrics", method: str = "GET") -> Reply:
        headers = {"authorization": f"Bearer {made[role][0]}"} if role else {}  # type: ignore[index]
        return run(call(app, method, path, headers=headers))

    return ask


@pytest.mark.parametrize(("role", "status"), [("", 401), ("infer", 403), ("metrics", 200), ("admin", 200)])
def test_where_keys_are_on_prometheus_needs_one_for_metrics(scrape: Any, role: str, status: int) -> None:
    assert scrape(role).status == status


def test_a_key_for_metrics_is_for_nothing_else(scrape: Any) -> None:
    assert scrape("metrics", "/v2/admin/models").status == 403
    assert scrape("admin", "/v2/admin/models").status == 200


def test_the_page_is_text_as_prometheus_wants_it(scrape: Any) -> None:
    reply = scrape("metrics", "/metrics/")
    assert reply.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert b"mlops_ray_requests_total" in reply.body
    assert scrape("metrics", method="POST").status == 405
    assert scrape("metrics", "/metricsx").status == 404
