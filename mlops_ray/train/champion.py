"""The model a candidate has to stand up to, asked about the same holdout rows through its own signature."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mlops_ray.data import DatasetVersion
from mlops_ray.errors import GateError, ModelError, SchemaError
from mlops_ray.model import Bundle, encode_pieces, load_bundle
from mlops_ray.spec import ModelSpec
from mlops_ray.store import ModelVersionRecord

__all__ = ["Champion", "load_champion"]


@dataclass(frozen=True)
class Champion:
    """The champion, loaded."""

    version: int
    bundle: Bundle

    def predictions(self, rows: pa.Table) -> NDArray[np.float64]:
        """Predictions (rows,) or (rows, classes) for holdout rows as they were read, which may be pictures.

        Raises:
            GateError: a column the champion takes is missing, of another type, or the champion fails on the rows.
        """
        try:
            return np.concatenate([self.bundle.predict(m) for m in encode_pieces(self.bundle.signature, rows)])
        except (SchemaError, ModelError) as error:
            raise GateError(f"champion (version {self.version}) cannot be compared on the holdout: {error}") from error


def load_champion(
    record: ModelVersionRecord | None, spec: ModelSpec, dataset: DatasetVersion, *, progress: Callable[[str], None]
) -> Champion | None:
    """The champion, when there is one that can be compared with on `dataset`.

    Raises:
        GateError: a gate asks for the comparison and it cannot be made; without such a gate, None and a word about it.
    """
    if record is None:
        return None
    try:
        bundle = load_bundle(record.bundle_uri, digest=record.digest)
        problem = _misfit(bundle, spec, dataset)
    except ModelError as error:
        problem = str(error)
    if problem is None:
        return Champion(record.version, bundle)
    message = f"champion (version {record.version}) cannot be compared on {dataset.ref}: {problem}"
    if any(gate.not_worse_by is not None for gate in spec.gates):
        raise GateError(f"{message}; take not_worse_by out of the gates, or retire the champion")
    progress(message)
    return None


def _misfit(bundle: Bundle, spec: ModelSpec, dataset: DatasetVersion) -> str | None:
    if bundle.signature.task != spec.train.task:
        return f"its task is {bundle.signature.task}, the spec's {spec.train.task}"
    if bundle.signature.classes != (spec.data.classes or ()):
        return "its classes are not those of data.classes"
    missing = [name for name in bundle.signature.names if name not in dataset.schema]
    return f"it takes column {missing[0]!r}, which the dataset does not have" if missing else None
