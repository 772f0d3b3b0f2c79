"""Whether the data files of a version are still what the ingest wrote, byte by byte."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from pyiceberg.io import FileIO

from mlops_ray.data.contents import FileDigest
from mlops_ray.data.data_files import VersionFiles, chunks
from mlops_ray.data.ray_data import run_tasks
from mlops_ray.data.table import DatasetTable
from mlops_ray.data.version import DatasetVersion
from mlops_ray.errors import SourceError

__all__ = ["Verification", "verify_version"]

_MOST_TASKS = 256
_CHUNK_BYTES = 4 * 2**20


@dataclass(frozen=True)
class Verification:
    """What re-reading a version found; locations of files."""

    ref: str
    files: int
    size_bytes: int  # of the files that were read
    altered: tuple[str, ...]
    lost: tuple[str, ...]
    unknown: tuple[str, ...]  # written before digests were kept: whole or not, nobody can say

    @property
    def intact(self) -> bool:
        """Whether every file whose digest is known is as it was written."""
        return not (self.altered or self.lost)


def verify_version(dataset: DatasetTable, version: DatasetVersion) -> Verification:
    """Read every data file of a version again and compare its sha256; needs an initialised Ray.

    Raises:
        UnknownVersionError: the version is not in the catalog (any more).
        SourceError: a list of files is not the one that was committed, or a file cannot be read though it is there.
    """
    known = {file.location: file for file in dataset.files(version)}
    found = VersionFiles.of(dataset, version)
    locations = [file.file_path for file in found.files]
    parts = chunks([known[location] for location in locations if location in known], _MOST_TASKS)
    checked = [file for part in run_tasks(_Check(found.io).run, parts) for file in part] if parts else []
    return Verification(
        ref=version.ref,
        files=len(locations),
        size_bytes=sum(file.size_bytes for file in checked if file.sha256),
        altered=tuple(f.location for f in checked if f.sha256 and f.sha256 != known[f.location].sha256),
        lost=tuple(f.location for f in checked if not f.sha256),
        unknown=tuple(location for location in locations if location not in known),
    )


@dataclass(frozen=True)
class _Check:
    """In a worker; the digests found take the place of those expected, empty for a file that is not there."""

    io: FileIO

    def run(self, files: Sequence[FileDigest]) -> tuple[FileDigest, ...]:
        return tuple(self._found(file.location) for file in files)

    def _found(self, location: str) -> FileDigest:
        sha256, size = hashlib.sha256(), 0
        try:
            with self.io.new_input(location).open() as stream:
                while chunk := stream.read(_CHUNK_BYTES):
                    sha256.update(chunk)
                    size += len(chunk)
        except FileNotFoundError:
            return FileDigest(location, 0, "")
        except OSError as error:
            raise SourceError(f"{location}: cannot be read: {error}") from None
        return FileDigest(location, size, sha256.hexdigest())
