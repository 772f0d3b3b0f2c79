"""What Prometheus is told to read, as a value."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

__all__ = ["Target", "scrape_config"]

_EVERY = "15s"


@dataclass(frozen=True)
class Target:
    """Where a cluster is read from."""

    serve: str
    """Base URL of Serve's ingress; whichever node answers, the page is the same."""
    ray_discovery: str
    """File in which Ray lists the metrics agents of its nodes: prom_metrics_service_discovery.json, on the head."""
    key_file: str = ""
    """With an API key of role `metrics`, where keys are on."""
    alertmanager: str = ""
    """host:port; empty: alerts are only shown."""


def scrape_config(target: Target) -> Mapping[str, Any]:
    """The content of prometheus.yml.

    The engine is one target, however many nodes there are. Ray's own agents are read beside it for CPU, memory and
    GPUs of nodes; of their hundreds of series those of nodes and of the object store are kept.
    """
    parts = urlsplit(target.serve)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    engine: dict[str, Any] = {
        "job_name": "mlops_ray",
        "scheme": parts.scheme or "http",
        "metrics_path": "/metrics",
        "static_configs": [{"targets": [f"{parts.hostname or '127.0.0.1'}:{port}"]}],
    }
    if target.key_file:
        engine["authorization"] = {"type": "Bearer", "credentials_file": target.key_file}
    nodes = {
        "job_name": "ray",
        "file_sd_configs": [{"files": [target.ray_discovery]}],
        "metric_relabel_configs": [
            {
                "source_labels": ["__name__"],
                "regex": "ray_(node_.*|object_store_.*|resources|cluster_.*_nodes)",
                "action": "keep",
            }
        ],
    }
    config: dict[str, Any] = {
        "global": {"scrape_interval": _EVERY, "evaluation_interval": _EVERY},
        "rule_files": ["rules.yml"],
        "scrape_configs": [engine, nodes],
    }
    if target.alertmanager:
        config["alerting"] = {"alertmanagers": [{"static_configs": [{"targets": [target.alertmanager]}]}]}
    return config
