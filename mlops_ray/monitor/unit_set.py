"""Who was seen already: a set of units as 8-byte hashes, for whole arrays at a time, of bounded size."""

from collections.abc import Iterable
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

__all__ = ["CAPACITY", "Hashes", "UnitSet", "hashes_of"]

Hashes = NDArray[np.uint64]

CAPACITY = 1_000_000
"""Units of one set: 8 MB."""
_RECENT = 4096  # so many are inserted together: each insertion copies the large array


def hashes_of(names: Iterable[str]) -> Hashes:
    """8 bytes for each name, the same in every process; of a million names two are confused once in 40 million sets.

    >>> hashes_of(["ada", "bob", "ada"]).tolist() == hashes_of(["ada", "bob", "ada"]).tolist()
    True
    """
    digests = b"".join(blake2b(name.encode("utf-8", "surrogatepass"), digest_size=8).digest() for name in names)
    return np.frombuffer(digests, dtype="<u8")


class UnitSet:
    """Units seen, in two sorted arrays: 8 bytes a unit, and one that is full takes in nobody any more."""

    def __init__(self, *, capacity: int = CAPACITY) -> None:
        self._capacity = capacity
        self._known = np.empty(0, dtype="<u8")
        self._recent = np.empty(0, dtype="<u8")

    def __len__(self) -> int:
        """Units seen."""
        return len(self._known) + len(self._recent)

    @property
    def full(self) -> bool:
        """Whether nobody counts as new any more."""
        return len(self) >= self._capacity

    def first(self, units: Hashes) -> NDArray[np.bool_]:
        """Which of these (n,) are seen for the first time, in order; they are known from now on.

        >>> UnitSet().first(hashes_of(["ada", "bob", "ada"])).tolist()
        [True, True, False]
        """
        mask = np.zeros(len(units), dtype=bool)
        if self.full or not len(units):
            return mask
        distinct, places = np.unique(units, return_index=True)
        new = ~(_among(self._known, distinct) | _among(self._recent, distinct))
        mask[places[new]] = True
        self._remember(distinct[new])
        return mask

    def _remember(self, new: Hashes) -> None:
        self._recent = np.union1d(self._recent, new)
        if len(self._recent) > max(_RECENT, len(self._known) // 8):
            self._known, self._recent = np.union1d(self._known, self._recent), self._recent[:0]


def _among(ordered: Hashes, wanted: Hashes) -> NDArray[np.bool_]:
    if not len(ordered):
        return np.zeros(len(wanted), dtype=bool)
    places = np.searchsorted(ordered, wanted)
    found: NDArray[np.bool_] = ordered[np.minimum(places, len(ordered) - 1)] == wanted
    return found
