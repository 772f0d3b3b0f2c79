"""Encoded pictures of a request to rows of the matrix; knows no format of a body."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from mlops_ray.errors import RequestError
from mlops_ray.model import InputColumn
from mlops_ray.pixels import decode_image

__all__ = ["picture_rows"]


def picture_rows(column: InputColumn, contents: Sequence[bytes], path: Callable[[int], str]) -> NDArray[np.float64]:
    """The pixels (n, width) of encoded pictures; `path` says where in the body each of them stands.

    Raises:
        RequestError: 422 for the first one that cannot be read.
    """
    shape = column.shape
    assert shape is not None, "only an image has pixels"
    matrix = np.empty((len(contents), int(np.prod(shape))))
    for place, content in enumerate(contents):
        try:
            matrix[place] = decode_image(content, shape).reshape(-1)
        except ValueError as error:
            raise RequestError(f"expected an encoded picture (JPEG, PNG or WebP): it {error}", path(place)) from None
    return matrix
