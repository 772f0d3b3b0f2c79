"""Whether errors have become more frequent: an e-CUSUM over the stream of errors, with a guaranteed run length.

For each rise d the log-likelihood ratio of an error rate p0 + d against p0 is added up from its last low point on:
M <- max(M, 0) + llr. The mean of exp(M) over the rises is an e-detector (Shin, Ramdas and Rinaldo, "E-detectors", 2022):
as long as no error is likelier than p0 given what came before, the mean number of labels until it reaches A is at least
A. Likelihood ratios are rounded down to multiples of 2^-32, so that sums are exact: cut into whatever batches, a stream
has the same state to the bit.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

__all__ = ["DriftLevel", "ErrorStream", "ErrorTest"]

DriftLevel = Literal["stable", "warning", "drift"]
Floats = NDArray[np.float64]

_GRID = 2.0**32
_TOGETHER = 50_000
_HIGHEST = 4.0  # times log(run length): a long drift must not take as long to be over
_RATE = 1e-3  # of the base rate, at least: otherwise one error would be proof


@dataclass(frozen=True)
class ErrorTest:
    """What is tested."""

    base: float
    """Error rate that is no drift."""
    rises: tuple[float, ...]
    warning_run_length: float
    run_length: float

    @property
    def ratios(self) -> Floats:
        """Log-likelihood ratios (2, rises) of no error and of an error."""
        base = min(max(self.base, _RATE), 1 - _RATE)
        rates = np.minimum(base + np.array(self.rises), 1 - _RATE / 2)
        exact = np.stack([np.log((1 - rates) / (1 - base)), np.log(rates / base)])
        return np.asarray(np.floor(exact * _GRID) / _GRID)


@dataclass(frozen=True)
class ErrorStream:
    """How far a test is; JSON-ready by `to_json`."""

    sums: tuple[float, ...] = ()
    """By rise: M, or 0 where that is more; none before the first label."""
    seen: int = 0
    errors: int = 0
    level: DriftLevel = "stable"
    statistic: float = 0.0
    """Log of the mean of exp(M) after the newest label."""
    alarms: int = 0
    """How often the drift level was reached."""
    since: int | None = None
    """Label at which the present level was reached, counted from 1; None while stable."""

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {**asdict(self), "sums": list(self.sums)}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        """The inverse of `to_json`."""
        return cls(**{**content, "sums": tuple(content["sums"])})

    def after(self, test: ErrorTest, errors: NDArray[np.bool_]) -> "ErrorStream":
        """The state after these errors (n,), oldest first.

        A level once reached is left when the statistic is below half of the warning's threshold.

        >>> test = ErrorTest(base=0.1, rises=(0.1, 0.3), warning_run_length=100, run_length=10_000)
        >>> good = ErrorStream().after(test, np.arange(200) % 10 == 0)
        >>> good.level, good.after(test, np.arange(100) % 2 == 0).level
        ('stable', 'drift')
        """
        state = self
        for start in range(0, len(errors), _TOGETHER):
            state = state._after(test, np.asarray(errors[start : start + _TOGETHER], dtype=np.int64))
        return state

    def _after(self, test: ErrorTest, errors: NDArray[np.int64]) -> "ErrorStream":
        begun = np.array(self.sums) if self.sums else np.zeros(len(test.rises))
        highest = math.floor(_HIGHEST * math.log(test.run_length) * _GRID) / _GRID
        steps = test.ratios[errors]
        sums = _reflected(begun, steps, highest)
        before = np.vstack([begun, sums[:-1]])
        raw = before + steps
        peak = raw.max(axis=1)
        statistics = peak + np.log(np.exp(raw - peak[:, None]).mean(axis=1))
        level, since, alarms = self._levels(test, statistics)
        return ErrorStream(
            sums=tuple(sums[-1].tolist()),
            seen=self.seen + len(errors),
            errors=self.errors + int(errors.sum()),
            level=level,
            statistic=float(statistics[-1]),
            alarms=self.alarms + alarms,
            since=since,
        )

    def _levels(self, test: ErrorTest, statistics: Floats) -> tuple[DriftLevel, int | None, int]:
        """The level after the batch, since when, and how often the drift level was reached in it."""
        warning, drift = math.log(test.warning_run_length), math.log(test.run_length)
        level, since, alarms, place = self.level, self.since, 0, 0
        while place < len(statistics):
            rest = statistics[place:]
            ends = {
                "stable": rest >= warning,
                "warning": (rest >= drift) | (rest < warning / 2),
                "drift": rest < warning / 2,
            }[level]
            step = int(ends.argmax())
            if not ends[step]:
                break
            place += step
            value = float(statistics[place])
            entered: DriftLevel = "drift" if value >= drift else "warning" if value >= warning else "stable"
            alarms += entered == "drift"
            level, since = entered, None if entered == "stable" else self.seen + place + 1
            place += 1
        return level, since, alarms


def _reflected(begun: Floats, steps: Floats, highest: float) -> Floats:
    """The walk that starts at `begun` and is kept between 0 and `highest`, (n, d).

    As long as the upper bound is not met, it is the free walk less its lowest point below 0 (Lindley 1952).
    """
    free = begun + np.cumsum(steps, axis=0)
    walk = free - np.minimum(np.minimum.accumulate(free, axis=0), 0.0)
    for column in np.flatnonzero((walk > highest).any(axis=0)).tolist():
        value = float(begun[column])
        for i, step in enumerate(steps[:, column].tolist()):
            value = min(max(value + step, 0.0), highest)
            walk[i, column] = value
    return np.asarray(walk)
