"""How rollouts are judged elsewhere: tests made for one look, and thresholds on a window, each at every look.

Each rule gets all requests of a simulated rollout and says at which look it rolls back, counted from 1, or None.
"""

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from benchmarks.rollout_traffic import Traffic

__all__ = ["RULES"]

_ALPHA = 0.05
_MIN_REQUESTS = 100

Booleans = NDArray[np.bool_]


def _z_each_look(traffic: Traffic) -> int | None:
    return _first(_z(traffic) > norm.isf(_ALPHA))


def _z_bonferroni(traffic: Traffic) -> int | None:
    return _first(_z(traffic) > norm.isf(_ALPHA / len(traffic.share)))


def _half_again_the_champion(traffic: Traffic) -> int | None:
    canary, champion = _window_rates(traffic)
    return _first(_failed(canary > 1.5 * champion) > 3)


def _above_five_percent(traffic: Traffic) -> int | None:
    return _first(_failed(_window_rates(traffic)[0] > 0.05) > 3)


def _above_one_percent(traffic: Traffic) -> int | None:
    return _first(_failed(_window_rates(traffic)[0] > 0.01) >= 5)


RULES: Mapping[str, Callable[[Traffic], int | None]] = {
    "z test at each look": _z_each_look,
    "z test, Bonferroni over looks": _z_bonferroni,
    "window above 1.5 x champion, 4th time": _half_again_the_champion,
    "window above 5 %, 4th time (Argo Rollouts' example)": _above_five_percent,
    "window above 1 %, 5th time (Flagger's example)": _above_one_percent,
}
"""By name. The thresholds are those of the tools' own examples; the first of them is what people add to compare."""


def _z(traffic: Traffic) -> NDArray[np.float64]:
    """Statistic of the pooled one-sided test of two proportions on all requests so far; 0 until there are enough."""
    requests, bad = traffic.requests.cumsum(axis=0), traffic.bad.cumsum(axis=0)
    counted = np.maximum(requests, 1)
    rates, pooled = bad / counted, bad.sum(axis=1) / counted.sum(axis=1)
    error = np.sqrt(pooled * (1.0 - pooled) * (1.0 / counted).sum(axis=1))
    enough = (requests.min(axis=1) >= _MIN_REQUESTS) & (error > 0.0)
    difference = rates[:, 0] - rates[:, 1]
    return np.where(enough, difference / np.where(enough, error, 1.0), 0.0)


def _window_rates(traffic: Traffic) -> NDArray[np.float64]:
    """Rates of bad requests since the last look, (2, looks)."""
    rates: NDArray[np.float64] = (traffic.bad / np.maximum(traffic.requests, 1)).T
    return rates


def _failed(failures: Booleans) -> NDArray[np.int64]:
    """How many windows failed so far; neither tool forgets one because the next was fine."""
    return np.cumsum(failures)


def _first(rolls_back: Booleans) -> int | None:
    return int(rolls_back.argmax()) + 1 if rolls_back.any() else None
