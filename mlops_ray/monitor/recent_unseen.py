"""Values that are none of the known categories, of the sliding window."""

from mlops_ray.drift import UnseenValues

__all__ = ["RecentUnseen"]

_PARTS = 10


class RecentUnseen:
    """Bounded: sketches of a tenth of the window each. They are not kept over a restart."""

    def __init__(self, *, size_s: float) -> None:
        """`size_s` is the length of the window."""
        self._part_s = size_s / _PARTS
        self._parts: dict[int, UnseenValues] = {}

    def add(self, time_s: float, data: bytes) -> None:
        """Sketches of requests of about `time_s`, as `UnseenValues.to_bytes` gives them.

        Raises:
            ValidationError: it is something else.
        """
        if data:
            part = int(time_s // self._part_s)
            self._parts.setdefault(part, UnseenValues()).merge(UnseenValues.from_bytes(data))
            newest = max(self._parts)
            self._parts = {known: values for known, values in self._parts.items() if known >= newest - _PARTS}

    def window(self, now_s: float) -> UnseenValues:
        """Of the last seconds, to the precision of a tenth."""
        oldest = int(now_s // self._part_s) - _PARTS
        found = UnseenValues()
        for part, values in self._parts.items():
            if part >= oldest:
                found.merge(values)
        return found
