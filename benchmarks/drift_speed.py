"""How fast rows are folded and judged, and how exact that is: the parts `speed` and `accuracy` of `benchmarks.drift`.

The same rows of 100 columns of several families, every fourth one drifted, on one thread, in CPU seconds:

- engine: fold all rows of the window, and judge every column (KS, JS, PSI, shift, Wasserstein, chi-square).
- judge only: the same from the profile, as the drift actor does.
- scipy: exact KS and Wasserstein and, on equal-width bins, Jensen-Shannon of every column.
- Evidently: `DataDriftPreset` on pandas frames that are there already.

Exact distances are those of scipy: KS, Wasserstein in standard deviations of the reference, Jensen-Shannon divergence
in bits on the engine's groups of bins, and the difference of means in standard deviations.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import jensenshannon
from scipy.stats import ks_2samp, wasserstein_distance

from benchmarks.data_rounds import Measured, Timed, interleave, time_ratio
from mlops_ray.drift import Column, DriftReport, Profile, ReferenceProfile, build_reference, fold, judge
from mlops_ray.drift.distances import psi_groups
from mlops_ray.spec import Thresholds

__all__ = ["Samples", "distance_errors", "measure_speed", "speed_ratios"]

_ENGINE, _JUDGE, _SCIPY, _EVIDENTLY, _FOLD = "engine", "judge only", "scipy", "Evidently", "fold only"
_JUDGEMENTS = 20
_BINS = 30

Floats = NDArray[np.float64]
_FAMILIES: tuple[Callable[[np.random.Generator, int], Floats], ...] = (
    lambda random, rows: random.normal(size=rows),
    lambda random, rows: np.exp(random.normal(size=rows)),
    lambda random, rows: random.standard_t(3, rows),
    lambda random, rows: random.exponential(size=rows),
    lambda random, rows: random.uniform(size=rows),
    lambda random, rows: random.integers(0, 9, rows).astype(np.float64),
    lambda random, rows: (random.uniform(size=rows) < 0.1).astype(np.float64),
    lambda random, rows: np.where(random.uniform(size=rows) < 0.4, 0.0, random.gamma(2.0, size=rows)),
    lambda random, rows: np.concatenate([random.normal(-2, 1, rows // 2), random.normal(2, 1, rows - rows // 2)]),
    lambda random, rows: 1000 + 20 * random.normal(size=rows),
)
_SHIFTS = (0.0, 0.05, 0.25, 0.0, 0.5, 0.0, 1.0, 0.1)


@dataclass(frozen=True)
class Samples:
    """The reference's rows and the window's (n, d) each, and the profile of the former."""

    reference: Floats
    window: Floats
    profile: ReferenceProfile

    @classmethod
    def of(cls, rows: int, columns: int, *, seed: int) -> "Samples":
        """Rows by chance; every other column moves by up to a standard deviation."""
        random = np.random.default_rng(seed)
        sides = [
            np.column_stack([_FAMILIES[i % len(_FAMILIES)](random, rows) for i in range(columns)]) for _ in range(2)
        ]
        for i in range(columns):
            sides[1][:, i] += _SHIFTS[i % len(_SHIFTS)] * sides[0][:, i].std()
        described = [Column(f"f{i}", "numeric") for i in range(columns)]
        return cls(sides[0], sides[1], build_reference(described, sides[0]))


def measure_speed(*, rows: int, columns: int, rounds: int, evidently: bool) -> Measured:
    """CPU seconds of each way; Evidently is left out where it is not asked for."""
    samples = Samples.of(rows, columns, seed=1)
    folded = fold(samples.profile, samples.window)
    ways: dict[str, Callable[[], int]] = {
        _ENGINE: lambda: _values(samples, _judged(samples.profile, fold(samples.profile, samples.window))),
        _FOLD: lambda: fold(samples.profile, samples.window).rows * columns,
        _SCIPY: lambda: _exactly(samples),
    }
    if evidently:
        ways[_EVIDENTLY] = _evidently(samples)
    timed = interleave("speed", ways, rounds=rounds, clock=time.process_time)
    timed[_JUDGE] = _judge_only(samples, folded, rounds)
    return Measured(tuple(timed.values()), speed_ratios(timed))


def speed_ratios(timed: dict[str, Timed]) -> dict[str, float]:
    """What the CPU seconds come to."""
    found = {
        "scipy_over_engine_time": time_ratio(timed[_SCIPY], timed[_ENGINE]),
        "fold_million_values_per_s": round(timed[_FOLD].per_s / 1e6, 2),
    }
    if _EVIDENTLY in timed:
        found["evidently_over_engine_time"] = time_ratio(timed[_EVIDENTLY], timed[_ENGINE])
        found["evidently_over_judge_time"] = time_ratio(timed[_EVIDENTLY], timed[_JUDGE])
    return found


def distance_errors(samples: Samples) -> dict[str, float]:
    """Of each distance the largest difference to the exact one over the columns."""
    report = _judged(samples.profile, fold(samples.profile, samples.window))
    errors = dict.fromkeys(("ks", "wasserstein", "js", "mean_shift"), 0.0)
    for i, found in enumerate(report.features):
        reference, window, feature = samples.reference[:, i], samples.window[:, i], samples.profile.features[i]
        ends = np.flatnonzero(np.diff(psi_groups(np.array(feature.counts), "numeric")[:-1]))
        bins = np.concatenate([[-np.inf], np.asarray(feature.edges)[ends], [np.inf]])
        shares = [
            np.bincount(np.searchsorted(bins[1:-1], side), minlength=len(bins) - 1) for side in (reference, window)
        ]
        exact = {
            "ks": ks_2samp(reference, window, method="asymp").statistic,
            "wasserstein": wasserstein_distance(reference, window) / reference.std(),
            "js": jensenshannon(*shares, base=2) ** 2,
            "mean_shift": (window.mean() - reference.mean()) / reference.std(),
        }
        errors = {name: max(error, abs(float(exact[name]) - getattr(found, name))) for name, error in errors.items()}
    return {name: round(error, 5) for name, error in errors.items()}


def _judged(reference: ReferenceProfile, profile: Profile) -> DriftReport:
    return judge(reference, profile, Thresholds(), min_rows=100)


def _values(samples: Samples, report: DriftReport) -> int:
    return report.rows * len(samples.profile.features)


def _judge_only(samples: Samples, folded: Profile, rounds: int) -> Timed:
    def often() -> int:
        for _ in range(_JUDGEMENTS):
            report = _judged(samples.profile, folded)
        return _values(samples, report)

    timed = interleave("speed", {_JUDGE: often}, rounds=rounds, clock=time.process_time)[_JUDGE]
    each = tuple(round(s / _JUDGEMENTS, 6) for s in timed.rounds_s)
    return replace(timed, rounds_s=each, median_s=timed.median_s / _JUDGEMENTS, per_s=timed.per_s * _JUDGEMENTS)


def _exactly(samples: Samples) -> int:
    for reference, window in zip(samples.reference.T, samples.window.T, strict=True):
        ks_2samp(reference, window, method="asymp")
        wasserstein_distance(reference, window)
        edges = np.histogram_bin_edges(reference, _BINS)
        jensenshannon(np.histogram(reference, edges)[0], np.histogram(window, edges)[0], base=2)
    return samples.window.size


def _evidently(samples: Samples) -> Callable[[], int]:
    import pandas as pd
    from evidently import Report
    from evidently.presets import DataDriftPreset

    names = [feature.name for feature in samples.profile.features]
    reference, window = (pd.DataFrame(side, columns=names) for side in (samples.reference, samples.window))

    def run() -> int:
        Report([DataDriftPreset()]).run(window, reference)
        return samples.window.size

    return run
