"""What an alert's evidence shows a person: features with distance and threshold, what was found in words, histograms,
sample records, facts.

Judges write, next to whatever else they know:

    features    [{"name", "ks", "ks_threshold", "psi", "psi_threshold", ...}]: measures with what they are held against
                or [{"name", "measure", "value", "threshold"}]
    histograms  [{"feature", "edges" or "categories", "reference": [share], "window": [share]}]; edges are one more than
                shares, or one fewer where the outer bins are open
    problems    [{"message", "values"}]: broken columns, and the values that nobody knew
    fairness    [{"message"}]: limits that are broken
    slices      [{"conditions": [text], "rows", "error", "excess", ...}]: where answers are wrong more often
    samples     [{column: value}]: records of the window, columns of what they are and features

Whatever does not have this form is left out: an alert is told all the same.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from mlops_ray.alerting.alert import Alert
from mlops_ray.alerting.moment import moment

__all__ = ["Effect", "Histogram", "effects", "facts", "histograms", "interval", "notes", "samples"]

_LIMIT = "_threshold"
_FIRST = ("request_id", "row", "time", "answer", "confidence", "label")
_IN_WORDS = ("problems", "fairness")
_TIMES = ("from_s", "to_s", "since_s", "until_s")
_LAST_S = 253_402_300_800.0  # a time after it has no date
_MOST_FACTS = 12
_MOST_COLUMNS = 12
_MOST_TEXT = 80
_MOST_NOTE = 300


@dataclass(frozen=True)
class Effect:
    """How far one feature is from the reference, in the measure that exceeds its threshold by most."""

    name: str
    measure: str
    value: float
    threshold: float | None


@dataclass(frozen=True)
class Histogram:
    """Shares of reference and window over the same bins."""

    feature: str
    labels: tuple[str, ...]  # of the bins
    reference: tuple[float, ...]
    window: tuple[float, ...]
    edges: tuple[float, ...] = ()  # of bins that are intervals: one more than bins, the outer ones may be infinite


def effects(alert: Alert, most: int) -> list[Effect]:
    """The top features, at most so many, in the order of the evidence, which is by importance."""
    found = [effect for entry in _mappings(alert.evidence.get("features")) if (effect := _effect(entry)) is not None]
    return found[:most]


def histograms(alert: Alert, most: int) -> list[Histogram]:
    """Pictures of the top features, at most so many."""
    entries = _mappings(alert.evidence.get("histograms"))
    found = [histogram for entry in entries if (histogram := _histogram(entry)) is not None]
    return found[:most]


def notes(alert: Alert, most: int) -> list[str]:
    """What was found, in words: broken columns, broken limits and the worst slices, at most so many of each."""
    said = [[_said(entry) for entry in _mappings(alert.evidence.get(name))] for name in _IN_WORDS]
    said.append([_slice(entry) for entry in _mappings(alert.evidence.get("slices"))])
    return [text for texts in said for text in [text for text in texts if text][:most]]


def samples(alert: Alert) -> list[dict[str, str]]:
    """Sample records as text, with their first columns: what they are, then the features that the alert is about.

    The store does not keep the order of columns.
    """
    about = [effect.name for effect in effects(alert, _MOST_COLUMNS)]
    order = {name: place for place, name in reversed(list(enumerate((*_FIRST, *alert.features, *about))))}
    rows = _mappings(alert.evidence.get("samples"))
    return [{str(k): _text(row[k]) for k in _sorted(row, order)[:_MOST_COLUMNS]} for row in rows]


def facts(alert: Alert) -> dict[str, str]:
    """Everything else that is one value: "rows", "metric", "value"."""
    plain = dict(
        _fact(str(name), value)
        for name, value in alert.evidence.items()
        if isinstance(value, str | int | float) and not isinstance(value, bool)
    )
    return dict(list(plain.items())[:_MOST_FACTS])


def _sorted(row: Mapping[str, Any], order: Mapping[str, int]) -> list[str]:
    return sorted(row, key=lambda name: order.get(name, len(order)))


def _fact(name: str, value: str | float) -> tuple[str, str]:
    """Times as people read them."""
    if name in _TIMES and isinstance(value, int | float) and 0 < value < _LAST_S:
        return name.removesuffix("_s"), moment(value)
    return name, _text(value)


def _said(entry: Mapping[str, Any]) -> str:
    message, values = entry.get("message"), entry.get("values")
    if not isinstance(message, str):
        return ""
    return _cut(f"{message}: {values}" if isinstance(values, str) and values else message, _MOST_NOTE)


def _slice(entry: Mapping[str, Any]) -> str:
    conditions, rows = entry.get("conditions"), entry.get("rows")
    error, excess = entry.get("error"), entry.get("excess")
    if not isinstance(conditions, list | tuple) or not conditions or not all(map(_number, (rows, error, excess))):
        return ""
    where = " and ".join(str(condition) for condition in conditions)
    found = f"worse where {where}: {error:.1%} wrong of {rows} rows, {excess:.1%} more than elsewhere"
    return _cut(found, _MOST_NOTE)


def _effect(entry: Mapping[str, Any]) -> Effect | None:
    name = entry.get("name", entry.get("feature"))
    if not isinstance(name, str):
        return None
    if _number(entry.get("value")):
        threshold = float(entry["threshold"]) if _number(entry.get("threshold")) else None
        return Effect(name, str(entry.get("measure", "value")), float(entry["value"]), threshold)
    measured = [
        Effect(name, key.removesuffix(_LIMIT).upper(), float(entry[key.removesuffix(_LIMIT)]), float(limit))
        for key, limit in entry.items()
        if key.endswith(_LIMIT) and _number(limit) and _number(entry.get(key.removesuffix(_LIMIT)))
    ]
    return max(measured, key=_excess, default=None)


def _excess(effect: Effect) -> float:
    return effect.value / effect.threshold if effect.threshold else math.inf


def _histogram(entry: Mapping[str, Any]) -> Histogram | None:
    feature, reference, window = entry.get("feature"), _shares(entry.get("reference")), _shares(entry.get("window"))
    if not isinstance(feature, str) or not reference or len(reference) != len(window):
        return None
    if isinstance(entry.get("categories"), list):
        labels = tuple(str(category) for category in entry["categories"])
        return Histogram(feature, labels, reference, window) if len(labels) == len(reference) else None
    edges = entry.get("edges")
    if not isinstance(edges, list) or not all(_number(edge) for edge in edges):
        return None
    return _of_edges(feature, tuple(float(edge) for edge in edges), reference, window)


def _of_edges(
    feature: str, edges: tuple[float, ...], reference: tuple[float, ...], window: tuple[float, ...]
) -> Histogram | None:
    if len(edges) == len(reference) - 1:
        edges = (-math.inf, *edges, math.inf)
    if len(edges) != len(reference) + 1 or any(b <= a for a, b in pairwise(edges)):
        return None
    labels = tuple(interval(a, b) for a, b in pairwise(edges))
    return Histogram(feature, labels, reference, window, edges)


def interval(low: float, high: float) -> str:
    """The bin between two edges, for people.

    >>> interval(0, 2.5), interval(-math.inf, 1), interval(3, math.inf), interval(-math.inf, math.inf)
    ('0 to 2.5', 'below 1', 'from 3', 'all')
    """
    if math.isinf(low):
        return "all" if math.isinf(high) else f"below {high:.4g}"
    return f"from {low:.4g}" if math.isinf(high) else f"{low:.4g} to {high:.4g}"


def _shares(value: Any) -> tuple[float, ...]:
    if not isinstance(value, list) or not all(_number(share) and share >= 0 for share in value):
        return ()
    return tuple(float(share) for share in value)


def _mappings(value: Any) -> list[Mapping[str, Any]]:
    return [entry for entry in value if isinstance(entry, Mapping)] if isinstance(value, list | tuple) else []


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _text(value: Any) -> str:
    if value is None:
        return "missing"
    return _cut(f"{value:.6g}" if isinstance(value, float) else str(value), _MOST_TEXT)


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 3] + "..."
