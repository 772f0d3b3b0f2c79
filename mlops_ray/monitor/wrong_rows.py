"""Rows that a version answered wrong, for people to look at. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from mlops_ray.evaluation import Slice, errors_of
from mlops_ray.monitor.answered_rows import FEATURE
from mlops_ray.monitor.reference import Watched
from mlops_ray.monitor.sample_rows import Floats, hidden_by, told
from mlops_ray.spec import ModelSpec

__all__ = ["features_of", "wrong_rows"]

_NEWEST = 500
"""Of a regression the largest errors of so many rows are shown."""
_UNSEEN = "<unseen>"  # as in the records
_FACTS = ["request_id", "row", "time_s", "score", "label"]


def wrong_rows(
    spec: ModelSpec, watched: Watched, rows: pa.Table, slices: Sequence[Slice]
) -> tuple[Mapping[str, Any], ...]:
    """As many as alerts show of the labelled `rows` of `AnsweredRows.rows`: of the newest wrong answers, newest first,
    or of a regression of the largest errors among the newest answers, largest first."""
    most = spec.alerting.samples
    if not most or not rows.num_rows:
        return ()
    labels, scores = rows["label"].to_numpy(), rows["score"].to_numpy()
    if spec.train.task == "regression":
        first = max(0, len(labels) - _NEWEST)
        places = first + np.argsort(-np.abs(labels - scores)[first:], kind="stable")[:most]
    else:
        places = np.flatnonzero(errors_of(spec.train.task, labels, scores, limit=None))[::-1][:most]
    shown = _seen(watched, rows.take(pa.array(places)), hidden_by(spec))
    features = [name for found in slices for name in features_of(found, watched)]
    return tuple(told(shown, list(dict.fromkeys(features)), watched.signature.classes))


def features_of(found: Slice, watched: Watched) -> list[str]:
    """The features that a slice's conditions are about, in their order.

    Conditions are written for people: `plan = pro`, `a < 3`, `1 <= a < 3`.
    """
    names = sorted((column.name for column in watched.signature.columns()), key=len, reverse=True)
    found_in = []
    for condition in found.conditions:
        parts = (condition, condition.split(" <= ", 1)[-1])
        found_in += [name for part in parts for name in names if part.startswith(f"{name} ")][:1]
    return list(dict.fromkeys(found_in))


def _seen(watched: Watched, rows: pa.Table, hidden: frozenset[str]) -> pa.Table:
    """With the features that people may see; none where the record of a row has none."""
    seen, image = rows.select(_FACTS), watched.signature.image
    columns = [c for c in watched.signature.columns() if f"{FEATURE}{c.name}" in rows.column_names]
    values = {column.name: rows[f"{FEATURE}{column.name}"].to_numpy() for column in columns}
    if not columns or np.isnan(np.column_stack(list(values.values()))).all(axis=1).any():
        return seen
    for column in columns:
        if (column.name if image is None else image.name) not in hidden:
            plain = _as_sent(values[column.name], column.categories)
            seen = seen.append_column(f"{FEATURE}{column.name}", plain)
    return seen


def _as_sent(values: Floats, categories: Sequence[str]) -> pa.Array:
    """Encoded values (n,) as people know them."""
    missing = np.isnan(values)
    if not categories:
        return pa.array(values, mask=missing)
    codes = np.clip(np.where(missing, 0, values), 0, len(categories)).astype(np.int64)
    return pa.array(np.array([*categories, _UNSEEN])[codes], mask=missing)
