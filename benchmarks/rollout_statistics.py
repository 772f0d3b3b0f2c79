"""How often rollouts are judged wrongly, and how soon rightly: 1,000 simulated rollouts of each kind, at every look.

    python benchmarks/rollout_statistics.py [--json] [--output FILE] [--runs N]

Traffic is simulated; what judges it is what judges real rollouts (`mlops_ray.rollout.fold` and `assess`), with the
defaults of the spec, at each of 150 looks, and next to it on the same traffic the rules that people use elsewhere:

- equal versions ("aa"), 1 % of requests bad: steady; with shares that go 5, 25, 50 % while the rate goes .5, 1.5, 3 %;
  with a rate that follows the day; with a thousand units that come back, each with an error rate of its own, under
  growing shares, and as a shadow that gets copies; with clients that retry a failed request five times.
  `aa_false_rollback_max` is the largest share of rollouts that any of them ever rolls back, over all looks (a rollout
  that ends with its promotion has fewer);
- equal versions with all default metrics, and the same when all of them roll back;
- equal versions in an AB test, by a label of 30 %: rolled back, and promoted as if it were better;
- 5 % of errors against 1 % at 60 canary requests a minute and 5 % of the units, looked at every 5 seconds;
- two and three times the errors, 2,000 requests a look, a tenth of them on the canary;
- one and a half times the errors: promoted though it must not be, where the ratio is what matters (max_bad_share .001)
  and with the defaults, above max_bad_share; the former also with clients that retry.

The last line is one JSON object. A process for each core; ends in about three minutes on two of them.
"""

import argparse
import itertools
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))  # the file is run from a checkout

from benchmarks.machine import describe_machine, describe_versions
from benchmarks.rollout_judging import (
    OURS,
    Ended,
    Row,
    compare,
    judge,
    judge_outcomes,
    row_of,
    upper_limit,
)
from benchmarks.rollout_traffic import (
    LOOKS,
    Traffic,
    bought,
    clustered,
    day_cycle,
    full_blocks,
    mirrored,
    ramp,
    requests_of_units,
    steady,
)
from mlops_ray.rollout import requests_to_detect
from mlops_ray.spec import AB, Analysis, Latency, Outcome, Predictions, Rollout

__all__ = ["main", "measure"]

