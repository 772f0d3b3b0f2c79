"""One number from one instant query; the only place that talks to Prometheus."""

import math
from typing import Any, Protocol

import requests

from mlops_ray.errors import MetricError

__all__ = ["Metrics", "Prometheus"]

_TIMEOUT_S = 5.0


class Metrics(Protocol):
    """Where custom metrics of a rollout come from."""

    def value(self, query: str) -> float:
        """The number a query gives now.

        Raises:
            MetricError: nobody answers, the query is refused, or it does not give exactly one finite number.
        """
        ...


class Prometheus:
    """A Prometheus server, asked by its HTTP API (`/api/v1/query`)."""

    def __init__(self, url: str) -> None:
        self._url = url.rstrip("/")

    def value(self, query: str) -> float:
        """See `Metrics.value`."""
        if not self._url:
            raise MetricError("no Prometheus is known here; set MLOPS_RAY_PROMETHEUS to its base URL")
        try:
            response = requests.get(f"{self._url}/api/v1/query", params={"query": query}, timeout=_TIMEOUT_S)
            content: dict[str, Any] = response.json()
        except (requests.RequestException, ValueError) as error:
            raise MetricError(f"Prometheus at {self._url} does not answer ({type(error).__name__})") from error
        try:
            if content["status"] != "success":
                raise MetricError(f"Prometheus refuses {query!r}: {content.get('error', response.status_code)}")
            return _one_number(content["data"], query)
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise MetricError(f"{self._url} does not answer as Prometheus does ({error!r})") from None


def _one_number(data: dict[str, Any], query: str) -> float:
    """Results are `[time, "value"]` for a scalar, and a list of series with such a `value` for a vector."""
    samples = (
        [data["result"]] if data["resultType"] == "scalar" else [s["value"] for s in data["result"] if "value" in s]
    )
    if len(samples) != 1:
        raise MetricError(f"expected one number from {query!r}, found {len(samples)} series")
    number = float(samples[0][1])
    if not math.isfinite(number):
        raise MetricError(f"expected a finite number from {query!r}, found {number}")
    return number
