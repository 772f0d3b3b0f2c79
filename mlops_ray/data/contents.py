"""What one ingest put into a table: the raw files it read and the data files it wrote, each with its sha256."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

from mlops_ray.data.source import SourceObject

__all__ = ["Contents", "FileDigest"]


@dataclass(frozen=True)
class FileDigest:
    """One data file of a table, as it was handed to the store."""

    location: str  # as in the table's manifests
    size_bytes: int
    sha256: str

    def to_json(self) -> dict[str, Any]:
        """A JSON object."""
        return asdict(self)

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        """The inverse of `to_json`."""
        return cls(**content)


@dataclass(frozen=True)
class Contents:
    """The JSON file that the summary of a snapshot points to, with the digests of both lists."""

    sources: tuple[SourceObject, ...]
    files: tuple[FileDigest, ...] = ()  # none in the lists of ingests that did not keep digests yet

    @property
    def files_digest(self) -> str:
        """The sha256 over the data files, whatever their order."""
        rows = sorted([file.location, file.size_bytes, file.sha256] for file in self.files)
        return hashlib.sha256(json.dumps(rows, separators=(",", ":")).encode()).hexdigest()

    def to_bytes(self) -> bytes:
        """JSON, for a person to read too."""
        content = {"sources": [s.to_json() for s in self.sources], "files": [f.to_json() for f in self.files]}
        return json.dumps(content, indent=1).encode()

    @classmethod
    def from_bytes(cls, content: bytes) -> Self:
        """The inverse of `to_bytes`; takes a plain list of sources too, which was the form before."""
        found = json.loads(content)
        if isinstance(found, list):
            found = {"sources": found, "files": []}
        return cls(
            sources=tuple(SourceObject.from_json(item) for item in found["sources"]),
            files=tuple(FileDigest.from_json(item) for item in found["files"]),
        )
