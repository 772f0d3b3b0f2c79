"""The columns of a served request and of an outcome."""

import pyarrow as pa

__all__ = ["LABELS", "SERVED", "served_schema"]

# One row per row of a request. Times are seconds since 1970.
SERVED: pa.Schema = pa.schema(
    [
        ("request_id", pa.string()),
        ("row", pa.int32()),  # position in the request
        ("unit", pa.string()),
        ("time_s", pa.float64()),
        ("version", pa.int64()),  # that answered
        ("role", pa.string()),  # that answered: champion, canary or direct
        ("assigned", pa.string()),  # that should have answered
        ("canary", pa.int64()),  # version under delivery at that moment, 0 without one
        ("epoch", pa.int64()),
        ("status", pa.int16()),
        ("error", pa.string()),  # of whoever should have answered
        ("latency_ms", pa.float64()),
        ("score", pa.float64()),
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


def served_schema(features: pa.StructType) -> pa.Schema:
    """Served requests with their features as one struct column."""
    return SERVED.append(pa.field("features", features))
