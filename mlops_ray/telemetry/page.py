"""Prometheus's text format, version 0.0.4 (prometheus.io/docs/instrumenting/exposition_formats)."""

import math
from collections.abc import Iterator

from mlops_ray.telemetry.histogram import Histogram
from mlops_ray.telemetry.metrics import METRICS, PREFIX, Metric
from mlops_ray.telemetry.tally import Tally

__all__ = ["Page"]

_Labels = tuple[str, ...]


class Page:
    """The answer to one scrape, of declared metrics only; a series that is put twice has its last value."""

    content_type = b"text/plain; version=0.0.4; charset=utf-8"

    def __init__(self) -> None:
        self._values: dict[str, dict[_Labels, float]] = {}
        self._histograms: dict[str, dict[_Labels, Histogram]] = {}

    def put(self, name: str, value: float, *labels: str | int) -> None:
        """The value of a series; `name` without prefix, labels in the order in which the metric declares them."""
        full = PREFIX + name
        self._values.setdefault(full, {})[_checked(full, labels)] = value

    def put_tally(self, tally: Tally, model: str) -> None:
        """Everything a model's tally has counted: its series have all labels but the model's."""
        for (name, *labels), amount in tally.counts.items():
            self._values.setdefault(name, {})[_checked(name, (model, *labels))] = amount
        for (name, *labels), histogram in tally.histograms.items():
            self._histograms.setdefault(name, {})[_checked(name, (model, *labels))] = histogram

    def text(self) -> str:
        """The page, in the order of the declarations.

        >>> page = Page()
        >>> page.put("models", 2)
        >>> print(page.text(), end="")
        # HELP mlops_ray_models Models in the store
        # TYPE mlops_ray_models gauge
        mlops_ray_models 2
        """
        return "".join(f"{line}\n" for name, metric in METRICS.items() for line in self._lines(name, metric))

    def _lines(self, name: str, metric: Metric) -> Iterator[str]:
        values, histograms = self._values.get(name, {}), self._histograms.get(name, {})
        if not values and not histograms:
            return
        yield f"# HELP {name} {metric.help}"
        yield f"# TYPE {name} {metric.kind}"
        for labels, value in sorted(values.items()):
            yield f"{name}{_labelled(metric, labels)} {_number(value)}"
        for labels, histogram in sorted(histograms.items()):
            yield from _buckets(name, metric, labels, histogram)


def _checked(name: str, labels: tuple[str | int, ...]) -> _Labels:
    expected = METRICS[name].labels
    if len(labels) != len(expected):
        raise ValueError(f"{name} has the labels {expected}, found values {labels}")
    return tuple(str(label) for label in labels)


def _buckets(name: str, metric: Metric, labels: _Labels, histogram: Histogram) -> Iterator[str]:
    total = 0
    for edge, count in zip((*metric.edges, math.inf), histogram.counts, strict=True):
        total += count
        yield f"{name}_bucket{_labelled(metric, labels, le=_number(edge))} {total}"
    yield f"{name}_sum{_labelled(metric, labels)} {_number(histogram.sum)}"
    yield f"{name}_count{_labelled(metric, labels)} {total}"


def _labelled(metric: Metric, values: _Labels, **more: str) -> str:
    pairs = [*zip(metric.labels, values, strict=True), *more.items()]
    return "{" + ",".join(f'{name}="{_escaped(value)}"' for name, value in pairs) + "}" if pairs else ""


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


def _number(value: float) -> str:
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    return str(int(value)) if float(value).is_integer() else repr(float(value))
