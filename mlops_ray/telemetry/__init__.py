"""Counting what happens, and saying it as Prometheus reads it; knows no Ray, no store, and nobody to ask."""

from mlops_ray.telemetry.histogram import Histogram
from mlops_ray.telemetry.metrics import METRICS, Metric
from mlops_ray.telemetry.page import Page
from mlops_ray.telemetry.report import TrafficReport
from mlops_ray.telemetry.tally import Series, Tally

__all__ = ["METRICS", "Histogram", "Metric", "Page", "Series", "Tally", "TrafficReport"]
