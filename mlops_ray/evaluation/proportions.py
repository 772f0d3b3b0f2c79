"""Confidence limits of shares and of the difference of two shares."""

import numpy as np

__all__ = ["newcombe", "wilson"]


def wilson(rate: float, rows: int, z: float) -> tuple[float, float]:
    """Wilson's limits (1927) of a share that was seen in `rows` rows; `z` is the normal quantile of the level.

    >>> [round(limit, 3) for limit in wilson(0.1, 100, 1.96)]
    [0.055, 0.174]
    """
    denominator = 1 + z * z / rows
    centre = (rate + z * z / (2 * rows)) / denominator
    half = z * float(np.sqrt(rate * (1 - rate) / rows + z * z / (4 * rows * rows))) / denominator
    return max(0.0, centre - half), min(1.0, centre + half)


def newcombe(one: tuple[float, int], other: tuple[float, int], z: float) -> tuple[float, float]:
    """Newcombe's limits (1998, method 10) of the first share less the second; each is (share, rows).

    >>> [round(limit, 3) for limit in newcombe((0.8, 70), (0.6, 80), 1.96)]
    [0.052, 0.334]
    """
    (p, n), (q, m) = one, other
    (low_p, high_p), (low_q, high_q) = wilson(p, n, z), wilson(q, m, z)
    return p - q - float(np.hypot(p - low_p, high_q - q)), p - q + float(np.hypot(high_p - p, q - low_q))
