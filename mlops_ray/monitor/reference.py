"""What a champion is watched against: its signature, reference profile and holdout metrics."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from mlops_ray.drift import ReferenceProfile
from mlops_ray.evaluation import HoldoutFacts
from mlops_ray.lake import Lake
from mlops_ray.model import Probe, Signature, encode
from mlops_ray.model.probe import PROBE_FILE
from mlops_ray.monitor.yardstick import PREDICTION
from mlops_ray.store import ModelVersionRecord

__all__ = ["Watched", "load_watched"]


@dataclass(frozen=True)
class Watched:
    """One version as the monitor sees it."""

    version: int
    signature: Signature
    reference: ReferenceProfile
    metrics: Mapping[str, float]
    sample: NDArray[np.float64] | None = None
    """Up to 1,000 training rows (n, d); None of pictures, and where the bundle has none."""
    holdout: HoldoutFacts | None = None
    """None of a version from before these were kept."""
    created_s: float | None = None

    def matrix_of(self, served: pa.Table) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Features and prediction (n, d + 1) of the rows this version answered as champion, and their times (n,).

        The same rows as a replica's profile holds.
        """
        width = len(self.signature.columns()) + 1
        if not served.num_rows:
            return np.empty((0, width)), np.empty(0)
        own = self.own(served)
        if not own.num_rows:
            return np.empty((0, width)), np.empty(0)
        features: Any = own["features"].combine_chunks()
        table = pa.Table.from_struct_array(features)
        matrix = np.column_stack((self.numbers(table), own["score"].to_numpy()))
        return matrix, own["time_s"].to_numpy()

    def own(self, served: pa.Table) -> pa.Table:
        """The rows this version answered as champion."""
        return served.filter(
            (pc.field("version") == self.version)
            & (pc.field("role") == "champion")
            & (pc.field("assigned") == "champion")
            & (pc.field("status") == 200)
        )

    def columns_of(self, features: Sequence[str] | None) -> list[str]:
        """What the reference calls these features, None for all: of a picture, all that is watched of it."""
        if features is None:
            return [feature.name for feature in self.reference.features if feature.name != PREDICTION]
        image = self.signature.image
        if image is None or image.name not in features:
            return list(features)
        return [column.name for column in self.signature.columns()]

    def numbers(self, features: pa.Table) -> NDArray[np.float64]:
        """The features (n, columns) as a profile counts them; of a picture the records hold just that."""
        if self.signature.image is None:
            return encode(self.signature, features)
        return np.column_stack([features[column.name].to_numpy() for column in self.signature.columns()])


def load_watched(record: ModelVersionRecord) -> Watched:
    """Read only what watching needs from the bundle of a version."""
    bundle = Lake(record.bundle_uri)
    signature = Signature.from_json(json.loads(bundle.read_bytes("signature.json")))
    reference = ReferenceProfile.from_json(bundle.read_bytes("reference.json").decode())
    facts = (record.training or {}).get("holdout")
    return Watched(
        record.version,
        signature,
        reference,
        record.metrics,
        _sample(bundle, signature),
        None if facts is None else HoldoutFacts.from_json(facts),
        record.created_s,
    )


def _sample(bundle: Lake, signature: Signature) -> NDArray[np.float64] | None:
    if signature.image is not None or not bundle.exists(PROBE_FILE):
        return None
    return Probe.from_bytes(bundle.read_bytes(PROBE_FILE), signature).matrix
