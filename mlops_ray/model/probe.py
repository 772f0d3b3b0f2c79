"""Rows of the training with the trainer's own predictions, so that whoever serves the model can show it is the same."""

import base64
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from mlops_ray.errors import ModelError
from mlops_ray.model.encoding import encode
from mlops_ray.model.signature import InputColumn, Signature
from mlops_ray.model.trained import TORCH_OPTIONS, TrainedModel
from mlops_ray.spec import FeatureType

__all__ = ["PROBE_FILE", "PROBE_ROWS", "Probe", "build_probe"]

PROBE_FILE = "probe.arrow"
PROBE_ROWS = 1000
"""Rows of a probe, at most; fewer where they are large pictures."""

Matrix = NDArray[np.float64]

_TOLERANCE = b"tolerance"
_FLOAT64 = 1e-6
_FLOAT32 = 1e-4
_HALF = 2e-2  # bfloat16 has 8 bits for the digits of a number
# what a JSON request can carry
_LARGEST_INTEGER = 2**53
_LONGEST_TEXT = 4096
_NUMBERS = 2**23  # of a matrix: 64 MiB
_ARROW: dict[FeatureType, pa.DataType] = {
    "float": pa.float64(),
    "int": pa.int64(),
    "bool": pa.bool_(),
    "category": pa.string(),
    "image": pa.binary(),
}


@dataclass(frozen=True)
class Probe:
    """Up to 1,000 rows as a request carries them, and what the model that training judged predicts for them."""

    rows: pa.Table
    """The inputs by name: float64, int64, bool, string and binary; null where a value is missing."""
    matrix: Matrix
    """The same rows (n, d) as `encode` makes them."""
    predictions: Matrix
    """(n,), or (n, classes)"""
    tolerance: float
    """How far another prediction of a row may be off: absolute up to 1, relative beyond."""

    def records(self) -> list[dict[str, Any]]:
        """The rows as JSON records; None where a value is missing, a picture as base64."""
        records: list[dict[str, Any]] = self.rows.to_pylist()
        return [{name: _text_of(value) for name, value in record.items()} for record in records]

    def mismatch(self, answers: Matrix) -> str | None:
        """The largest difference as a sentence, when `answers` to the first rows are not the trainer's."""
        if answers.shape[1:] != self.predictions.shape[1:] or not answers.ndim or len(answers) > len(self.predictions):
            of_classes = f" of {self.predictions.shape[1]} classes" if self.predictions.ndim == 2 else ""
            return f"expected at most {len(self.predictions)} predictions{of_classes}, found shape {answers.shape}"
        expected = self.predictions[: len(answers)]
        allowed = self.tolerance * np.maximum(1.0, np.abs(expected))
        excess = np.nan_to_num(np.abs(answers - expected) / allowed, nan=np.inf)
        if not len(answers) or excess.max() <= 1:
            return None
        worst = np.unravel_index(int(excess.argmax()), excess.shape)
        off = int((excess > 1).reshape(len(answers), -1).any(axis=1).sum())
        return (
            f"row {worst[0]} of the probe is predicted {answers[worst]:.9g}, the trainer's model said "
            f"{expected[worst]:.9g}: {abs(answers[worst] - expected[worst]):.3g} apart, where {allowed[worst]:.3g} is "
            f"allowed; {off} of {len(answers)} rows are off"
        )

    def to_bytes(self) -> bytes:
        """An Arrow IPC file: a struct of the inputs, and the prediction."""
        inputs = pa.StructArray.from_arrays(
            [column.combine_chunks() for column in self.rows.columns], names=self.rows.column_names
        )
        table = pa.table({"inputs": inputs, "prediction": _as_column(self.predictions)})
        table = table.replace_schema_metadata({_TOLERANCE: repr(self.tolerance).encode()})
        sink = pa.BufferOutputStream()
        with pa.ipc.new_file(sink, table.schema, options=pa.ipc.IpcWriteOptions(compression="zstd")) as writer:
            writer.write_table(table)
        content: bytes = sink.getvalue().to_pybytes()
        return content

    @classmethod
    def from_bytes(cls, content: bytes, signature: Signature) -> Self:
        """Inverse of `to_bytes`; the rows are encoded anew, as those of a request are.

        Raises:
            ModelError: it is no such file, or its rows are not for `signature`.
        """
        try:
            table = pa.ipc.open_file(content).read_all()
            inputs = table["inputs"].combine_chunks()
            rows = pa.Table.from_arrays(inputs.flatten(), names=[field.name for field in inputs.type])
            predictions = _as_predictions(table["prediction"])
            return cls(rows, encode(signature, rows), predictions, float(table.schema.metadata[_TOLERANCE]))
        except (pa.ArrowException, KeyError, TypeError, ValueError) as error:
            raise ModelError(f"{PROBE_FILE}: is not a probe ({error!r})") from error


