"""Apache Arrow IPC streams to a matrix and back: one column a feature, for many rows at once.

Format: https://arrow.apache.org/docs/format/Columnar.html (encapsulated message format, IPC streaming format).
"""

import struct
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt
from numpy.typing import NDArray

from mlops_ray.drift import UnseenValues
from mlops_ray.errors import RequestError, SchemaError
from mlops_ray.model import InputColumn, Signature, encode
from mlops_ray.serve.picture_rows import picture_rows
from mlops_ray.serve.request import Rows
from mlops_ray.serve.tensor_values import as_unit, check_values
from mlops_ray.serve.unseen_counts import MOST
from mlops_ray.spec import Task

__all__ = ["ARROW_STREAM", "arrow_rows", "arrow_stream"]

ARROW_STREAM = b"application/vnd.apache.arrow.stream"
_BYTES_A_VALUE = 8  # of the matrix
_RECORD_BATCH, _DICTIONARY_BATCH = 3, 2  # values of MessageHeader in the format's Message.fbs
_EXPECTED = {
    "float": "floats, integers or decimals",
    "int": "integers, or floats that are whole",
    "bool": "bools",
    "category": "strings, or a dictionary of strings",
    "image": "encoded pictures (binary)",
}


def arrow_rows(content: bytes, signature: Signature, *, unit: str | None, max_matrix_bytes: int) -> Rows:
    """The rows of a stream, encoded as the signature says; `unit` is what a header said of whom they are for.

    A nullable column may be left out, and the column of the unit may be there; nothing else may differ.

    Raises:
        RequestError: 400 for what is no stream, 415 for a compressed one, 413 for more rows than the matrix may have,
            422 with the column that is missing, unknown, of another type, or has a value it may not have.
    """
    table = _table(content, signature, max_matrix_bytes)
    if not table.num_rows:
        raise RequestError("expected at least one row, found none")
    matrix = _matrix(signature, table) if signature.image is None else _pictures(signature.image, table)
    if unit is None and signature.unit is not None and signature.unit in table.column_names:
        unit = as_unit(table[signature.unit][0].as_py(), _path(signature.unit))
    return Rows(matrix, None, unit, unseen=tuple(_unseen(signature, table, matrix)))


def arrow_stream(columns: Mapping[str, NDArray[Any]], metadata: Mapping[str, str]) -> bytes:
    """One record batch with these columns, whose schema carries the metadata; (n, k) is a list of k in each row."""
    batch = pa.RecordBatch.from_pydict({name: _column(values) for name, values in columns.items()})
    schema = batch.schema.with_metadata(dict(metadata))
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, schema) as writer:
        writer.write_batch(batch.replace_schema_metadata(dict(metadata)))
    stream: bytes = sink.getvalue().to_pybytes()
    return stream


def _column(values: NDArray[Any]) -> pa.Array:
    if values.ndim == 1:
        return pa.array(values)
    return pa.FixedSizeListArray.from_arrays(pa.array(values.reshape(-1)), values.shape[1])


def _table(content: bytes, signature: Signature, max_matrix_bytes: int) -> pa.Table:
    """The stream as a table whose columns are those of the signature, checked so that reading its values is safe."""
    _refuse_compressed(content)
    try:
        with pa.ipc.open_stream(content) as reader:
            _check_schema(signature, reader.schema)
            batches, rows = [], 0
            for batch in reader:
                rows += batch.num_rows
                _check_size(rows, signature, max_matrix_bytes)
                # Offsets and dictionary indices of a stranger may point anywhere.
                batch.validate(full=True)
                batches.append(batch)
            return pa.Table.from_batches(batches, reader.schema)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise _no_stream(error) from None


def _refuse_compressed(content: bytes) -> None:
    """What a compressed buffer grows to is known only afterwards, and may be a thousand times the body's limit."""
    try:
        for message in pa.ipc.MessageReader.open_stream(content):
            if _is_compressed(memoryview(message.metadata)):
                raise RequestError("expected a stream whose buffers are not compressed", status=415)
    except (pa.ArrowException, OSError, ValueError, struct.error) as error:
        raise _no_stream(error) from None


def _is_compressed(message: memoryview) -> bool:
    """Whether the flatbuffer `Message` holds a record batch whose field `compression` is set."""
    (root,) = struct.unpack_from("<I", message, 0)
    kind = _field(message, root, 1)
    header = _field(message, root, 2)
    if not kind or not header or message[kind] not in (_RECORD_BATCH, _DICTIONARY_BATCH):
        return False
    batch = _target(message, header)
    if message[kind] == _DICTIONARY_BATCH:
        data = _field(message, batch, 1)
        if not data:
            return False
        batch = _target(message, data)
    return _field(message, batch, 3) != 0


def _field(message: memoryview, table: int, number: int) -> int:
    """Where a field of a flatbuffer's table is; 0 when it is not set."""
    (back,) = struct.unpack_from("<i", message, table)
    vtable = table - back
    (size,) = struct.unpack_from("<H", message, vtable)
    slot = 4 + 2 * number
    if slot >= size:
        return 0
    (offset,) = struct.unpack_from("<H", message, vtable + slot)
    return table + offset if offset else 0


