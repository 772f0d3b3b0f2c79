"""Values of requests that are none of a feature's known categories, until they are handed over."""

from collections.abc import Mapping

from mlops_ray.drift import UnseenValues
from mlops_ray.model import Signature
from mlops_ray.spec import Capture

__all__ = ["UnseenNotes"]


class UnseenNotes:
    """Of one version in one replica. Nothing is noted of features that the records do not keep as they are."""

    def __init__(self, signature: Signature, capture: Capture) -> None:
        kept = (c.name for c in signature.inputs if capture.fields.get(c.name, "keep") == "keep")
        self._kept = frozenset(kept) if capture.enabled else frozenset()
        self._values = UnseenValues()

    def note(self, feature: str, counts: Mapping[str, int]) -> None:
        """These values came so often."""
        if feature in self._kept:
            self._values.note(feature, counts)

    def take(self) -> bytes:
        """All since the last time, as `UnseenValues.to_bytes` gives them."""
        taken, self._values = self._values, UnseenValues()
        return taken.to_bytes()
