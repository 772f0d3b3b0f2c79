"""How differently groups are treated: confusion counts by group, differences and ratios with limits, verdicts.

The metrics are fairlearn's of the same names. Limits are simultaneous over all pairs of groups (Bonferroni): each
pair's difference has Newcombe's interval (1998, method 10), each ratio the log-normal one (Katz 1978).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from mlops_ray.evaluation.proportions import newcombe
from mlops_ray.spec import Fairness
from mlops_ray.verdict import Verdict

__all__ = ["FairnessResult", "GroupCounts", "count_groups", "groups_of", "judge_fairness"]

Floats = NDArray[np.float64]
_LABEL_AT = 0.5
_MISSING = "missing"


@dataclass(frozen=True)
class GroupCounts:
    """The confusion matrix of one group; adds up over batches."""

    tp: int = 0
    fp: int = 0
    tn: int = 0
    fn: int = 0

    def __add__(self, other: "GroupCounts") -> "GroupCounts":
        """The counts of both."""
        return GroupCounts(self.tp + other.tp, self.fp + other.fp, self.tn + other.tn, self.fn + other.fn)

    @property
    def rows(self) -> int:
        """All of them."""
        return self.tp + self.fp + self.tn + self.fn

    @property
    def selected(self) -> tuple[int, int]:
        """Positive answers, of all rows."""
        return self.tp + self.fp, self.rows

    @property
    def found(self) -> tuple[int, int]:
        """Positive answers, of the rows with the label 1."""
        return self.tp, self.tp + self.fn

    @property
    def false_alarms(self) -> tuple[int, int]:
        """Positive answers, of the rows with the label 0."""
        return self.fp, self.fp + self.tn


@dataclass(frozen=True)
class FairnessResult:
    """One limit of the spec, and what came of it."""

    name: str
    verdict: Verdict
    value: float | None
    """The difference or ratio; None with fewer than two groups that have rows enough."""
    low: float | None
    high: float | None
    rows: Mapping[str, int]
    """By group."""
    rates: Mapping[str, float]
    """By group that was compared, the share of positive answers."""
    message: str


def groups_of(values: Floats, categories: Sequence[str], bins: Sequence[float]) -> NDArray[np.str_]:
    """Names of the groups (n,) of an encoded attribute (n,): a category's code, 0 and 1 of a bool, or a number in bins.

    >>> groups_of(np.array([20.0, 25.0, 70.0, np.nan]), (), (25.0, 60.0)).tolist()
    ['below 25', '25 to 60', 'from 60', 'missing']
    """
    names = [*categories, "unseen"]
    codes = np.where(np.isfinite(values), values, -1)
    if bins:
        names = [f"below {bins[0]:g}", *(f"{a:g} to {b:g}" for a, b in pairwise(bins))]
        names.append(f"from {bins[-1]:g}")
        codes = np.where(np.isfinite(values), np.searchsorted(bins, values, side="right"), -1)
    places = np.clip(codes, -1, len(names) - 1).astype(np.int64)
    return np.array([*names, _MISSING])[places]


def count_groups(groups: NDArray[np.str_], labels: Floats, scores: Floats) -> dict[str, GroupCounts]:
    """Confusion counts by group of scores (n,), cut at 0.5, against labels 0 and 1 (n,)."""
    names, codes = np.unique(groups, return_inverse=True)
    cells = 4 * codes + 2 * (scores >= _LABEL_AT) + (labels >= _LABEL_AT)
    counts = np.bincount(cells, minlength=4 * len(names)).reshape(-1, 4).tolist()
    return {
        str(name): GroupCounts(tp=tp, fp=fp, tn=tn, fn=fn) for name, (tn, fn, fp, tp) in zip(names, counts, strict=True)
    }


def judge_fairness(limit: Fairness, groups: Mapping[str, GroupCounts]) -> FairnessResult:
    """FAIL where the whole interval lies beyond the limit, PASS where none of it does, INCONCLUSIVE otherwise.

    Groups with fewer than `min_rows` rows, and rows whose group is not known, are not compared.

    >>> even = {"a": GroupCounts(500, 0, 500, 0), "b": GroupCounts(100, 0, 900, 0)}
    >>> found = judge_fairness(Fairness(attribute="g", metric="demographic_parity_ratio", min=0.8), even)
    >>> found.value, found.verdict.value
    (0.2, 'FAIL')
    """
    rows = {name: counts.rows for name, counts in groups.items()}
    compared = {n: c for n, c in sorted(groups.items()) if c.rows >= limit.min_rows and n != _MISSING}
    if len(compared) < 2:
        message = f"{limit.name}: expected two groups of {limit.min_rows} rows at least, found {len(compared)}"
        return FairnessResult(limit.name, Verdict.INCONCLUSIVE, None, None, None, rows, {}, message)
    value, low, high = _measured(limit, list(compared.values()))
    verdict = _verdict(limit, low, high) if value is not None else Verdict.INCONCLUSIVE
    rates = {name: counts.selected[0] / counts.rows for name, counts in compared.items()}
    return FairnessResult(limit.name, verdict, value, low, high, rows, rates, _message(limit, value, low, high))


def _verdict(limit: Fairness, low: float | None, high: float | None) -> Verdict:
    assert low is not None, "a value has limits"
    assert high is not None, "a value has limits"
    if limit.max is not None:
        beyond, within = low > limit.max, high <= limit.max
    else:
        assert limit.min is not None, "the spec has one of both"
        beyond, within = high < limit.min, low >= limit.min
    return Verdict.FAIL if beyond else Verdict.PASS if within else Verdict.INCONCLUSIVE


def _message(limit: Fairness, value: float | None, low: float | None, high: float | None) -> str:
    wanted = f"at most {limit.max:g}" if limit.max is not None else f"at least {limit.min:g}"
    if value is None:
        return f"{limit.name}: undefined, a group has no rows of a label; expected {wanted}"
    return f"{limit.name} is {value:.3f}, {limit.level:.0%} interval {low:.3f} to {high:.3f}; expected {wanted}"


Shares = list[tuple[int, int]]


def _measured(limit: Fairness, groups: Sequence[GroupCounts]) -> tuple[float | None, float | None, float | None]:
    """The metric and its limits."""
    selected = [counts.selected for counts in groups]
    found, alarms = [counts.found for counts in groups], [counts.false_alarms for counts in groups]
    pairs = len(groups) * (len(groups) - 1) // 2
    if limit.metric == "demographic_parity_ratio":
        return _ratio(selected, _z(limit.level, pairs))
    if limit.metric == "demographic_parity_difference":
        return _difference(selected, _z(limit.level, pairs))
    if limit.metric == "equal_opportunity_difference":
        return _difference(found, _z(limit.level, pairs))
    z = _z(limit.level, 2 * pairs)
    both = (_difference(found, z), _difference(alarms, z))
    defined = [one for one in both if one[0] is not None]
    if len(defined) < len(both):
        return None, None, None
    value, low, high = (max(float(one[i]) for one in defined if one[i] is not None) for i in range(3))  # type: ignore[arg-type]
    return value, low, high


def _z(level: float, comparisons: int) -> float:
    return float(stats.norm.ppf(1 - (1 - level) / (2 * comparisons)))


def _difference(shares: Shares, z: float) -> tuple[float | None, float | None, float | None]:
    """Largest share less smallest one: at least what any pair differs by, at most what the furthest may."""
    if any(of == 0 for _, of in shares):
        return None, None, None
    rates = [hits / of for hits, of in shares]
    lows, highs = [], []
    for one, other in combinations(shares, 2):
        low, high = newcombe((one[0] / one[1], one[1]), (other[0] / other[1], other[1]), z)
        lows.append(max(low, -high, 0.0))
        highs.append(max(high, -low))
    return max(rates) - min(rates), max(lows), min(1.0, max(highs))


def _ratio(shares: Shares, z: float) -> tuple[float | None, float | None, float | None]:
    """Smallest share over largest one."""
    rates = [hits / of for hits, of in shares]
    if max(rates) == 0:
        return None, None, None
    lows, highs = [], []
    for one, other in combinations(shares, 2):
        (a, n), (b, m) = sorted((one, other), key=lambda share: share[0] / share[1])
        few, many = max(float(a), 0.5), max(float(b), 0.5)  # half a hit where there is none: the logarithm exists
        spread = z * float(np.sqrt(max(0.0, 1 / few - 1 / n + 1 / many - 1 / m)))
        ratio = (few / n) / (many / m)
        lows.append(ratio * float(np.exp(-spread)))
        highs.append(min(1.0, ratio * float(np.exp(spread))))
    return min(rates) / max(rates), min(lows), min(highs)
