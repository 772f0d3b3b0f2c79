"""What is kept of the pictures of a request: a few statistics of each and a digest, never the pixels."""

from hashlib import blake2b

import msgspec
import numpy as np
from numpy.typing import NDArray

from mlops_ray.model import Signature

__all__ = ["SeenPictures"]


class SeenPictures(msgspec.Struct, frozen=True, gc=False):
    """Of each picture, in the order of the rows."""

    statistics: NDArray[np.float64]
    """(n, columns), as `Signature.profiled` makes them."""
    digests: tuple[str, ...]
    """Of the pixels that the model saw: 16 hexadecimal digits, the same for a picture in whichever format it came."""

    @classmethod
    def of(cls, signature: Signature, matrix: NDArray[np.float64]) -> "SeenPictures":
        """Those of encoded rows (n, width); takes long enough to be done on another thread."""
        return cls(signature.profiled(matrix), tuple(map(_digest, matrix)))

    @property
    def nbytes(self) -> int:
        """Memory that they take, about."""
        return self.statistics.nbytes + 64 * len(self.digests)


def _digest(pixels: NDArray[np.float64]) -> str:
    return blake2b(np.rint(pixels).astype(np.uint8).tobytes(), digest_size=8).hexdigest()
