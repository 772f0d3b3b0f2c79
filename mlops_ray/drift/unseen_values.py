"""Which values came that are none of a feature's known categories: the most frequent ones, and how many there are.

Sketches of Apache DataSketches, a few kB a feature at most, however many values come: frequent items (Anderson et
al., "A High-Performance Algorithm for Identifying Frequent Items in Data Streams", 2017) and HyperLogLog (Flajolet et
al., 2007). Both merge.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

import msgspec
from datasketches import (
    frequent_items_error_type,
    frequent_strings_sketch,
    hll_sketch,
    hll_union,
    tgt_hll_type,
)

from mlops_ray.errors import ValidationError

__all__ = ["UnseenValues"]

_LG_ITEMS = 6  # up to 48 values are counted exactly
_LG_REGISTERS = 10  # a standard error of about 3 %
_FEATURES = 200


@dataclass
class _Sketches:
    """Of one feature."""

    frequent: Any = field(default_factory=lambda: frequent_strings_sketch(_LG_ITEMS))
    distinct: Any = field(default_factory=lambda: hll_sketch(_LG_REGISTERS, tgt_hll_type.HLL_8))

    def note(self, value: str, count: int) -> None:
        text = value[: UnseenValues.longest].encode("utf-8", "replace").decode()
        self.frequent.update(text, count)
        self.distinct.update("=" + text)  # an empty text would be left out

    def merge(self, other: "_Sketches") -> None:
        self.frequent.merge(other.frequent)
        union = hll_union(_LG_REGISTERS)
        union.update(self.distinct)
        union.update(other.distinct)
        self.distinct = union.get_result(tgt_hll_type.HLL_8)


class UnseenValues:
    """By feature; values are cut after `longest` characters, and no more than 200 features are kept."""

    longest = 64

    def __init__(self) -> None:
        self._features: dict[str, _Sketches] = {}

    def __bool__(self) -> bool:
        """Whether any came."""
        return bool(self._features)

    def note(self, feature: str, counts: Mapping[str, int]) -> None:
        """These values came so often."""
        sketches = self._features.get(feature)
        if sketches is None:
            if len(self._features) >= _FEATURES:
                return
            sketches = self._features[feature] = _Sketches()
        for value, count in counts.items():
            sketches.note(value, count)

    def merge(self, other: "UnseenValues") -> None:
        """Add what another one has; it stays as it is."""
        for feature, theirs in other._features.items():
            if feature in self._features:
                self._features[feature].merge(theirs)
            elif len(self._features) < _FEATURES:
                self._features[feature] = _Sketches()
                self._features[feature].merge(theirs)

    def frequent(self, feature: str, most: int = 5) -> list[tuple[str, int]]:
        """The most frequent values, most frequent first, and how often they came at least.

        Of up to 48 different values all are known, with their numbers; of more only those that are beyond doubt.
        """
        sketches = self._features.get(feature)
        if sketches is None:
            return []
        items = sketches.frequent.get_frequent_items(frequent_items_error_type.NO_FALSE_POSITIVES)
        counts = [(str(value), int(lower)) for value, _, lower, _ in items]
        return sorted(counts, key=lambda item: (-item[1], item[0]))[:most]

    def distinct(self, feature: str) -> int:
        """About how many different values came; of a request with very many only the most frequent ones count."""
        sketches = self._features.get(feature)
        return 0 if sketches is None else round(sketches.distinct.get_estimate())

    def told(self, feature: str, most: int = 3) -> str:
        """A sentence for people; empty where nothing came.

        >>> values = UnseenValues()
        >>> values.note("plan", {"Pro+": 2, "pro": 1})
        >>> values.told("plan")
        "'Pro+' (2), 'pro' (1)"
        """
        shown = self.frequent(feature, most)
        text = ", ".join(f"{value!r} ({count:,})" for value, count in shown)
        more = self.distinct(feature) - len(shown)
        if not shown:
            return f"about {more:,} values, none of them frequent" if more else ""
        return f"{text} and about {more:,} others" if more > 0 else text

    def to_json(self, most: int = 50) -> dict[str, Any]:
        """By feature, `most` of them, for people."""
        return {
            feature: {"distinct": self.distinct(feature), "frequent": [list(item) for item in self.frequent(feature)]}
            for feature in sorted(self._features)[:most]
        }

    def to_bytes(self) -> bytes:
        """For another process; empty where nothing came."""
        if not self._features:
            return b""
        content = {
            feature: (s.frequent.serialize(), s.distinct.serialize_compact()) for feature, s in self._features.items()
        }
        return msgspec.msgpack.encode(content)

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """The inverse of `to_bytes`.

        Raises:
            ValidationError: it is something else.
        """
        values = cls()
        try:
            content: Mapping[str, tuple[bytes, bytes]] = (
                msgspec.msgpack.decode(data, type=dict[str, tuple[bytes, bytes]]) if data else {}
            )
            for feature, (frequent, distinct) in content.items():
                values._features[feature] = _Sketches(
                    frequent_strings_sketch.deserialize(frequent), hll_sketch.deserialize(distinct)
                )
        except (msgspec.MsgspecError, ValueError, RuntimeError, IndexError) as error:
            raise ValidationError(f"expected sketches of unseen values, found {len(data)} other bytes") from error
        return values
