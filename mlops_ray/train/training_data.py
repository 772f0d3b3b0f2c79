"""One dataset version as matrices: checked, encoded once, and split so that the holdout stays untouched."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from hashlib import blake2b

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from mlops_ray.errors import SchemaError, ValidationError
from mlops_ray.evaluation import holdout_mask, newest_mask
from mlops_ray.model import PROBE_ROWS, Signature, encode, encode_pieces, signature_of
from mlops_ray.spec import ModelSpec

__all__ = ["Part", "TrainingData", "add_golden", "predictions_of", "prepare"]

Mask = NDArray[np.bool_]
Matrix = NDArray[np.float64]

_PROFILED = 20_000  # pictures that a reference is made of, at most


@dataclass(frozen=True)
class Part:
    """Rows for one purpose."""

    x: Matrix  # (rows, inputs); of pictures (rows, 0), because their pixels may be too many to have at once
    y: Matrix  # (rows,); of a multiclass task the places of the classes
    pictures: pa.Table | None = None  # of a model of images: the encoded pictures, one column

    def chunks(self, signature: Signature) -> Iterator[Matrix]:
        """The encoded rows (n, width) in order, in as many pieces as memory needs."""
        return iter((self.x,)) if self.pictures is None else encode_pieces(signature, self.pictures)


@dataclass(frozen=True)
class TrainingData:
    """What a sweep works on."""

    signature: Signature
    train: Part
    valid: Part
    holdout: Part
    holdout_rows: pa.Table  # the holdout as it was read, for a champion with other features
    probe_rows: pa.Table  # up to 1,000 training rows as they were read, from all over them
    in_time: Matrix  # training and validation rows as `Signature.profiled` has them, oldest first where time is known
    unlabelled: int  # rows left out because their label is not known yet
    holdout_overlap: float = 0.0  # share of holdout rows whose features are those of a row outside of it
    golden: Part | None = None  # the golden set, encoded as the rest
    golden_rows: pa.Table | None = None  # and as it was read, for a champion with other features
    in_time_s: Matrix | None = None  # Unix times of `in_time` (rows,), where all are known
    holdout_s: Matrix | None = None  # of the holdout


def predictions_of(predict: Callable[[Matrix], Matrix], part: Part, signature: Signature) -> Matrix:
    """Predictions of all rows of a part, in bounded memory where they are pictures."""
    return np.concatenate([np.asarray(predict(rows), dtype=np.float64) for rows in part.chunks(signature)])


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
    matrix = encode(signature, rows) if signature.image is None else np.empty((rows.num_rows, 0))
    held_out = _mask(spec, rows, spec.train.holdout.fraction, "holdout")
    rest = np.flatnonzero(~held_out)
    validation = _mask(spec, rows.take(pa.array(rest)), spec.train.validation_fraction, "validation")
    places = {
        "training": rest[~validation],
        "validation": rest[validation],
        "holdout": np.flatnonzero(held_out),
    }
    pictures = None if signature.image is None else rows.select([signature.image.name])
    parts = {name: _part(matrix, labels, pictures, chosen) for name, chosen in places.items()}
    _check_parts(spec, parts)
    overlap = _overlap(matrix if pictures is None else pictures, held_out)
    _check_overlap(spec, overlap)
    in_time = _profiled(rest[_oldest_first(spec, rows.take(pa.array(rest)))], pictures)
    times_s = _times_s(spec, rows)
    return TrainingData(
        signature=signature,
        train=parts["training"],
        valid=parts["validation"],
        holdout=parts["holdout"],
        holdout_rows=rows.filter(pa.array(held_out)),
        probe_rows=rows.take(pa.array(_spread(rest[~validation], PROBE_ROWS))),
        in_time=_in_time(signature, matrix, pictures, in_time),
        unlabelled=int((~known).sum()),
        holdout_overlap=overlap,
        in_time_s=times_s[in_time] if times_s is not None else None,
        holdout_s=times_s[places["holdout"]] if times_s is not None else None,
    )


def add_golden(spec: ModelSpec, data: TrainingData, rows: pa.Table) -> TrainingData:
    """The same with the golden set, whose rows (labelled ones, in the types of the table) no trial sees.

    Raises:
        ValidationError: a label that is not as the task needs it.
    """
    labels = _labels(spec, rows)
    if spec.train.task == "binary" and len(np.unique(labels)) < 2:
        raise ValidationError(f"retrain.golden: expected rows of both classes, found only {labels[0]:g}")
    image = data.signature.image
    pictures = None if image is None else rows.select([image.name])
    x = encode(data.signature, rows) if image is None else np.empty((rows.num_rows, 0))
    return replace(data, golden=Part(x, labels, pictures), golden_rows=rows)


def _part(matrix: Matrix, labels: Matrix, pictures: pa.Table | None, places: NDArray[np.int64]) -> Part:
    return Part(matrix[places], labels[places], None if pictures is None else pictures.take(pa.array(places)))


def _in_time(signature: Signature, matrix: Matrix, pictures: pa.Table | None, places: NDArray[np.int64]) -> Matrix:
    if pictures is None:
        return matrix[places]
    chosen = Part(matrix[:0], np.empty(0), pictures.take(pa.array(places)))
    return np.concatenate([signature.profiled(rows) for rows in chosen.chunks(signature)])


def _profiled(places: NDArray[np.int64], pictures: pa.Table | None) -> NDArray[np.int64]:
    return places if pictures is None else _spread(places, _PROFILED)


def _times_s(spec: ModelSpec, rows: pa.Table) -> Matrix | None:
    """Unix times of the rows; None where one is not known."""
    kind = rows.schema.field(spec.data.timestamp).type if spec.data.timestamp is not None else None
    if kind is None or not pa.types.is_timestamp(kind) or rows[spec.data.timestamp].null_count:
        return None
    micros = rows[spec.data.timestamp].cast(pa.timestamp("us", kind.tz), safe=False).cast(pa.int64())
    return np.asarray(micros.to_numpy(), dtype=np.float64) / 1e6


def _labels(spec: ModelSpec, table: pa.Table) -> Matrix:
    column = table[spec.data.label]
    kind = column.type
    if spec.data.classes is not None:
        return _codes(spec, column)
    if not (pa.types.is_boolean(kind) or pa.types.is_integer(kind) or pa.types.is_floating(kind)):
        raise SchemaError(f"label {spec.data.label!r}: expected numbers or bool, found {kind}")
    numbers = pc.fill_null(pc.cast(column, pa.float64(), safe=False), float("nan"))
    return np.asarray(numbers.to_numpy(), dtype=np.float64)


def _codes(spec: ModelSpec, column: pa.ChunkedArray) -> Matrix:
    """Places of the classes, NaN where there is no label."""
    if not (pa.types.is_string(column.type) or pa.types.is_large_string(column.type)):
        raise SchemaError(f"label {spec.data.label!r}: expected text, the name of a class, found {column.type}")
    codes = pc.index_in(column.cast(pa.string()), pa.array(spec.data.classes, pa.string()))
    strange = column.filter(pc.and_(column.is_valid(), codes.is_null()))
    if len(strange):
        raise ValidationError(f"label {spec.data.label!r}: expected one of data.classes, found {strange[0].as_py()!r}")
    return np.asarray(pc.fill_null(pc.cast(codes, pa.float64()), float("nan")).to_numpy(), dtype=np.float64)


def _check(spec: ModelSpec, rows: pa.Table, labels: Matrix) -> None:
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


def _check_parts(spec: ModelSpec, parts: Mapping[str, Part]) -> None:
    task = spec.train.task
    for name, part in parts.items():
        if not len(part.y):
            raise ValidationError(f"the {name} part has no rows; use more rows or another fraction")
        if task == "binary" and len(np.unique(part.y)) < 2:
            raise ValidationError(
                f"the {name} part has {len(part.y):,} rows of one class only; use more rows or another split"
            )
    unknown = set(range(len(spec.data.classes or ()))) - set(parts["training"].y.tolist())
    if unknown and spec.data.classes is not None:
        raise ValidationError(f"class {spec.data.classes[min(unknown)]!r} is in no training row; use more rows")


def _overlap(rows: Matrix | pa.Table, held_out: Mask) -> float:
    """Split by row equal rows go together; split by unit or time they may be on both sides."""
    # Iceberg comes with it, which a trial's worker has no use for
    from mlops_ray.data.hashing import combined, hash_numbers

    if isinstance(rows, pa.Table):
        keys = np.array(_digests(rows[rows.column_names[0]]))
    else:
        keys = combined(hash_numbers(pa.array(np.ascontiguousarray(column))) for column in rows.T)
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
    if spec.data.image is not None:
        return _digests(rows[spec.data.image])
    texts = [rows[name].cast(pa.string()) for name in spec.data.features]
    joined = pc.binary_join_element_wise(*texts, "\x1f", null_handling="replace", null_replacement="\x00")
    keys: list[str] = joined.to_pylist()
    return keys


def _digests(pictures: pa.ChunkedArray) -> list[str]:
    """The same for files with the same bytes."""
    return [blake2b(content, digest_size=16).hexdigest() for content in pictures.to_pylist()]


def _newest(spec: ModelSpec, rows: pa.Table, labels: Matrix) -> tuple[pa.Table, Matrix]:
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