def build_probe(
    signature: Signature, table: pa.Table, *, model: TrainedModel, predict: Callable[[Matrix], Matrix]
) -> Probe | None:
    """A probe of those rows of `table` that a request can carry; None when there is none.

    A request can carry no infinite number, no null where the signature allows none, and no text of over 4,096
    characters. `predict` is that of `model` where it was judged.
    """
    if signature.image is not None:
        return _of_pictures(signature, table, model, predict)
    matrix = encode(signature, table)
    sendable = np.ones(len(matrix), dtype=np.bool_)
    for column, numbers in zip(signature.inputs, matrix.T, strict=True):
        sendable &= _sendable(column, numbers, table)
    chosen = np.flatnonzero(sendable)[:PROBE_ROWS]
    if not len(chosen):
        return None
    matrix = np.ascontiguousarray(matrix[chosen])
    rows = {c.name: _as_sent(c, matrix[:, i], table, chosen) for i, c in enumerate(signature.inputs)}
    predictions = np.asarray(predict(matrix), dtype=np.float64)
    return Probe(pa.table(rows), matrix, predictions, _tolerance(model, predictions))


def _of_pictures(
    signature: Signature, table: pa.Table, model: TrainedModel, predict: Callable[[Matrix], Matrix]
) -> Probe | None:
    rows = table.select(list(signature.names)).slice(0, min(PROBE_ROWS, max(1, _NUMBERS // signature.width)))
    if not rows.num_rows:
        return None
    matrix = encode(signature, rows)
    predictions = np.asarray(predict(matrix), dtype=np.float64)
    return Probe(
        rows.cast(pa.schema([(signature.names[0], pa.binary())])), matrix, predictions, _tolerance(model, predictions)
    )


def _text_of(value: Any) -> Any:
    return base64.b64encode(value).decode() if isinstance(value, bytes) else value


def _as_column(predictions: Matrix) -> pa.Array:
    if predictions.ndim == 1:
        return pa.array(predictions)
    return pa.FixedSizeListArray.from_arrays(pa.array(predictions.reshape(-1)), predictions.shape[1])


def _as_predictions(column: pa.ChunkedArray) -> Matrix:
    values = column.combine_chunks()
    if not pa.types.is_fixed_size_list(values.type):
        return np.asarray(values.to_numpy(zero_copy_only=False), dtype=np.float64)
    numbers = np.asarray(values.flatten().to_numpy(zero_copy_only=False), dtype=np.float64)
    return numbers.reshape(len(values), values.type.list_size)


def _sendable(column: InputColumn, numbers: Matrix, table: pa.Table) -> NDArray[np.bool_]:
    known = ~np.isinf(numbers) if column.nullable else np.isfinite(numbers)
    if column.type == "int":
        known &= ~(np.abs(numbers) > _LARGEST_INTEGER)
    if column.type == "category":
        lengths = pc.fill_null(pc.utf8_length(pc.cast(table[column.name], pa.string())), 0)
        known &= lengths.to_numpy() <= _LONGEST_TEXT
    return np.asarray(known, dtype=np.bool_)


def _as_sent(column: InputColumn, numbers: Matrix, table: pa.Table, chosen: NDArray[np.int64]) -> pa.Array:
    if column.type == "category":
        # not by its code: a value that is not in the vocabulary has none of its own
        return pc.cast(table[column.name].take(pa.array(chosen)).combine_chunks(), pa.string())
    return pa.array(numbers, from_pandas=True).cast(_ARROW[column.type])


def _tolerance(model: TrainedModel, predictions: Matrix) -> float:
    """By the precision the model computes in: a float32 model of any flavor answers nothing but float32 numbers."""
    if TORCH_OPTIONS in model.files:
        return _HALF
    single = np.array_equal(predictions, predictions.astype(np.float32).astype(np.float64))
    return _FLOAT32 if model.flavor == "torch" or single else _FLOAT64
