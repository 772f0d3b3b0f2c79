"""What a replica hands over to the drift actor."""

from dataclasses import dataclass

import pyarrow as pa

__all__ = ["Handover"]


@dataclass(frozen=True)
class Handover:
    """A batch on its way to the drift actor; `name` makes a repeated delivery recognisable."""

    name: str
    time_s: float
    version: int
    records: pa.Table
    profile: bytes
    unseen: bytes = b""
    """Sketches of values that are none of the known categories, `UnseenValues.to_bytes`."""
    dropped: int = 0
    """Rows for which there was no room since the hand-over before."""
    dropped_copies: int = 0
    """Copies of requests that a shadow was not asked for, for the same reason, since then."""
