"""The files that Prometheus and Grafana read, made from values."""

import json
from collections.abc import Mapping
from typing import Any

import yaml

from mlops_ray.prometheus.dashboards import dashboards
from mlops_ray.prometheus.rules import rules
from mlops_ray.prometheus.scrape import Target, scrape_config

__all__ = ["MonitoringFiles", "monitoring_files"]

MonitoringFiles = Mapping[str, str]
"""Text by path."""

_MADE = "# Made by `mlops-ray monitoring export`.\n"


def monitoring_files(target: Target) -> MonitoringFiles:
    """A folder for Prometheus (`prometheus.yml`, `rules.yml`) and one for Grafana's provisioning."""
    provider = {
        "apiVersion": 1,
        "providers": [
            {
                "name": "mlops_ray",
                "folder": "mlops_ray",
                "type": "file",
                "options": {"path": "/etc/grafana/provisioning/dashboards"},
            }
        ],
    }
    source = {"name": "Prometheus", "type": "prometheus", "access": "proxy", "url": "http://localhost:9090"}
    return {
        "prometheus.yml": _yaml(scrape_config(target)),
        "rules.yml": _yaml(rules()),
        "grafana/datasources/prometheus.yml": _yaml({"apiVersion": 1, "datasources": [source]}),
        "grafana/dashboards/mlops_ray.yml": _yaml(provider),
        **{
            f"grafana/dashboards/{name}": json.dumps(content, indent=2) + "\n" for name, content in dashboards().items()
        },
    }


def _yaml(content: Mapping[str, Any]) -> str:
    return _MADE + yaml.safe_dump(content, sort_keys=False, width=110)
