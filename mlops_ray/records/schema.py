"""The columns of a served request and of an outcome."""

import json
from collections.abc import Collection

import pyarrow as pa

__all__ = ["LABELS", "SERVED", "not_kept", "not_kept_note", "served_schema"]

_NOT_KEPT = b"mlops_ray.not_kept"

# One row per row of a request. Times are seconds since 1970.
SERVED: pa.Schema = pa.schema(
    [
        ("request_id", pa.string()),
        ("row", pa.int32()),  # position in the request
        ("unit", pa.string()),
        ("time_s", pa.float64()),
        ("version", pa.int64()),  # that answered
        ("role", pa.string()),  # that answered: champion, canary, direct, or shadow (a copy nobody waits for)
        ("assigned", pa.string()),  # that should have answered: champion, canary, direct or shadow
        ("canary", pa.int64()),  # version under delivery at that moment, 0 without one
        ("epoch", pa.int64()),
        ("share", pa.float64()),  # of the units that should have met the canary at that moment
        ("status", pa.int16()),
        ("error", pa.string()),  # of whoever should have answered
        ("latency_ms", pa.float64()),  # from the first byte to the answer
        ("queue_ms", pa.float64()),  # of it, waiting for other rows or a free predictor
        ("predict_ms", pa.float64()),  # of it, inside the model that answered
        ("score", pa.float64()),
        ("paired_score", pa.float64()),  # the champion's, where the canary or a shadow answered and both were asked
        # of a multiclass model, whose `score` is the place of the likeliest class: the probability of that class
        ("confidence", pa.float64()),
        ("scores", pa.list_(pa.float32())),  # and of each class
    ]
)

# One row per outcome.
LABELS: pa.Schema = pa.schema(
    [
        ("request_id", pa.string()),
        ("row", pa.int32()),
        ("label", pa.float64()),
        ("received_s", pa.float64()),
    ]
)


def served_schema(features: pa.StructType, not_kept: Collection[str] = ()) -> pa.Schema:
    """Served requests with their features as one struct column; `not_kept` were hashed (a string) or dropped (null)."""
    return SERVED.append(pa.field("features", features)).with_metadata(not_kept_note(not_kept))


def not_kept_note(features: Collection[str]) -> dict[bytes, bytes] | None:
    """The schema metadata that names these features, if there are any."""
    return {_NOT_KEPT: json.dumps(sorted(features)).encode()} if features else None


def not_kept(schema: pa.Schema) -> frozenset[str]:
    """Features whose values are missing in some records of this schema: no statistics can be made from them."""
    return frozenset(json.loads((schema.metadata or {}).get(_NOT_KEPT, b"[]")))
