"""Simulated rollouts through the functions that judge real ones, look by look, and what came out as rows."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.rollout_rules import RULES
from benchmarks.rollout_traffic import Traffic
from mlops_ray.rollout import Block, Evidence, Moments, Stratum, assess, fold, with_outcomes
from mlops_ray.spec import Rollout
from mlops_ray.verdict import Verdict

__all__ = ["OURS", "Ended", "Row", "compare", "judge", "judge_outcomes", "row_of", "upper_limit"]

OURS = "mlops-ray"
_SHORT = 20


@dataclass(frozen=True)
class Ended:
    """The looks, counted from 1, at which one rollout was first to be rolled back, promoted, warned about; or None."""

    failed: int | None = None
    passed: int | None = None
    warned: int | None = None


@dataclass(frozen=True)
class Row:
    """What one way of judging did with many rollouts of one kind; shares of the rollouts."""

    scenario: str
    rule: str
    runs: int
    rolled_back: float
    rolled_back_within_20_looks: float
    promoted: float | None
    """By a PASS before any FAIL; rules that know no PASS promote whatever they do not roll back."""
    warned: float | None
    median_canary_requests: float | None
    """Until the rollback, over the rollouts that had one."""
    median_minutes: float | None


def judge(blocks: Iterable[Block], rollout: Rollout) -> Ended:
    """One rollout, judged after every block until its first FAIL; its evidence goes on being judged after a PASS."""
    evidence, passed, warned = Evidence.none(rollout.analysis), None, None
    for look, block in enumerate(blocks, start=1):
        evidence = fold(evidence, block, rollout.analysis)
        found = assess(evidence, rollout)
        warned = warned or (look if found.warnings else None)
        if found.verdict is Verdict.FAIL:
            return Ended(look, passed, warned)
        passed = passed or (look if found.verdict is Verdict.PASS else None)
    return Ended(None, passed, warned)


def judge_outcomes(totals: np.ndarray, name: str, rollout: Rollout) -> Ended:
    """One AB test without a bad request, by running totals (looks, 2, 2) of labelled units and of ones among them."""
    fine = Block(100_000, 100_000, 0, 0, 0, 0, share=0.5)
    evidence, passed = fold(Evidence.none(rollout.analysis), fine, rollout.analysis), None
    for look, sides in enumerate(totals.tolist(), start=1):
        canary, champion = (_zeros_and_ones(*side) for side in sides)
        evidence = with_outcomes(evidence, {name: (Stratum(1, canary, champion),)})
        verdict = assess(evidence, rollout).verdict
        if verdict is Verdict.FAIL:
            return Ended(look, passed)
        passed = passed or (look if verdict is Verdict.PASS else None)
    return Ended(None, passed)


def compare(
    scenario: str, draw: Callable[[np.random.Generator], Traffic], rollout: Rollout, *, runs: int, look_s: float = 60.0
) -> list[Row]:
    """Ours and everybody else's rules over the same simulated rollouts; the seed is the scenario's name."""
    ours: list[Ended] = []
    theirs: Mapping[str, list[Ended]] = {name: [] for name in RULES}
    requests: list[np.ndarray] = []
    random = np.random.default_rng(list(scenario.encode()))
    for _ in range(runs):
        traffic = draw(random)
        requests.append(traffic.requests[:, 0].cumsum())
        ours.append(judge(traffic.blocks(), rollout))
        for name, rule in RULES.items():
            theirs[name].append(Ended(rule(traffic)))
    rows = [row_of(scenario, OURS, ours, requests=requests, look_s=look_s)]
    return rows + [row_of(scenario, name, ended, requests=requests, look_s=look_s) for name, ended in theirs.items()]


def row_of(
    scenario: str,
    rule: str,
    ended: Sequence[Ended],
    *,
    requests: Sequence[np.ndarray] = (),
    look_s: float | None = None,
) -> Row:
    """The row of these rollouts; `requests` are running totals on the canary by look."""
    runs = len(ended)
    failed = [(run, e.failed) for run, e in enumerate(ended) if e.failed is not None]
    promoted = [e for e in ended if e.passed is not None and (e.failed is None or e.passed < e.failed)]
    ours = rule.startswith(OURS)
    until = [float(requests[run][look - 1]) for run, look in failed] if len(requests) else []
    return Row(
        scenario=scenario,
        rule=rule,
        runs=runs,
        rolled_back=round(len(failed) / runs, 4),
        rolled_back_within_20_looks=round(sum(look <= _SHORT for _, look in failed) / runs, 4),
        promoted=round(len(promoted) / runs, 4) if ours else round(1.0 - len(failed) / runs, 4),
        warned=round(sum(e.warned is not None for e in ended) / runs, 4) if ours else None,
        median_canary_requests=_median(until),
        median_minutes=_median([look * look_s / 60.0 for _, look in failed] if look_s else []),
    )


def upper_limit(rate: float, runs: int) -> float:
    """What a share of `runs` with this chance exceeds by three of its standard deviations."""
    return round(rate + 3.0 * math.sqrt(rate * (1.0 - rate) / runs), 4)


def _zeros_and_ones(units: int, ones: int) -> Moments:
    mean = ones / units if units else 0.0
    return Moments(units, mean, units * mean * (1.0 - mean))


def _median(values: Sequence[float]) -> float | None:
    return round(float(np.median(values)), 3) if values else None
