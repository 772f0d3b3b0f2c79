"""Drift of rows that lie in files: folded where they are read, on Ray Data, and judged like what was served."""

from typing import Any

import numpy as np
import pyarrow as pa
import ray.data

from mlops_ray.data.ray_data import quiet
from mlops_ray.data.sample_profile import sample_matrix
from mlops_ray.drift import Column, DriftReport, Profile, ReferenceProfile, empty, fold, judge, merge
from mlops_ray.errors import SchemaError
from mlops_ray.monitor.yardstick import PREDICTION
from mlops_ray.spec import Thresholds

__all__ = ["offline_drift", "offline_reference", "profile_of"]


def offline_drift(
    reference: ReferenceProfile, dataset: ray.data.Dataset, thresholds: Thresholds, *, min_rows: int = 100
) -> DriftReport:
    """Judge all rows of a Ray dataset against a reference; needs an initialised Ray.

    A block is folded by the task that holds it, and only its profile travels: memory is a block for each core, and a
    profile, whatever the number of rows.

    Args:
        reference: of the model version; its answers are left out where the dataset has none.
        dataset: its columns are looked up by the names of the reference.
        thresholds: when a feature counts as drifted.
        min_rows: fewer are INCONCLUSIVE.

    Raises:
        SchemaError: the dataset lacks a feature of the reference.
    """
    known = offline_reference(reference, dataset)
    return judge(known, profile_of(known, dataset), thresholds, min_rows=min_rows)


def offline_reference(reference: ReferenceProfile, dataset: ray.data.Dataset) -> ReferenceProfile:
    """The reference for a dataset: without the model's answers where it has none.

    Raises:
        SchemaError: the dataset lacks a feature of the reference.
    """
    with quiet():
        names = dataset.schema().names
    missing = [f.name for f in reference.features if f.name not in names and f.name != PREDICTION]
    if missing:
        raise SchemaError(
            f"expected the features of the reference, {missing[0]!r} is missing; found {', '.join(names)}"
        )
    features = tuple(feature for feature in reference.features if feature.name in names)
    return ReferenceProfile(reference.rows, features, reference.season)


def profile_of(reference: ReferenceProfile, dataset: ray.data.Dataset) -> Profile:
    """The profile of all rows of a dataset that has a column for every feature of the reference."""
    work = _Fold(reference)
    total = empty(reference)
    with quiet():
        folded = dataset.map_batches(work, batch_format="pyarrow", batch_size=None, zero_copy_batch=True)
        for row in folded.iter_rows():
            total = merge(total, Profile.from_bytes(row["profile"]))
    return total


class _Fold:
    """In a worker: a block as the bytes of its profile."""

    def __init__(self, reference: ReferenceProfile) -> None:
        self._reference = reference
        self._columns = [Column(f.name, f.kind, f.categories) for f in reference.features]

    def __call__(self, table: pa.Table) -> dict[str, Any]:
        matrix = sample_matrix(self._columns, table, largest=np.inf)
        return {"profile": [fold(self._reference, matrix).to_bytes()]}
