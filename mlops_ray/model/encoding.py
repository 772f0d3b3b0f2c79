"""Rows to the matrix that every predictor takes: one float64 per cell, NaN where a value is missing."""

from collections.abc import Callable, Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt
from numpy.typing import NDArray

from mlops_ray.errors import SchemaError
from mlops_ray.model.signature import InputColumn, Signature
from mlops_ray.pixels import decode_images
from mlops_ray.spec import FeatureType

__all__ = ["encode", "encode_pieces"]

Matrix = NDArray[np.float64]

_PIXELS = 2**23  # of a matrix at a time: 64 MiB


def encode(signature: Signature, table: pa.Table) -> Matrix:
    """The inputs of `signature` from `table` as a C-contiguous (rows, width) matrix.

    Numbers as they are; bool as 0 and 1; a category as its place in the vocabulary, as `len(categories)` when it is
    not in it; null as NaN. Columns that the signature does not name are ignored. An encoded picture becomes its pixels,
    0 to 255, row by row from the top left, the channels of a pixel beside each other.

    Raises:
        SchemaError: a column is missing, its type is not the one of the signature, or a picture cannot be read.
    """
    if signature.image is not None:
        return _pictures(signature.image, _values(signature.image, table))
    matrix = np.empty((table.num_rows, len(signature.inputs)), dtype=np.float64)
    for place, column in enumerate(signature.inputs):
        matrix[:, place] = _encode_column(column, _values(column, table))
    return matrix


def encode_pieces(signature: Signature, table: pa.Table) -> Iterator[Matrix]:
    """The matrix of `encode` in pieces that memory has room for: all of a table at once, of pictures as many as fit.

    Raises as `encode` does; at least one piece.
    """
    step = max(1, table.num_rows if signature.image is None else _PIXELS // signature.width)
    for start in range(0, max(1, table.num_rows), step):
        yield encode(signature, table.slice(start, step))


def _pictures(column: InputColumn, values: pa.Array) -> Matrix:
    if not (pt.is_binary(values.type) or pt.is_large_binary(values.type)) or values.null_count:
        found = "null" if values.null_count else values.type
        raise SchemaError(f"column {column.name!r}: expected encoded pictures (binary) in every row, found {found}")
    assert column.shape is not None
    try:
        pixels = decode_images(values.to_pylist(), column.shape)
    except ValueError as error:
        raise SchemaError(f"column {column.name!r}: {error}") from None
    return pixels.reshape(len(pixels), int(np.prod(column.shape))).astype(np.float64)


def _values(column: InputColumn, table: pa.Table) -> pa.Array:
    if column.name not in table.column_names:
        raise SchemaError(
            f"column {column.name!r} ({column.type}) is missing; found {', '.join(table.column_names) or 'no columns'}"
        )
    values = table[column.name].combine_chunks()
    # an older pyarrow answers with a ChunkedArray for zero chunks
    return pa.concat_arrays(values.chunks) if isinstance(values, pa.ChunkedArray) and values.num_chunks else values


def _encode_column(column: InputColumn, values: pa.Array) -> Matrix:
    if pt.is_null(values.type):
        return np.full(len(values), np.nan)
    accepted, encoder = _ENCODERS[column.type]
    if not accepted(_value_type(values.type)):
        raise SchemaError(f"column {column.name!r}: expected {column.type}, found {values.type}")
    return encoder(column, values)


def _value_type(kind: pa.DataType) -> pa.DataType:
    return kind.value_type if pt.is_dictionary(kind) else kind


def _number(_: InputColumn, values: pa.Array) -> Matrix:
    numbers = pc.cast(values, pa.float64(), safe=False)
    return np.asarray(pc.fill_null(numbers, float("nan")).to_numpy(zero_copy_only=False), dtype=np.float64)


def _whole_number(column: InputColumn, values: pa.Array) -> Matrix:
    numbers = _number(column, values)
    # pandas turns an int column with gaps into float: whole floats are what was meant
    broken = np.flatnonzero(np.isfinite(numbers) & (numbers != np.trunc(numbers)))
    if pt.is_floating(values.type) and broken.size:
        raise SchemaError(f"column {column.name!r}: expected int, found {numbers[broken[0]]:g} in row {broken[0]}")
    return numbers


def _category(column: InputColumn, values: pa.Array) -> Matrix:
    texts = pc.cast(values, pa.large_string())
    codes = pc.index_in(texts, value_set=pa.array(column.categories, pa.large_string()))
    filled = pc.fill_null(codes, len(column.categories)).to_numpy(zero_copy_only=False).astype(np.float64)
    filled[texts.is_null().to_numpy(zero_copy_only=False)] = np.nan
    return filled


def _is_number(kind: pa.DataType) -> bool:
    return bool(pt.is_floating(kind) or pt.is_integer(kind) or pt.is_decimal(kind))


def _is_text(kind: pa.DataType) -> bool:
    return bool(pt.is_string(kind) or pt.is_large_string(kind) or pt.is_string_view(kind))


_ENCODERS: dict[FeatureType, tuple[Callable[[pa.DataType], bool], Callable[[InputColumn, pa.Array], Matrix]]] = {
    "float": (_is_number, _number),
    "int": (lambda kind: bool(pt.is_integer(kind) or pt.is_floating(kind)), _whole_number),
    "bool": (lambda kind: bool(pt.is_boolean(kind)), _number),
    "category": (_is_text, _category),
}
