"""What of a request is kept in the records: each feature and the unit as it is, hashed, or not at all."""

import json
from collections.abc import Sequence
from hashlib import blake2b
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mlops_ray.model import InputColumn, Signature
from mlops_ray.spec import Capture, CapturePolicy

__all__ = ["Captured"]

UNSEEN = "<unseen>"
_UNIT = "unit"


class Captured:
    """The capture section of one model's spec, carried out.

    A hash is blake2b of the value as JSON text (`1.5`, `true`, `"paid"`), 16 hexadecimal digits, with a key made from
    the model's name: the same value has the same hash in every workspace, and another one for another model. It hides
    a value from a reader of the records, not from somebody who tries all possible ones.
    """

    def __init__(self, capture: Capture, model: str) -> None:
        self.enabled = capture.enabled
        self._policies = capture.fields
        self._key = blake2b(f"mlops_ray.capture\0{model}".encode(), digest_size=32).digest()

    def not_kept(self, signature: Signature) -> frozenset[str]:
        """Features whose values are not in the records."""
        return frozenset(name for name in signature.names if self._policy(name) != "keep")

    def features(self, signature: Signature, matrix: NDArray[np.float64]) -> pa.StructArray:
        """The features (n, d) as one struct column; a hash is a string, and what is dropped is null."""
        columns = [self._feature(column, matrix[:, i]) for i, column in enumerate(signature.inputs)]
        return pa.StructArray.from_arrays(columns, names=list(signature.names))

    def pictures(self, signature: Signature, statistics: NDArray[np.float64], digests: Sequence[str]) -> pa.StructArray:
        """What is known of pictures (n,) as one struct column: statistics (n, columns), and a digest.

        Of a picture that is hashed only the digest is kept, and that as every hash is.
        """
        (name,) = signature.names
        policy = self._policy(name)
        numbers = [pa.array(values, from_pandas=True) for values in statistics.T]
        kept = pa.array(digests, pa.string())
        if policy != "keep":
            numbers = [pa.nulls(len(digests), pa.float64()) for _ in numbers]
            kept = self._hashed(kept) if policy == "hash" else pa.nulls(len(digests), pa.string())
        names = [*(column.name for column in signature.columns()), f"{name}.digest"]
        return pa.StructArray.from_arrays([*numbers, kept], names=names)

    def units(self, units: Sequence[str], request_ids: Sequence[str]) -> list[str]:
        """Whom the answers were for; where that is not to be known, each request stands for itself."""
        policy = self._policy(_UNIT)
        if policy == "drop":
            return list(request_ids)
        return list(units) if policy == "keep" else [self._hash(unit) for unit in units]

    def _policy(self, name: str) -> CapturePolicy:
        return self._policies.get(name, "keep")

    def _feature(self, column: InputColumn, values: NDArray[np.float64]) -> pa.Array:
        policy = self._policy(column.name)
        kept = _typed(column, values)
        if policy == "drop":
            return pa.nulls(len(values), kept.type)
        return kept if policy == "keep" else self._hashed(kept)

    def _hashed(self, values: pa.Array) -> pa.Array:
        coded = values.dictionary_encode()
        hashes = pa.array([self._hash(value) for value in coded.dictionary.to_pylist()], pa.string())
        return hashes.take(coded.indices)

    def _hash(self, value: Any) -> str:
        text = json.dumps(value, ensure_ascii=False)
        return blake2b(text.encode("utf-8", "surrogatepass"), key=self._key, digest_size=8).hexdigest()


def _typed(column: InputColumn, values: NDArray[np.float64]) -> pa.Array:
    """A matrix column in the type of the feature; a category that the signature does not know becomes <unseen>."""
    if column.type == "category":
        vocabulary = pa.array([*column.categories, UNSEEN])
        codes = pa.array(np.nan_to_num(values).astype(np.int32), mask=np.isnan(values))
        return vocabulary.take(codes)
    kind = {"float": pa.float64(), "int": pa.int64(), "bool": pa.bool_()}[column.type]
    return pa.array(values, from_pandas=True).cast(kind, safe=False)
