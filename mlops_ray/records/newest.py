"""Of several outcomes of one row the one that counts."""

import numpy as np
import pyarrow as pa

__all__ = ["newest_labels"]


def newest_labels(labels: pa.Table) -> pa.Table:
    """One outcome for each request and row: the last one received, and of those received together the last in order.

    Ordered by when they were received; other columns are kept.
    """
    ordered = labels.sort_by("received_s")  # stable
    placed = ordered.select(["request_id", "row"]).append_column("place", pa.array(np.arange(ordered.num_rows)))
    newest = placed.group_by(["request_id", "row"]).aggregate([("place", "max")])["place_max"]
    return ordered.take(newest.combine_chunks().sort())
