import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from mlops_ray.prometheus import DASHBOARDS, Target, dashboards, monitoring_files, rules, scrape_config
from mlops_ray.telemetry import METRICS
from tests.prometheus.programs import run_promtool

GOLDEN = Path(__file__).parents[2] / "cluster" / "monitoring"
EXAMPLE = Target("http://127.0.0.1:8000", "/tmp/ray/prom_metrics_service_discovery.json")
ACCEPT = "mlops-ray monitoring export cluster/monitoring --ray-discovery /tmp/ray/prom_metrics_service_discovery.json"


@pytest.mark.parametrize("name", sorted(monitoring_files(EXAMPLE)))
def test_the_files_in_the_repository_are_those_that_are_made(name: str) -> None:
    kept = (GOLDEN / name).read_text() if (GOLDEN / name).exists() else ""
    made = monitoring_files(EXAMPLE)[name]
    # pytest shows the difference
    assert made.splitlines() == kept.splitlines(), f"accept it with: {ACCEPT}"


def test_promtool_finds_the_configuration_and_the_rules_sound(tmp_path: Path) -> None:
    for name in ("prometheus.yml", "rules.yml"):
        (tmp_path / name).write_text((GOLDEN / name).read_text())
    assert "SUCCESS" in run_promtool("check", "config", "prometheus.yml", folder=tmp_path)
    assert "SUCCESS" in run_promtool("check", "rules", "rules.yml", folder=tmp_path)


def test_the_rules_do_what_their_own_tests_say() -> None:
    assert "SUCCESS" in run_promtool("test", "rules", "rules_test.yml", folder=GOLDEN)


def test_a_rule_that_is_broken_fails_its_test(tmp_path: Path) -> None:
    content = yaml.safe_load((GOLDEN / "rules.yml").read_text())
    for group in content["groups"]:
        for rule in group["rules"]:
            if rule.get("alert") == "MlopsRayNodeMemoryHigh":
                rule["expr"] = "ray_node_mem_used / ray_node_mem_total > 0.92"  # as everybody writes it first
    (tmp_path / "rules.yml").write_text(yaml.safe_dump(content))
    (tmp_path / "rules_test.yml").write_text((GOLDEN / "rules_test.yml").read_text())
    with pytest.raises(AssertionError, match="MlopsRayNodeMemoryHigh"):
        run_promtool("test", "rules", "rules_test.yml", folder=tmp_path)


def test_rules_and_panels_ask_only_for_metrics_there_are() -> None:
    recorded = {rule["record"] for group in rules()["groups"] for rule in group["rules"] if "record" in rule}
    known = {name for name, metric in METRICS.items() if metric.kind != "histogram"} | recorded
    known |= {f"{n}_{part}" for n, m in METRICS.items() if m.kind == "histogram" for part in ("bucket", "sum", "count")}
    asked = {name for query in _queries() for name in re.findall(r"\bmlops_ray[:_][a-z0-9_:]*", query)}
    assert asked - known - {"mlops_ray"} == set()
    assert len(asked) > 30


def test_every_label_that_is_asked_for_is_one_of_the_metric() -> None:
    for query in _queries():
        for name, chosen in re.findall(r"\b(mlops_ray_[a-z_]+)\{([^}]*)\}", query):
            metric = METRICS.get(name) or METRICS[re.sub(r"_(bucket|sum|count)$", "", name)]
            labels = set(re.findall(r"(\w+)(?:=~|!~|!=|=)", chosen))
            assert labels - {"le"} <= set(metric.labels), query


def test_the_job_of_the_engine_is_the_one_the_rules_ask_for() -> None:
    jobs = {job["job_name"] for job in scrape_config(EXAMPLE)["scrape_configs"]}
    asked = {job for query in _queries() for job in re.findall(r'job="(\w+)"', query)}
    assert asked <= jobs
    assert asked


def test_keys_and_an_alertmanager_are_named_where_there_are_some() -> None:
    target = Target("https://models.example.org", "/d.json", key_file="/run/key", alertmanager="am:9093")
    config = scrape_config(target)
    engine = config["scrape_configs"][0]
    assert engine["static_configs"] == [{"targets": ["models.example.org:443"]}]
    assert (engine["scheme"], engine["authorization"]["credentials_file"]) == ("https", "/run/key")
    assert config["alerting"]["alertmanagers"][0]["static_configs"] == [{"targets": ["am:9093"]}]


@pytest.mark.parametrize("dashboard", DASHBOARDS, ids=lambda dashboard: dashboard.name)
def test_panels_do_not_lie_on_each_other(dashboard: Any) -> None:
    taken: set[tuple[int, int]] = set()
    for panel in dashboard.to_json()["panels"]:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not cells & taken, panel["title"]
        assert max(x for x, _ in cells) < 24
        taken |= cells


@pytest.mark.parametrize("name", sorted(dashboards()))
def test_grafanas_own_model_reads_a_dashboard_and_loses_nothing(name: str) -> None:
    sdk = pytest.importorskip("grafana_foundation_sdk.models.dashboard")
    sdk_plugins = pytest.importorskip("grafana_foundation_sdk.cog.plugins")
    encoder = pytest.importorskip("grafana_foundation_sdk.cog.encoder")
    sdk_plugins.register_default_plugins()
    content = json.loads((GOLDEN / "grafana" / "dashboards" / name).read_text())
    read = sdk.Dashboard.from_json(content)
    again = json.loads(encoder.JSONEncoder(sort_keys=True).encode(read))
    assert list(_lost(content, again, "$")) == []


def _lost(content: Any, again: Any, where: str) -> Iterator[str]:
    """Where `again` lacks something that `content` has."""
    if isinstance(content, dict):
        known = again if isinstance(again, dict) else {}
        for key, value in content.items():
            if value not in ([], {}, "", None):
                yield from _lost(value, known[key], f"{where}.{key}") if key in known else [f"{where}.{key}"]
    elif isinstance(content, list):
        if len(content) != len(again):
            yield where
        for i, (one, other) in enumerate(zip(content, again, strict=False)):
            yield from _lost(one, other, f"{where}[{i}]")
    elif content != again:
        yield f"{where}: {content!r} became {again!r}"


def _queries() -> list[str]:
    """PromQL of all rules and panels."""
    of_rules = [str(rule["expr"]) for group in rules()["groups"] for rule in group["rules"]]
    of_panels = [
        target["expr"] for content in dashboards().values() for panel in content["panels"]
        for target in panel.get("targets", ())
    ]  # fmt: skip
    return of_rules + of_panels
