"""A feature's shares in the reference and in a window, coarse enough for a picture."""

from typing import Any

import numpy as np

from mlops_ray.drift.distances import psi_groups
from mlops_ray.drift.profile import Profile
from mlops_ray.drift.reference import ReferenceProfile
from mlops_ray.drift.seasonal import expected_counts
from mlops_ray.errors import ValidationError

__all__ = ["histogram"]

_MOST = 20  # categories


def histogram(reference: ReferenceProfile, profile: Profile, name: str) -> dict[str, Any]:
    """JSON values: `feature`; `edges` (one more than shares) or `categories`; `reference` and `window`, shares that,
    with those `missing`, add up to 1. The outermost edges are the least and the greatest value of the reference, though
    a window's values may lie beyond them. Of many categories the rarest are joined.

    Raises:
        ValidationError: the reference has no such feature.
    """
    places = [i for i, feature in enumerate(reference.features) if feature.name == name]
    if not places:
        raise ValidationError(f"expected a feature of the reference, found {name!r}")
    feature, counts = reference.features[places[0]], profile.counts[places[0]]
    sides = [cells / max(1, cells.sum()) for cells in (expected_counts(feature, profile.slots), counts)]
    missing = {side: float(shares[-1]) for side, shares in zip(("reference", "window"), sides, strict=True)}
    if feature.kind == "categorical":
        names = [*feature.categories, "(not seen before)"]
        order = np.argsort(-(sides[0] + sides[1])[:-1], kind="stable")
        first, rest = order[: _MOST - 1], order[_MOST - 1 :]
        labels = [names[i] for i in first] + (["(others)"] if len(rest) else [])
        shown = [shares[first].tolist() + ([float(shares[rest].sum())] if len(rest) else []) for shares in sides]
        return {"feature": name, "categories": labels, "reference": shown[0], "window": shown[1], "missing": missing}
    groups = psi_groups(np.array(feature.counts), "numeric")[:-1]
    last = np.flatnonzero(np.diff(groups))
    inner = [feature.edges[i] for i in last]
    outer = (inner or [feature.mean])[0], (inner or [feature.mean])[-1]
    low = min(outer[0], feature.low if feature.low is not None else outer[0] - feature.std)
    high = max(outer[1], feature.high if feature.high is not None else outer[1] + feature.std)
    shown = [np.bincount(groups, weights=shares[:-1]).tolist() for shares in sides]
    return {
        "feature": name,
        "edges": [low, *inner, high],
        "reference": shown[0],
        "window": shown[1],
        "missing": missing,
    }
