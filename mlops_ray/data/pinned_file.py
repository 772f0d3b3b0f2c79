"""Reading exactly the bytes that were listed: by version id, or refused when they have changed meanwhile."""

import hashlib
import io
import platform
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from botocore.exceptions import BotoCoreError, ClientError

from mlops_ray.data.listing import is_s3, local_etag, local_path, s3_client, s3_location
from mlops_ray.data.source import SourceObject
from mlops_ray.errors import SourceError
from mlops_ray.lake import S3Connection

__all__ = ["open_pinned"]

_IN_MEMORY_BYTES = 64 * 2**20
_CHUNK_BYTES = 4 * 2**20


@contextmanager
def open_pinned(source: SourceObject, connection: S3Connection, *, digest: bool) -> Iterator[tuple[IO[bytes], str]]:
    """The file, seekable, and the sha256 of its bytes (empty unless `digest`).

    Without `digest` only the ranges asked for are fetched from S3.

    Raises:
        SourceError: it is gone, cannot be read, or is no longer what was listed.
    """
    opened = _open_s3 if is_s3(source.uri) else _open_local
    try:
        with opened(source, connection, digest) as (file, sha256):
            yield file, sha256
    except (ClientError, BotoCoreError) as error:
        raise SourceError(
            f"{source.uri} (version {source.version_id or source.etag}): cannot be read: {error}"
        ) from None


@contextmanager
def _open_local(source: SourceObject, _: S3Connection, digest: bool) -> Iterator[tuple[IO[bytes], str]]:
    path = local_path(source.uri)
    _check_unchanged(source, path)
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest() if digest else ""
        file.seek(0)
        try:
            yield file, sha256
        finally:  # after an error too: a file that changes meanwhile looks damaged, and this is the better message
            _check_unchanged(source, path)


def _check_unchanged(source: SourceObject, path: Path) -> None:
    try:
        found = local_etag(path)
    except OSError as error:
        raise SourceError(
            f"{source.uri}: was listed, but cannot be read on {platform.node()} ({error.strerror}); "
            "is it a folder that every node has?"
        ) from None
    if found != source.etag:
        raise SourceError(f"{source.uri}: changed since it was listed ({source.etag} then, {found} now); run again")


@contextmanager
def _open_s3(source: SourceObject, connection: S3Connection, digest: bool) -> Iterator[tuple[IO[bytes], str]]:
    remote = _S3File(source, connection)
    if not digest:
        yield io.BufferedReader(remote, _CHUNK_BYTES), ""
        return
    sha256 = hashlib.sha256()
    with tempfile.SpooledTemporaryFile(_IN_MEMORY_BYTES) as copy:
        for chunk in remote.whole().iter_chunks(_CHUNK_BYTES):
            sha256.update(chunk)
            copy.write(chunk)
        copy.seek(0)
        yield copy, sha256.hexdigest()


class _S3File(io.RawIOBase):
    """One version of an object, read by ranges."""

    def __init__(self, source: SourceObject, connection: S3Connection) -> None:
        super().__init__()
        bucket, key = s3_location(source.uri)
        pin = {"VersionId": source.version_id} if source.version_id else {"IfMatch": source.etag}
        self._client, self._object = s3_client(connection), {"Bucket": bucket, "Key": key, **pin}
        self._size, self._position = source.size_bytes, 0

    def whole(self) -> Any:
        """The body of one request for everything."""
        return self._client.get_object(**self._object)["Body"]

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        self._position = max(0, start + offset)
        return self._position

    def readinto(self, buffer: Any) -> int:
        end = min(self._position + len(buffer), self._size)
        if end <= self._position:
            return 0
        answer = self._client.get_object(**self._object, Range=f"bytes={self._position}-{end - 1}")
        data = answer["Body"].read()
        buffer[: len(data)] = data
        self._position += len(data)
        return len(data)
