import base64
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from mlops_ray.data.conversion import accepts, convert
from mlops_ray.pixels import encode_png

WHOLE = encode_png(np.full((4, 4, 3), 9, np.uint8))
STRUCT = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
REASON = "not a picture (JPEG, PNG or WebP) that can be read"


def in_struct(content: bytes | None) -> dict[str, Any]:
    return {"bytes": content, "path": "a.png"}


@pytest.mark.parametrize(
    "column",
    [
        pa.array([WHOLE, WHOLE], pa.binary()),
        pa.array([WHOLE, WHOLE], pa.large_binary()),
        pa.array([in_struct(WHOLE)] * 2, STRUCT),
        pa.array([base64.b64encode(WHOLE).decode()] * 2),
    ],
    ids=["binary", "large_binary", "struct", "base64"],
)
def test_pictures_come_in_the_ways_that_datasets_have_them(column: pa.Array) -> None:
    assert accepts("image", column.type)
    converted = convert(column, "image")
    assert converted.values.to_pylist() == [WHOLE, WHOLE]
    assert converted.values.type == pa.large_binary()
    assert converted.problems == ()


def test_a_column_of_numbers_has_no_pictures() -> None:
    assert not accepts("image", pa.int64())
    assert not accepts("image", pa.struct([("path", pa.string())]))


@pytest.mark.parametrize(
    "column",
    [
        pa.array([WHOLE, b"no", WHOLE[:-30], None], pa.binary()),
        pa.array([in_struct(WHOLE), in_struct(b"no"), in_struct(WHOLE[:-30]), None], STRUCT),
        pa.array([base64.b64encode(WHOLE).decode(), "no picture at all", "AAAA", None]),
    ],
    ids=["binary", "struct", "base64"],
)
def test_what_cannot_be_read_is_told_and_a_null_stays_one(column: pa.Array) -> None:
    converted = convert(column, "image")
    assert converted.values.to_pylist() == [WHOLE, None, None, None]
    [(reason, wrong)] = converted.problems
    assert (reason, wrong.tolist()) == (REASON, [False, True, True, False])