_PER_LOOK = 2_000.0
_DEFAULTS = Rollout()
_RATIO_MATTERS = Rollout(analysis=Analysis(max_bad_share=0.001))
_ALL_CRITICAL = Rollout(analysis=Analysis(latency=Latency(critical=True), predictions=Predictions(critical=True)))
_BOUGHT = Outcome(name="bought", of="label", better="higher", max_harm=0.02)
_SHADOW = Rollout(strategy="shadow")
_AB = Rollout(strategy="ab", ab=AB(primary=_BOUGHT, min_effect=0.02))
_STEADY_SHARE, _MANY = steady(0.1), steady(_PER_LOOK)
_RAMPED_BASE = np.repeat([0.005, 0.015, 0.03], LOOKS // 3)

_A_MINUTE = 60.0 / 0.05  # requests of both sides, of which 60 are the canary's
_DETECTED = "5 % against 1 %, 60 canary requests a minute"
_FALSE = (
    "1.5 % against 1 %, max_bad_share .001",
    "6 % against 4 %, defaults",
    "1.5 % against 1 %, max_bad_share .001, retries",
)

Draw = Callable[[np.random.Generator], Traffic]


def _times(
    ratio: float, *, base: float = 0.01, share: float = 0.1, requests: float = _PER_LOOK, retries: int = 0
) -> Draw:
    """Traffic with a canary that fails so many times as often as the champion."""
    return lambda random: requests_of_units(
        random, steady(share), steady(base), requests=steady(requests), ratio=ratio, retries=retries
    )


_EQUAL: dict[str, Draw] = {
    "aa, steady": lambda random: requests_of_units(random, _STEADY_SHARE, steady(0.01), requests=_MANY),
    "aa, shares 5-25-50 %, errors .5-1.5-3 %": lambda random: requests_of_units(
        random, ramp(), _RAMPED_BASE, requests=_MANY
    ),
    "aa, day cycle": lambda random: requests_of_units(
        random, _STEADY_SHARE, day_cycle(0.01), requests=day_cycle(_PER_LOOK)
    ),
    "aa, clustered errors, shares 5-25-50 %": lambda random: clustered(random, ramp(), requests=_PER_LOOK),
    "aa, shadow of 30 %, clustered errors": lambda random: mirrored(random, 0.3, requests=_PER_LOOK),
    "aa, five retries": lambda random: requests_of_units(
        random, _STEADY_SHARE, steady(0.01), requests=_MANY, retries=5
    ),
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Simulate, print, and write the result where asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print nothing but the result, one JSON object")
    parser.add_argument("--output", type=Path, help="write the result to this file too")
    parser.add_argument("--runs", type=int, default=1_000, help="simulated rollouts of each kind")
    options = parser.parse_args(arguments)
    result = measure(options.runs)
    if options.output:
        options.output.write_text(json.dumps(result, indent=1) + "\n")
    if not options.json:
        for row in result["rows"]:
            print(f"{row['scenario']:45} {row['rule']:52} rolled back {row['rolled_back']:.3f}", _rest(row))
    print(json.dumps(result))


def measure(runs: int) -> dict[str, Any]:
    """The result, JSON values only."""
    machine, started_s = describe_machine(), time.monotonic()
    with ProcessPoolExecutor(max_workers=min(os.cpu_count() or 1, len(_CASES))) as pool:
        found = pool.map(_rows, _CASES, itertools.repeat(runs))
        rows = [row for of_case in found for row in of_case]
    return {
        "benchmark": "rollout_statistics",
        "machine": machine,
        "versions": describe_versions("mlops-ray", "numpy", "scipy"),
        "runs": runs,
        "looks": LOOKS,
        "alpha": _DEFAULTS.analysis.alpha,
        "beta": _DEFAULTS.analysis.beta,
        "rows": [asdict(row) for row in rows],
        "ratios": _ratios(rows, runs),
        "wall_s": round(time.monotonic() - started_s, 1),
    }


def _joint(runs: int) -> list[Row]:
    """All default metrics on the same traffic, once as they are and once when all of them roll back."""
    random = np.random.default_rng(1)
    ended: dict[str, list[Ended]] = {"aa, all default metrics": [], "aa, all metrics critical": []}
    for _ in range(runs):
        blocks = list(full_blocks(random, ramp(), requests=_PER_LOOK))
        for found, rollout in zip(ended.values(), (_DEFAULTS, _ALL_CRITICAL), strict=True):
            found.append(judge(blocks, rollout))
    return [row_of(name, OURS, found) for name, found in ended.items()]


def _ab(runs: int) -> list[Row]:
    random, rows = np.random.default_rng(2), []
    for name, rates in (("ab, equal", (0.3, 0.3)), ("ab, 32 % against 30 %", (0.32, 0.3))):
        totals = [bought(random, rates, units=200) for _ in range(runs)]
        found = [judge_outcomes(total, _BOUGHT.name, _AB) for total in totals]
        rows.append(row_of(name, OURS, found, requests=[total[:, 0, 0] for total in totals]))
    return rows


def _rows(case: str, runs: int) -> list[Row]:
    return _CASES[case](runs)


def _case(name: str, draw: Draw, rollout: Rollout, look_s: float = 60.0) -> Callable[[int], list[Row]]:
    return lambda runs: compare(name, draw, rollout, runs=runs, look_s=look_s)


_CASES: dict[str, Callable[[int], list[Row]]] = {
    **{name: _case(name, draw, _SHADOW if "shadow" in name else _DEFAULTS) for name, draw in _EQUAL.items()},
    "joint": _joint,
    "ab": _ab,
    _DETECTED: _case(_DETECTED, _times(5.0, share=0.05, requests=_A_MINUTE / 12), _DEFAULTS, look_s=5.0),
    "2 % against 1 %": _case("2 % against 1 %", _times(2.0), _DEFAULTS),
    "3 % against 1 %": _case("3 % against 1 %", _times(3.0), _DEFAULTS),
    _FALSE[0]: _case(_FALSE[0], _times(1.5), _RATIO_MATTERS),
    _FALSE[1]: _case(_FALSE[1], _times(1.5, base=0.04), _DEFAULTS),
    _FALSE[2]: _case(_FALSE[2], _times(1.5, retries=5), _RATIO_MATTERS),
}


def _ratios(rows: Sequence[Row], runs: int) -> dict[str, float | None]:
    ours = {row.scenario: row for row in rows if row.rule == OURS}
    equal = [ours[name] for name in _EQUAL]
    detected = ours[_DETECTED]
    promised = requests_to_detect(0.01, 0.05, share=0.05, rollout=_DEFAULTS)
    false_promotions = [ours[name].promoted or 0.0 for name in _FALSE]
    return {
        "aa_false_rollback_max": max(row.rolled_back for row in equal),
        "aa_promoted_min": min(row.promoted or 0.0 for row in equal),
        "aa_joint_false_rollback": ours["aa, all default metrics"].rolled_back,
        "aa_joint_false_warning": ours["aa, all default metrics"].warned,
        "aa_all_critical_false_rollback": ours["aa, all metrics critical"].rolled_back,
        "aa_limit": upper_limit(_DEFAULTS.analysis.alpha, runs),
        "detect_5pct_found": detected.rolled_back,
        "detect_5pct_median_min": detected.median_minutes,
        "detect_5pct_median_requests_promised": None if promised is None else promised.half,
        "detect_2x_found": ours["2 % against 1 %"].rolled_back,
        "detect_2x_median_requests": ours["2 % against 1 %"].median_canary_requests,
        "detect_3x_median_requests": ours["3 % against 1 %"].median_canary_requests,
        "false_promotion_1_5x": false_promotions[0],
        "false_promotion_1_5x_defaults": false_promotions[1],
        "false_promotion_1_5x_retries": false_promotions[2],
        "ab_false_rollback": ours["ab, equal"].rolled_back,
        "ab_false_promotion": ours["ab, equal"].promoted,
        "ab_found": ours["ab, 32 % against 30 %"].promoted,
        "false_promotion_limit": upper_limit(_DEFAULTS.analysis.beta, runs),
        **_of_others(rows),
    }


def _of_others(rows: Sequence[Row]) -> dict[str, float | None]:
    """False rollbacks of the other rules over the same equal versions: the best and the worst scenario of each."""
    names = list(dict.fromkeys(row.rule for row in rows if row.rule != OURS))
    found = {name: [row.rolled_back for row in rows if row.rule == name and row.scenario in _EQUAL] for name in names}
    return {f"aa_false_rollback_max, {name}": max(shares) for name, shares in found.items()}


def _rest(row: dict[str, Any]) -> str:
    parts = {
        "promoted": row["promoted"],
        "warned": row["warned"],
        "canary requests": row["median_canary_requests"],
        "minutes": row["median_minutes"],
    }
    return ", ".join(f"{name} {value:g}" for name, value in parts.items() if value is not None)


if __name__ == "__main__":
    main()
