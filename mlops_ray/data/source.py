"""Raw files and query results as they were read: which bytes, by which version of an object."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

__all__ = ["Identity", "SourceObject", "fingerprint"]

Identity = tuple[str, str | None, str]  # uri, version id, etag


@dataclass(frozen=True)
class SourceObject:
    """One raw file, pinned, or the rows of one SQL query."""

    uri: str  # file:///…, s3://bucket/key, or the database's URL without its password, # and the query
    version_id: str | None  # of S3, None where the bucket keeps none; of a query with a cursor its range, as JSON
    etag: str  # of S3; for a local file its size and mtime_ns; for a query the digest of its rows
    size_bytes: int
    sha256: str  # of the bytes or rows read, empty as long as nobody read them

    @property
    def identity(self) -> Identity:
        """What tells this file from an earlier or later one at the same place."""
        return self.uri, self.version_id, self.etag

    @property
    def claim(self) -> Identity:
        """What no two versions may take both: the file itself, or the rows of a query above one cursor."""
        if self.version_id is None or not self.version_id.startswith("{"):  # ids of S3 have no brace
            return self.identity
        bounds = json.loads(self.version_id)
        return self.uri, json.dumps([bounds["cursor"], bounds["after"]]), ""

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
