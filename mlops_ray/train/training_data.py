"""One dataset version as matrices: checked, encoded once, and split so that the holdout stays untouched."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from mlops_ray.errors import SchemaError, ValidationError
from mlops_ray.evaluation import holdout_mask, newest_mask
from mlops_ray.model import PROBE_ROWS, Signature, encode, signature_of
from mlops_ray.spec import ModelSpec, Task

__all__ = ["Part", "TrainingData", "prepare"]

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Part:
    """Rows for one purpose."""

    x: NDArray[np.float64]  # (rows, inputs)
    y: NDArray[np.float64]  # (rows,)


@dataclass(frozen=True)
class TrainingData:
    """What a sweep works on."""

    signature: Signature
    train: Part
    valid: Part
    holdout: Part
    holdout_rows: pa.Table  # the holdout as it was read, for a champion with other features
    probe_rows: pa.Table  # up to 1,000 training rows as they were read, from all over them
    in_time: NDArray[np.float64]  # training and validation rows (rows, inputs), oldest first where time is known
    unlabelled: int  # rows left out because their label is not known yet
    holdout_overlap: float = 0.0  # share of holdout rows whose features are those of a row outside of it


def prepare(spec: ModelSpec, table: pa.Table) -> TrainingData:
    """Matrices of `table`, whose rows without a label are left out.

    Raises:
        SchemaError: a column of the spec is missing or of another type.
        ValidationError: no rows, a feature without a single value, a label that is not as the task needs it, a
            split that leaves a part without rows or with one class, or a holdout that is too much like the rest.
    """
    missing = [column for column in spec.data.columns if column not in table.column_names]
    if missing:
        raise SchemaError(f"{spec.table}: column {missing[0]!r} is missing; found {', '.join(table.column_names)}")
    labels = _labels(spec, table)
    known = np.isfinite(labels)
    rows = table.filter(pa.array(known))
    rows, labels = _newest(spec, rows, labels[known])
    _check(spec, rows, labels)
    signature = signature_of(spec, rows)
    matrix = encode(signature, rows)
    held_out = _mask(spec, rows, spec.train.holdout.fraction, "holdout")
    rest = np.flatnonzero(~held_out)
    validation = _mask(spec, rows.take(pa.array(rest)), spec.train.validation_fraction, "validation")
    parts = {
        "training": Part(matrix[rest[~validation]], labels[rest[~validation]]),
        "validation": Part(matrix[rest[validation]], labels[rest[validation]]),
        "holdout": Part(matrix[held_out], labels[held_out]),
    }
    _check_parts(spec.train.task, parts)
    overlap = _overlap(matrix, held_out)
    _check_overlap(spec, overlap)
    return TrainingData(
        signature=signature,
        train=parts["training"],
        valid=parts["validation"],
        holdout=parts["holdout"],
        holdout_rows=rows.filter(pa.array(held_out)),
        probe_rows=rows.take(pa.array(_spread(rest[~validation], PROBE_ROWS))),
        in_time=matrix[rest[_oldest_first(spec, rows.take(pa.array(rest)))]],
        unlabelled=int((~known).sum()),
        holdout_overlap=overlap,
    )


def _labels(spec: ModelSpec, table: pa.Table) -> NDArray[np.float64]:
    column = table[spec.data.label]
    kind = column.type
    if not (pa.types.is_boolean(kind) or pa.types.is_integer(kind) or pa.types.is_floating(kind)):
        raise SchemaError(f"label {spec.data.label!r}: expected numbers or bool, found {kind}")
    numbers = pc.fill_null(pc.cast(column, pa.float64(), safe=False), float("nan"))
    return np.asarray(numbers.to_numpy(), dtype=np.float64)


def _check(spec: ModelSpec, rows: pa.Table, labels: NDArray[np.float64]) -> None:
    if not rows.num_rows:
        raise ValidationError(f"{spec.table}: expected rows with a label, found none")
    if spec.train.task == "binary":
        found = np.unique(labels)
        if not np.isin(found, (0.0, 1.0)).all():
            shown = ", ".join(f"{value:g}" for value in found[:5])
            raise ValidationError(f"label {spec.data.label!r}: expected 0 and 1 for a binary task, found {shown}")
        if len(found) < 2:
            raise ValidationError(f"label {spec.data.label!r}: expected both classes, found only {found[0]:g}")
    empty = [name for name in spec.data.features if rows[name].null_count == rows.num_rows]
    if empty:
        raise ValidationError(f"feature {empty[0]!r}: expected values, found null in all {rows.num_rows:,} rows")


def _check_parts(task: Task, parts: Mapping[str, Part]) -> None:
    for name, part in parts.items():
        if not len(part.y):
            raise ValidationError(f"the {name} part has no rows; use more rows or another fraction")
        if task == "binary" and len(np.unique(part.y)) < 2:
            raise ValidationError(
                f"the {name} part has {len(part.y):,} rows of one class only; use more rows or another split"
            )


def _overlap(matrix: NDArray[np.float64], held_out: Mask) -> float:
    """Split by row equal rows go together; split by unit or time they may be on both sides."""
    # Iceberg comes with it, which a trial's worker has no use for
    from mlops_ray.data.hashing import combined, hash_numbers

    keys = combined(hash_numbers(pa.array(np.ascontiguousarray(column))) for column in matrix.T)
    return float(np.isin(keys[held_out], keys[~held_out]).mean())


def _check_overlap(spec: ModelSpec, overlap: float) -> None:
    checks = spec.data.checks
    limit = checks.max_holdout_overlap
    if limit is not None and overlap > limit and checks.severity_of("max_holdout_overlap") == "block":
        raise ValidationError(
            f"expected at most {limit:.2%} of the holdout's rows to have features that are in training too "
            f"(checks.max_holdout_overlap), found {overlap:.2%}; split by row, or look for rows that are there twice"
        )


def _mask(spec: ModelSpec, rows: pa.Table, fraction: float, salt: str) -> Mask:
    by = spec.train.holdout.by
    if by == "time":
        times = rows[str(spec.data.timestamp)].combine_chunks()
        return newest_mask(np.asarray(times.to_numpy(zero_copy_only=False)), fraction)
    keys = rows[str(spec.data.unit)].cast(pa.string()).to_pylist() if by == "unit" else _row_keys(spec, rows)
    return holdout_mask(keys, fraction, salt=salt)


def _spread(places: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """At most `count` of `places`, as far from each other as they can be."""
    return places[np.unique(np.linspace(0, len(places) - 1, min(count, len(places))).astype(np.int64))]


def _row_keys(spec: ModelSpec, rows: pa.Table) -> list[str]:
    """The values of a row as one text: equal rows go together, and none moves when others come."""
    texts = [rows[name].cast(pa.string()) for name in spec.data.features]
    joined = pc.binary_join_element_wise(*texts, "\x1f", null_handling="replace", null_replacement="\x00")
    keys: list[str] = joined.to_pylist()
    return keys


def _newest(spec: ModelSpec, rows: pa.Table, labels: NDArray[np.float64]) -> tuple[pa.Table, NDArray[np.float64]]:
    """The newest rows that `train.newest_rows` asks for; the rest belongs to a world that is no more."""
    wanted = spec.train.newest_rows
    if wanted is None or rows.num_rows <= wanted:
        return rows, labels
    newest = np.sort(_oldest_first(spec, rows)[-wanted:])
    return rows.take(pa.array(newest)), labels[newest]


def _oldest_first(spec: ModelSpec, rows: pa.Table) -> NDArray[np.int64]:
    if spec.data.timestamp is None:
        return np.arange(rows.num_rows)
    times = rows[spec.data.timestamp].combine_chunks()
    return np.argsort(np.asarray(times.to_numpy(zero_copy_only=False)), kind="stable")
