"""What a report compares, as two DataFrames with the same columns and types: training, and served rows."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from mlops_ray.drift import Column, ReferenceProfile, rebuilt_rows
from mlops_ray.model import Signature

__all__ = ["PREDICTION", "TARGET", "Frames", "frames_of", "labelled_frame"]

PREDICTION, TARGET = "prediction", "outcome"

_UNSEEN = "<unseen>"
_BOOLEANS = ("false", "true")
_KEYS = ["request_id", "row"]


@dataclass(frozen=True)
class Frames:
    """Both sides of a report."""

    reference: pd.DataFrame
    current: pd.DataFrame
    numeric: tuple[str, ...]
    categorical: tuple[str, ...]
    left_out: Mapping[str, str]
    """Column -> why it is in neither."""


def frames_of(
    signature: Signature, reference: ReferenceProfile, served: pa.Table, *, not_kept: Collection[str], seed: int
) -> Frames:
    """As many rows of the reference, made from its counts (see `rebuilt_rows`), as there are served ones.

    Columns whose values were not kept, or that are empty on one side, are left out.
    """
    columns = [*signature.columns(), signature.prediction_column(PREDICTION)]
    known = rebuilt_rows(reference, max(served.num_rows, 1000), seed=seed)
    features: Any = served["features"].combine_chunks()
    sides: dict[str, tuple[Any, Any]] = {}
    left_out = {name: "its values were not kept (serve.capture)" for name in not_kept}
    for i, column in enumerate(columns):
        if column.name in left_out:
            continue
        values = served["score"] if column.name == PREDICTION else features.field(column.name)
        before, now = _reference_values(column, known[:, i]), _served_values(column, values)
        if pd.isna(before).all() or pd.isna(now).all():
            side = "training" if pd.isna(before).all() else "the window"
            left_out[column.name] = f"it is empty in {side}"
            continue
        sides[column.name] = (before, now)
    kept = [column for column in columns if column.name in sides]
    return Frames(
        pd.DataFrame({name: before for name, (before, _) in sides.items()}),
        pd.DataFrame({name: now for name, (_, now) in sides.items()}),
        tuple(column.name for column in kept if column.kind == "numeric"),
        tuple(column.name for column in kept if column.kind == "categorical"),
        left_out,
    )


def labelled_frame(signature: Signature, served: pa.Table, labels: pa.Table) -> pd.DataFrame:
    """Outcome and prediction of those served rows whose outcome is known; names of classes where there are some."""
    rows = served.select([*_KEYS, "score"]).join(labels.select([*_KEYS, "label"]), keys=_KEYS, join_type="inner")
    outcome, prediction = rows["label"].to_numpy(), rows["score"].to_numpy()
    if signature.classes:
        names = np.array([*signature.classes, _UNSEEN], dtype=object)
        coded = [np.clip(values, 0, len(names) - 1).astype(np.int64) for values in (outcome, prediction)]
        return pd.DataFrame({TARGET: names[coded[0]], PREDICTION: names[coded[1]]})
    if signature.task == "binary":
        return pd.DataFrame({TARGET: outcome.astype(np.int64), PREDICTION: prediction})
    return pd.DataFrame({TARGET: outcome, PREDICTION: prediction})


def _reference_values(column: Column, values: NDArray[np.float64]) -> Any:
    if column.kind == "numeric":
        return values
    names = np.array([*column.categories, _UNSEEN, None], dtype=object)
    return names[np.where(np.isnan(values), len(names) - 1, values).astype(np.int64)]


def _served_values(column: Column, values: pa.Array | pa.ChunkedArray) -> Any:
    if column.kind == "numeric":
        numbers = pc.fill_null(pc.cast(values, pa.float64(), safe=False), float("nan"))
        return np.asarray(
            numbers.to_numpy(zero_copy_only=False) if isinstance(numbers, pa.Array) else numbers.to_numpy()
        )
    if pa.types.is_boolean(values.type):
        return np.array([None if v is None else _BOOLEANS[v] for v in values.to_pylist()], dtype=object)
    if pa.types.is_floating(values.type):  # the place of the likeliest class
        return _reference_values(column, np.asarray(values.to_numpy()))
    return np.array(pc.cast(values, pa.string()).to_pylist(), dtype=object)
