"""Whether the values of a window are those of the reference in other units."""

import numpy as np

from mlops_ray.drift.feature_reference import FeatureReference
from mlops_ray.drift.profile import Profile

__all__ = ["change_of_units"]

# value in the window = factor * value in the reference + offset, for a reference between two temperatures
_KNOWN = {
    "degrees Celsius to Fahrenheit": (1.8, 32.0, -100, 200),
    "degrees Fahrenheit to Celsius": (1 / 1.8, -32 / 1.8, -150, 400),
    "degrees Celsius to kelvin": (1.0, 273.15, -100, 200),
    "kelvin to degrees Celsius": (1.0, -273.15, 150, 500),
}
_TOLERANCE = 0.05  # of a known conversion, in standard deviations of the converted values and of their deviation
_SPREAD = 0.15  # by which the deviation of logarithms may differ between one unit and another
_ROUND = 0.03
_HUGE = 50.0  # no spread of the world grows by this much
_ERROR = 4.0  # standard errors that chance adds
_SURE = 3.0  # the same for a round number


def change_of_units(feature: FeatureReference, profile: Profile, place: int, *, min_factor: float) -> str | None:
    """A sentence on the conversion that makes the reference look like the window, None where there is none.

    A factor c moves the mean of ln |x| by ln c and leaves its deviation; it has to be `min_factor` or more, or
    1 / `min_factor` or less. Conversions of temperatures are told by mean and deviation.
    """
    return _factor(feature, profile, place, min_factor) or _known(feature, profile, place)


def _factor(feature: FeatureReference, profile: Profile, place: int, min_factor: float) -> str | None:
    n, log, squared = (profile.moment(place, name) for name in ("n_log", "log", "log_squared"))
    if n < 2 or not feature.bin_means:
        return None
    mean = log / n
    deviation = float(np.sqrt(max(0.0, squared / n - mean**2)))
    change = mean - feature.log_mean
    room = _SPREAD * max(feature.log_std, 0.1) + _ERROR * feature.log_std / np.sqrt(2 * n)
    moved = abs(change) >= max(np.log(min_factor), _ERROR * feature.log_std / np.sqrt(n) + np.log(min_factor) / 2)
    if not moved or abs(deviation - feature.log_std) > room:
        return None
    if abs(change) < np.log(_HUGE) and not _same_signs(feature, profile, place):
        return None
    factor = _rounded(float(np.exp(change)), max(_ROUND, _SURE * feature.log_std / np.sqrt(n)))
    return f"values are about {factor} times those of the reference; a change of units?"


def _same_signs(feature: FeatureReference, profile: Profile, place: int) -> bool:
    """Whether the window's mean has moved with its factor: a column around 0 that only spread has not."""
    n, z = profile.moment(place, "n"), profile.moment(place, "z")
    if not n or not feature.std:
        return bool(feature.mean)
    mean = feature.mean + feature.std * z / n
    return abs(feature.mean) > 0.5 * feature.std and mean * feature.mean > 0


def _known(feature: FeatureReference, profile: Profile, place: int) -> str | None:
    n, z, squared = (profile.moment(place, name) for name in ("n", "z", "z_squared"))
    if n < 2 or feature.std <= 0 or not feature.quantiles:
        return None
    mean = feature.mean + feature.std * z / n
    deviation = feature.std * float(np.sqrt(max(0.0, squared / n - (z / n) ** 2)))
    for name, (factor, offset, low, high) in _KNOWN.items():
        expected, spread = factor * feature.mean + offset, factor * feature.std
        if feature.quantiles[0] < low or feature.quantiles[-1] > high or abs(offset) < spread:
            continue
        room = _TOLERANCE + _ERROR / np.sqrt(n)
        if abs(mean - expected) <= room * spread and abs(deviation / spread - 1) <= room:
            return f"values look converted from {name}; a change of units?"
    return None


def _rounded(factor: float, room: float) -> str:
    """The nearest round factor (1000, 0.001, 60, 3600, ...) where it is as near as `room`, else two digits.

    >>> _rounded(1012.0, 0.03), _rounded(0.00099, 0.03), _rounded(59.2, 0.03), _rounded(7.31, 0.03)
    ('1,000', '0.001', '60', '7.3')
    """
    usual = [10.0**power for power in range(-9, 10)] + [60.0, 3600.0, 24.0, 1 / 60, 1 / 3600, 1 / 24]
    nearest = min(usual, key=lambda value: abs(np.log(value / factor)))
    value = nearest if abs(nearest / factor - 1) <= room else float(f"{factor:.2g}")
    return f"{value:,.0f}" if value >= 100 else f"{value:g}"
