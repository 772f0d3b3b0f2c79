"""Numbers from a Prometheus server."""

from mlops_ray.prometheus.prometheus import Metrics, Prometheus

__all__ = ["Metrics", "Prometheus"]
