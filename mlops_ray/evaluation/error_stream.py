"""Whether errors have become more frequent: an e-CUSUM over the stream of errors, with a guaranteed run length.

For each rise d the log-likelihood ratio of an error rate p0 + d against p0 is added up since its last low point:
M <- max(M, 0) + llr. The mean of exp(M) over the rises is an e-detector (Shin, Ramdas and Rinaldo, E-detectors, 2022):
as long as no error is likelier than p0 given what came before, the mean number of labels until it reaches A is at least
A. Likelihood ratios are rounded down to multiples of 2^-32, so that sums are exact: cut into whatever batches, a stream
has the same state to the bit.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

__all__ = ["DriftLevel", "ErrorStream", "ErrorTest"]

DriftLevel = Literal["stable", "warning", "drift"]
Floats = NDArray[np.float64]

_GRID = 2.0**32
_TOGETHER = 50_000
_QUIET = 200
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
    """Label at which the present level was reached, the newest alarm of several; counted from 1, None while stable."""

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {**asdict(self), "sums": list(self.sums)}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        """The inverse of `to_json`."""
        return cls(**{**content, "sums": tuple(content["sums"])})

    def after(self, test: ErrorTest, errors: NDArray[np.bool_]) -> "ErrorStream":
        """The state after these errors (n,), oldest first.

        At the drift level the sums begin anew, so that errors which stay frequent raise another alarm. The level is
        left after 200 labels without one, as soon as the statistic is below half of the warning's threshold.

        >>> test = ErrorTest(base=0.1, rises=(0.1, 0.3), warning_run_length=100, run_length=10_000)
        >>> good = ErrorStream().after(test, np.arange(200) % 10 == 0)
        >>> good.level, good.after(test, np.arange(100) % 2 == 0).level
        ('stable', 'drift')
        """
        state, place = self, 0
        while place < len(errors):
            state, taken = state._stretch(test, np.asarray(errors[place : place + _TOGETHER], dtype=np.int64))
            place += taken
        return state

    def _stretch(self, test: ErrorTest, errors: NDArray[np.int64]) -> "tuple[ErrorStream, int]":
        """The state after these errors, or up to the first of them that raises an alarm; and how many they are."""
        begun = np.array(self.sums) if self.sums else np.zeros(len(test.rises))
        steps = test.ratios[errors]
        free = begun + np.cumsum(steps, axis=0)
        # the walk that is kept above 0 is the free one less its lowest point below 0 (Lindley 1952)
        sums = free - np.minimum(np.minimum.accumulate(free, axis=0), 0.0)
        raw = np.vstack([begun, sums[:-1]]) + steps
        peak = raw.max(axis=1)
        statistics = peak + np.log(np.exp(raw - peak[:, None]).mean(axis=1))
        alarmed = np.flatnonzero(statistics >= math.log(test.run_length))
        taken = int(alarmed[0]) + 1 if len(alarmed) else len(errors)
        calm = replace(
            self,
            sums=tuple(sums[taken - 1].tolist()),
            seen=self.seen + taken,
            errors=self.errors + int(errors[:taken].sum()),
            statistic=float(statistics[taken - 1]),
        )
        if len(alarmed):
            nothing = (0.0,) * len(test.rises)
            return replace(calm, sums=nothing, level="drift", alarms=self.alarms + 1, since=calm.seen), taken
        level, since = self._level_after(test, statistics)
        return replace(calm, level=level, since=since), taken

    def _level_after(self, test: ErrorTest, statistics: Floats) -> tuple[DriftLevel, int | None]:
        """The level after a stretch without an alarm, and since which label."""
        warning = math.log(test.warning_run_length)
        level, since, place = self.level, self.since, 0
        while place < len(statistics):
            rest = statistics[place:]
            ends = rest >= warning if level == "stable" else rest < warning / 2
            if level == "drift" and since is not None:
                ends &= self.seen + place + 1 + np.arange(len(rest)) >= since + _QUIET
            step = int(ends.argmax())
            if not ends[step]:
                break
            place += step + 1
            level, since = ("warning", self.seen + place) if level == "stable" else ("stable", None)
        return level, since
