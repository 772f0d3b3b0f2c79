"""Raw files as they were read: which bytes, by which version of an object."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

__all__ = ["Identity", "SourceObject", "fingerprint"]

Identity = tuple[str, str | None, str]  # uri, version id, etag


@dataclass(frozen=True)
class SourceObject:
    """One raw Parquet file, pinned."""

    uri: str  # file:///… or s3://bucket/key
    version_id: str | None  # of S3, None where the bucket keeps none
    etag: str  # of S3; for a local file its size and mtime_ns
    size_bytes: int
    sha256: str  # of the bytes read, empty as long as nobody read them

    @property
    def identity(self) -> Identity:
        """What tells this file from an earlier or later one at the same place."""
        return self.uri, self.version_id, self.etag

    def to_json(self) -> dict[str, Any]:
        """A JSON object."""
        return asdict(self)

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        """The inverse of `to_json`."""
        return cls(**content)


def fingerprint(sources: Iterable[SourceObject]) -> str:
    """The sha256 over a set of files, whatever their order."""
    rows = sorted([s.uri, s.version_id or "", s.etag, s.size_bytes, s.sha256] for s in sources)
    return hashlib.sha256(json.dumps(rows, separators=(",", ":")).encode()).hexdigest()
