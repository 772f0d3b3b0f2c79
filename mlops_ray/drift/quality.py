"""Whether a column is broken: what it holds cannot be a change of the world, somebody upstream has to repair it.

Every rule compares shares of a window with those of the reference (at the same hours, where it has a season); a share
counts as grown when a Wilson bound at four standard deviations, too, is above the reference's.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from mlops_ray.drift.distances import ks
from mlops_ray.drift.feature_reference import FeatureReference
from mlops_ray.drift.profile import Profile
from mlops_ray.drift.reference import ReferenceProfile
from mlops_ray.drift.seasonal import expected_counts
from mlops_ray.drift.units import change_of_units
from mlops_ray.spec import Quality

__all__ = ["Breakage", "QualityProblem", "check_quality"]

Breakage = Literal["missing", "infinite", "unseen", "constant", "zeros", "units", "out_of_range"]
_SURE = 4.0  # standard deviations
_BY_CHANCE = -20.0  # ln of the probability that all values of a window are alike
_FAR = 0.3  # KS

Counts = NDArray[np.int64]


@dataclass(frozen=True)
class QualityProblem:
    """One broken column; shares are of the rows, 0..1."""

    feature: str
    breakage: Breakage
    share: float
    expected: float
    message: str
    values: str = ""
    """The most frequent values that nobody knew, for people who may see what users sent."""

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)


@dataclass(frozen=True)
class _Column:
    """A column of a window, and what was expected."""

    feature: FeatureReference
    profile: Profile
    place: int
    expected: Counts
    counts: Counts

    @property
    def rows(self) -> int:
        return int(self.counts.sum())

    @property
    def values(self) -> int:
        """Not missing."""
        return self.rows - int(self.counts[-1])


def check_quality(
    reference: ReferenceProfile, profile: Profile, limits: Quality, *, features: Sequence[str] | None = None
) -> tuple[QualityProblem, ...]:
    """What is broken in the rows of `profile`, one problem a column at most; nothing where there are too few rows.

    Args:
        reference: what the window is held against.
        profile: the window, folded against it.
        limits: by how much shares may grow.
        features: to look at; all by default.
    """
    if profile.rows < limits.min_rows:
        return ()
    found = []
    for place, feature in enumerate(reference.features):
        if features is None or feature.name in features:
            expected = expected_counts(feature, profile.slots)
            problem = _problem(_Column(feature, profile, place, expected, profile.counts[place]), limits)
            found += [problem] if problem is not None else []
    return tuple(found)


def _problem(column: _Column, limits: Quality) -> QualityProblem | None:
    rules = (_missing, _unseen, _constant) if column.feature.kind == "categorical" else _NUMERIC
    for rule in rules:
        problem = rule(column, limits)
        if problem is not None:
            return problem
    return None


def _missing(column: _Column, limits: Quality) -> QualityProblem | None:
    share, usual = column.counts[-1] / column.rows, _share(int(column.expected[-1]), int(column.expected.sum()))
    usual = max(usual, column.feature.block_missing)
    if share - usual < limits.max_missing or not _above(int(column.counts[-1]), column.rows, usual):
        return None
    name = column.feature.name
    infinite = column.profile.range_count(column.place, "infinite")
    if 2 * infinite > column.counts[-1]:
        return QualityProblem(name, "infinite", share, usual, f"{name}: {share:.0%} of the values are infinite")
    if share == 1:
        said = f"{name}: every value is missing; renamed, no longer sent, or of another type?"
    else:
        said = f"{name}: {share:.0%} of the values are missing, {usual:.1%} in the reference"
    return QualityProblem(name, "missing", share, usual, said)


def _constant(column: _Column, limits: Quality) -> QualityProblem | None:
    fullest = int(column.counts[:-1].argmax())
    values, reference = column.values, column.expected[:-1]
    if values < limits.min_rows or column.counts[fullest] < values or not reference.sum():
        return None
    usual = float(reference.max() / reference.sum())
    if values * np.log(max(usual, 1e-300)) > _BY_CHANCE or not _one_value(column):
        return None
    name = column.feature.name
    said = f"{name}: all {values:,} values are {_name_of(column, fullest)}; in the reference they vary"
    return QualityProblem(name, "constant", 1.0, usual, said)


def _one_value(column: _Column) -> bool:
    if column.feature.kind == "categorical" or column.profile.range_count(column.place, "zeros") == column.values:
        return True
    n, z, squared = (column.profile.moment(column.place, name) for name in ("n", "z", "z_squared"))
    logs, log, log_squared = (column.profile.moment(column.place, name) for name in ("n_log", "log", "log_squared"))
    if not n or not logs:
        return False  # sums are not known
    return squared / n - (z / n) ** 2 < 1e-4 and log_squared / logs - (log / logs) ** 2 < 1e-4


def _name_of(column: _Column, cell: int) -> str:
    feature = column.feature
    if feature.kind == "categorical":
        known = feature.categories
        return repr(known[cell]) if cell < len(known) else "in a category that the reference does not have"
    if column.profile.range_count(column.place, "zeros") == column.values:
        return "0"
    z = column.profile.moment(column.place, "z") / column.profile.moment(column.place, "n")
    return f"about {feature.mean + z * (feature.std or 1.0):.4g}"


def _unseen(column: _Column, limits: Quality) -> QualityProblem | None:
    if not column.values:
        return None
    count, total = int(column.counts[-2]), int(column.expected[:-1].sum())
    share, usual = count / column.values, _share(int(column.expected[-2]), total)
    if share - usual < limits.max_unseen or not _above(count, column.values, usual):
        return None
    name, known = column.feature.name, len(column.feature.categories)
    said = f"{name}: {share:.0%} of the values are none of the {known} known categories"
    if share == 1:
        said += "; another spelling, or of another type?"
    return QualityProblem(name, "unseen", share, usual, said)


def _zeros(column: _Column, limits: Quality) -> QualityProblem | None:
    """Zeros where there hardly were any: a value that could not be had was filled in."""
    feature = column.feature
    total = sum(feature.counts[:-1])
    if feature.zeros is None or not column.values or not total:
        return None
    count, usual = column.profile.range_count(column.place, "zeros"), feature.zeros / total
    share = count / column.values
    if usual > limits.max_zeros / 2 or share - usual < limits.max_zeros or not _above(count, column.values, usual):
        return None
    said = f"{feature.name}: {share:.0%} of the values are 0, {usual:.1%} in the reference"
    return QualityProblem(feature.name, "zeros", share, usual, said)


def _units(column: _Column, limits: Quality) -> QualityProblem | None:
    if not limits.units or column.values < limits.min_rows:
        return None
    distance = ks(column.expected, column.counts, "numeric")
    if distance < _FAR:
        return None
    said = change_of_units(column.feature, column.profile, column.place, min_factor=limits.min_factor)
    if said is None:
        return None
    return QualityProblem(column.feature.name, "units", 1.0, 0.0, f"{column.feature.name}: {said}")


def _out_of_range(column: _Column, limits: Quality) -> QualityProblem | None:
    feature = column.feature
    if feature.low is None or feature.high is None or not column.values:
        return None
    below, above = (column.profile.range_count(column.place, name) for name in ("below", "above"))
    share = (below + above) / column.values
    if share < limits.max_out_of_range or not _above(below + above, column.values, 0.0):
        return None
    excess = _excess(column, feature.low, feature.high, below, above)
    if excess is not None and excess < limits.min_excess:
        return None
    far = "" if excess is None else f", by {excess:.2g} times its width on average"
    said = (
        f"{feature.name}: {share:.0%} of the values are outside of {feature.low:.4g} to {feature.high:.4g}, the range "
        f"of the reference{far} ({below:,} below, {above:,} above)"
    )
    return QualityProblem(feature.name, "out_of_range", share, 0.0, said)


def _excess(column: _Column, low: float, high: float, below: int, above: int) -> float | None:
    """How far outside of the range the values there lie on average, in widths of it; None where sums are not known.

    Those inside, in the same bin, are taken for the reference's own. A column that did not vary had no range to leave.
    """
    feature, sums = column.feature, column.profile.cell_sums[column.place]
    if not column.profile.moment(column.place, "n") or not feature.bin_means:
        return None
    std = feature.std or 1.0
    total = 0.0
    for cell, count, edge, sign in ((0, below, low, -1), (len(feature.counts) - 2, above, high, 1)):
        inside = int(column.counts[cell]) - count
        mean_z = (feature.bin_means[cell] - feature.mean) / std
        total += sign * (float(sums[cell]) - inside * mean_z - count * (edge - feature.mean) / std)
    width = (high - low) / std
    return max(total, 0.0) / (below + above) / width if width > 0 else 0.0


_NUMERIC = (_missing, _constant, _units, _zeros, _out_of_range)


def _share(count: int, rows: int) -> float:
    return count / rows if rows else 0.0


def _above(count: int, rows: int, usual: float) -> bool:
    """Whether the share is above `usual` beyond chance: the lower Wilson bound is."""
    share, z = count / rows, _SURE
    middle = share + z * z / (2 * rows)
    radius = z * np.sqrt(share * (1 - share) / rows + z * z / (4 * rows * rows))
    return bool((middle - radius) / (1 + z * z / rows) > usual)
