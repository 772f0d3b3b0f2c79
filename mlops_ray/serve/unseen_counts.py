"""Categories that a version does not know, from the requests that bring them to the sketches that are handed over."""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping

from mlops_ray.drift import UnseenValues

__all__ = ["MOST", "Unseen", "counted", "sketches_of"]

Unseen = tuple[tuple[str, Mapping[str, int]], ...]
"""Of one request, by feature: the values, and how often they came."""

MOST = 200
"""Values of a feature that are kept of one request, the most frequent ones."""


def counted(values: Iterable[tuple[str, str]]) -> Unseen:
    """(feature, value) of every unknown value of a request, by feature and with their numbers; long values are cut."""
    counts: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for feature, value in values:
        counts[feature][value[: UnseenValues.longest]] += 1
    return tuple((feature, dict(of_feature.most_common(MOST))) for feature, of_feature in counts.items())


def sketches_of(requests: Iterable[Unseen], *, without: Collection[str]) -> bytes:
    """All of them as `UnseenValues.to_bytes`, but for features `without` their values in the records."""
    values = UnseenValues()
    for unseen in requests:
        for feature, counts in unseen:
            if feature not in without:
                values.note(feature, counts)
    return values.to_bytes()