def _target(message: memoryview, field: int) -> int:
    """The table that a field of a flatbuffer points to."""
    (offset,) = struct.unpack_from("<I", message, field)
    return field + int(offset)


def _check_schema(signature: Signature, schema: pa.Schema) -> None:
    known = {column.name: column for column in signature.inputs}
    for place, name in enumerate(schema.names):
        if name in schema.names[:place]:
            raise RequestError(f"column {name!r} is there twice", _path(name))
        if name not in known and name != signature.unit:
            raise RequestError(f"unknown column {name!r}; expected {', '.join(known)}", _path(name))
    for column in signature.inputs:
        if column.name in schema.names:
            _check_type(column, schema.field(column.name).type)
        elif not column.nullable:
            raise RequestError(f"missing column {column.name!r}; expected {', '.join(known)}", _path(column.name))
    if signature.unit is not None and signature.unit in schema.names:
        _check_unit(signature.unit, _value_type(schema.field(signature.unit).type))


def _check_unit(unit: str, kind: pa.DataType) -> None:
    if not (_is_text(kind) or pt.is_integer(kind) or pt.is_null(kind)):
        raise RequestError(f"expected a unit that is text or a whole number, found {kind}", _path(unit))


def _check_type(column: InputColumn, found: pa.DataType) -> None:
    if not pt.is_null(found) and not _ACCEPTED[column.type](_value_type(found)):
        raise RequestError(
            f"column {column.name!r}: expected {_EXPECTED[column.type]}, found {found}", _path(column.name)
        )


def _check_size(rows: int, signature: Signature, max_matrix_bytes: int) -> None:
    most = max_matrix_bytes // (_BYTES_A_VALUE * signature.width)
    if rows > most:
        raise RequestError(
            f"expected at most {most} rows of {signature.width} columns, as serve.max_body_bytes allows; "
            "send fewer in one stream",
            status=413,
        )


def _matrix(signature: Signature, table: pa.Table) -> NDArray[np.float64]:
    matrix = np.full((table.num_rows, len(signature.inputs)), np.nan)
    for place, column in enumerate(signature.inputs):
        if column.name in table.column_names:
            matrix[:, place] = _encoded(column, signature.task, table)
    return matrix


def _unseen(signature: Signature, table: pa.Table, matrix: NDArray[np.float64]) -> Iterator[tuple[str, dict[str, int]]]:
    """Categories that the signature does not know, by feature; of very many the most frequent ones."""
    for place, column in enumerate(signature.inputs):
        other = matrix[:, place] == len(column.categories)
        if column.type == "category" and other.any():
            values = pc.cast(table[column.name], pa.large_string()).filter(pa.array(other))
            cut = pc.utf8_slice_codeunits(values, 0, UnseenValues.longest)
            counts = pa.Table.from_struct_array(pc.value_counts(cut))
            most = counts.take(pc.select_k_unstable(counts, MOST, sort_keys=[("counts", "descending")]))
            yield column.name, {item["values"]: item["counts"] for item in most.to_pylist()}


def _pictures(column: InputColumn, table: pa.Table) -> NDArray[np.float64]:
    values = table[column.name]
    if values.null_count:
        raise RequestError(f"null in {column.name!r}, which must have a picture in every row", _path(column.name))
    return picture_rows(column, values.to_pylist(), lambda row: f"{_path(column.name)}[{row}]")


def _encoded(column: InputColumn, task: Task, table: pa.Table) -> NDArray[np.float64]:
    path = _path(column.name)
    try:
        values = encode(Signature((column,), task), table)[:, 0]
    except (SchemaError, pa.ArrowException) as error:
        raise RequestError(str(error), path) from None
    check_values(column, values, path)
    return values


def _path(column: str) -> str:
    return f"$.columns[{column}]"


def _no_stream(error: Exception) -> RequestError:
    said = str(error).splitlines()[0] if str(error) else type(error).__name__
    return RequestError(f"the body is not a valid Arrow IPC stream ({said})", status=400)


def _value_type(kind: pa.DataType) -> pa.DataType:
    return kind.value_type if pt.is_dictionary(kind) else kind


def _is_number(kind: pa.DataType) -> bool:
    return bool(pt.is_floating(kind) or pt.is_integer(kind) or pt.is_decimal(kind))


def _is_text(kind: pa.DataType) -> bool:
    return bool(pt.is_string(kind) or pt.is_large_string(kind) or pt.is_string_view(kind))


_ACCEPTED: Mapping[str, Callable[[pa.DataType], bool]] = {
    "float": _is_number,
    "int": lambda kind: bool(pt.is_integer(kind) or pt.is_floating(kind)),
    "bool": lambda kind: bool(pt.is_boolean(kind)),
    "category": _is_text,
    "image": lambda kind: bool(pt.is_binary(kind) or pt.is_large_binary(kind)),
}
