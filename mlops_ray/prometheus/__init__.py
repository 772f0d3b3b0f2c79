"""Numbers from a Prometheus server, and what one needs to read ours: a scrape config, rules, dashboards."""

from mlops_ray.prometheus.dashboards import DASHBOARDS, dashboards
from mlops_ray.prometheus.export import MonitoringFiles, monitoring_files
from mlops_ray.prometheus.prometheus import Metrics, Prometheus
from mlops_ray.prometheus.rules import rules
from mlops_ray.prometheus.scrape import Target, scrape_config

__all__ = [
    "DASHBOARDS",
    "Metrics",
    "MonitoringFiles",
    "Prometheus",
    "Target",
    "dashboards",
    "monitoring_files",
    "rules",
    "scrape_config",
]
