"""Explains rows of a window away from the drift actor: in a Ray task of low priority, whose process ends with it."""

import os
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import ray
from numpy.typing import NDArray

from mlops_ray.errors import ClusterError, ModelError
from mlops_ray.lake import Lake
from mlops_ray.model import encode, load_explainer
from mlops_ray.records import RecordLog, not_kept, sampled

__all__ = ["AttributionOrder", "AttributionTasks", "Contributions", "RayAttribution", "explain_window"]

Contributions = NDArray[np.float64]

_LOWEST_PRIORITY = 19
_CPUS = 0.1  # it takes what nobody else wants


@dataclass(frozen=True)
class AttributionOrder:
    """Which rows of which version to explain."""

    lake: str
    model: str
    version: int
    bundle_uri: str
    digest: str
    since_s: float
    until_s: float
    rows: int


class AttributionTasks(Protocol):
    """Runs `explain_window` somewhere else."""

    def start(self, order: AttributionOrder) -> Any:
        """Begin; what comes back names the task."""
        ...

    def result(self, task: Any) -> Contributions | None:
        """What it found; None as long as it runs.

        Raises:
            MlopsRayError: it failed.
        """
        ...


def explain_window(order: AttributionOrder) -> Contributions:
    """Contributions (n, features) to the answers of at most `order.rows` rows of the window.

    Raises:
        ModelError: the records do not hold all features, or the model cannot be loaded or explained.
    """
    served = sampled(
        RecordLog(Lake(order.lake), order.model),
        version=order.version,
        since_s=order.since_s,
        until_s=order.until_s,
        rows=order.rows,
    )
    missing = not_kept(served.schema)
    if missing:
        raise ModelError(f"the records of {order.model} do not hold {', '.join(sorted(missing))}: nothing to explain")
    bundle, explainer = load_explainer(order.bundle_uri, digest=order.digest)
    if not served.num_rows:
        return np.empty((0, len(bundle.signature.inputs)))
    features: Any = served["features"].combine_chunks()
    return explainer.explain(encode(bundle.signature, pa.Table.from_struct_array(features))).contributions


class RayAttribution:
    """On the cluster that this process is connected to."""

    def start(self, order: AttributionOrder) -> Any:
        """See `AttributionTasks.start`."""
        task = ray.remote(num_cpus=_CPUS, max_calls=1, max_retries=0)(_politely)
        return task.options(name=f"attribution:{order.model}").remote(order)

    def result(self, task: Any) -> Contributions | None:
        """See `AttributionTasks.result`."""
        try:
            done, _ = ray.wait([task], timeout=0)
            found: Contributions | None = ray.get(task) if done else None
        except ray.exceptions.RayTaskError as error:
            raise ModelError(str(error.cause)) from None
        except ray.exceptions.RayError as error:
            raise ClusterError(f"the task ended: {str(error).splitlines()[0]}") from None
        return found


def _politely(order: AttributionOrder) -> Contributions:
    os.nice(_LOWEST_PRIORITY)
    return explain_window(order)
