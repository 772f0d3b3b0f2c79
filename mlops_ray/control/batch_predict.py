"""Scores a whole folder of Parquet on Ray with one model version."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import ray
from numpy.typing import NDArray
from ray.data import ActorPoolStrategy

from mlops_ray.errors import NotFoundError, SchemaError, SourceError
from mlops_ray.model import Signature, encode, load_bundle
from mlops_ray.store import Store

__all__ = ["BatchPrediction", "batch_predict"]

_BATCH_ROWS = 65_536
_BATCH_NUMBERS = 2**21  # of pictures


@dataclass(frozen=True)
class BatchPrediction:
    """What was scored."""

    model: str
    version: int
    rows: int
    output: str


class _Scorer:
    """Loads the version once in each worker, then scores block after block."""

    def __init__(self, bundle_uri: str, digest: str) -> None:
        self._bundle = load_bundle(bundle_uri, digest=digest)

    def __call__(self, rows: pa.Table) -> pa.Table:
        scores = np.asarray(self._bundle.predictor.predict(encode(self._bundle.signature, rows)))
        classes = self._bundle.signature.classes
        if classes:
            return _named(rows, classes, scores)
        scored = rows.append_column("score", pa.array(scores, pa.float64()))
        if self._bundle.signature.task == "binary":
            scored = scored.append_column("label", pa.array((np.asarray(scores) >= 0.5).astype(np.int64)))
        return scored


def _named(rows: pa.Table, classes: Sequence[str], scores: NDArray[np.float64]) -> pa.Table:
    """The rows with the likeliest class as `label`, its probability as `score`, and all of them as `scores`."""
    label = pa.array(classes).take(pa.array(scores.argmax(axis=1)))
    of_each = pa.FixedSizeListArray.from_arrays(pa.array(scores.reshape(-1), pa.float64()), len(classes))
    scored = rows.append_column("score", pa.array(scores.max(axis=1), pa.float64()))
    return scored.append_column("label", label).append_column("scores", of_each)


def batch_predict(
    store: Store, model: str, *, source: str, output: str, version: int | None = None, workers: int = 2
) -> BatchPrediction:
    """Read Parquet at `source`, add `score`, `label` and `scores` as the task has them, write Parquet to `output`.

    Needs an initialised Ray; streams, so memory does not grow with the rows.

    Raises:
        NotFoundError: no such version, or the model has no champion.
        SourceError: nothing to read at `source`.
        SchemaError: a column of the model is missing or of another type.
    """
    chosen = store.model_version(model, version) if version is not None else store.champion(model)
    if chosen is None:
        raise NotFoundError(f"model {model!r} has no champion; deploy a version, or name one with --version")
    try:
        rows: Any = ray.data.read_parquet(source)
    except (FileNotFoundError, OSError, pa.ArrowInvalid) as error:
        raise SourceError(f"{source}: no Parquet to read ({str(error).splitlines()[0]})") from error
    signature = load_bundle(chosen.bundle_uri, digest=chosen.digest).signature
    _check_columns(rows.schema().names, signature, source)
    scored = rows.map_batches(
        _Scorer,
        fn_constructor_args=(chosen.bundle_uri, chosen.digest),
        batch_size=_BATCH_ROWS if signature.image is None else max(1, _BATCH_NUMBERS // signature.width),
        batch_format="pyarrow",
        compute=ActorPoolStrategy(min_size=1, max_size=workers),
    ).materialize()
    scored.write_parquet(output)
    return BatchPrediction(model, chosen.version, scored.count(), output)


def _check_columns(found: Sequence[str], signature: Signature, source: str) -> None:
    missing = [column.name for column in signature.inputs if column.name not in found]
    if missing:
        raise SchemaError(f"{source}: column {missing[0]!r} of the model is missing; found {', '.join(found)}")
