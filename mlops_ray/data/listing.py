"""Which raw files there are: those of a folder, or the current versions below an S3 prefix."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from mlops_ray.data.source import SourceObject
from mlops_ray.errors import SourceError
from mlops_ray.lake import S3Connection
from mlops_ray.spec import FileFormat

__all__ = ["format_of", "is_s3", "list_sources", "local_etag", "local_path", "s3_client", "s3_location"]

_SUFFIXES: dict[FileFormat, tuple[str, ...]] = {
    "parquet": (".parquet",),
    "csv": (".csv", ".csv.gz"),
    "jsonl": (".jsonl", ".jsonl.gz", ".ndjson", ".ndjson.gz"),
}
_NO_VERSIONS = {"NotImplemented", "MethodNotAllowed", "AccessDenied"}


def is_s3(uri: str) -> bool:
    """Whether a source lies in S3; else it is a local file or folder."""
    return uri.startswith("s3://")


def format_of(uri: str) -> FileFormat | None:
    """The format that a file's name says it has, None if none that can be read.

    >>> format_of("s3://bucket/a.CSV.gz"), format_of("file:///a/b.ndjson"), format_of("readme.txt")
    ('csv', 'jsonl', None)
    """
    name = uri.lower()
    return next((kind for kind, suffixes in _SUFFIXES.items() if name.endswith(suffixes)), None)


def list_sources(source: str, connection: S3Connection, *, only: FileFormat | None = None) -> tuple[SourceObject, ...]:
    """The raw files of a folder (path or file:// URI) or S3 prefix, with those below it, sorted by URI.

    Files and folders whose names begin with `.` or `_` are left out. Nothing is read, so sha256 is empty.

    Args:
        source: the folder or prefix.
        connection: to S3.
        only: files of this format; by default of every format that can be read.

    Raises:
        SourceError: the folder or bucket is not there, or has no such file.
    """
    listed = _list_s3(source, connection) if is_s3(source) else _list_folder(local_path(source))
    found = [file for file in listed if only is None or format_of(file.uri) == only]
    if not found:
        wanted = [suffix for kind, suffixes in _SUFFIXES.items() if only in (None, kind) for suffix in suffixes]
        raise SourceError(f"{source}: expected files named *{', *'.join(wanted)}, found none")
    return tuple(sorted(found, key=lambda file: file.uri))


def local_path(uri: str) -> Path:
    """The path of a file:// URI or a plain path."""
    return Path(unquote(urlsplit(uri).path) if uri.startswith("file:") else uri).expanduser().resolve()


def local_etag(path: Path) -> str:
    """What changes when a local file is written again: its size and mtime_ns."""
    status = path.stat()
    return f"{status.st_size}-{status.st_mtime_ns}"


def s3_location(uri: str) -> tuple[str, str]:
    """Bucket and key (or prefix) of an s3:// URI."""
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    return bucket, key


def s3_client(connection: S3Connection) -> Any:
    """A boto3 client; against a server of one's own, buckets are addressed in the path."""
    own = {"s3": {"addressing_style": "path"}, "request_checksum_calculation": "when_required"}
    return boto3.client(
        "s3",
        endpoint_url=connection.endpoint,
        region_name=connection.region,
        aws_access_key_id=connection.access_key,
        aws_secret_access_key=connection.secret_key,
        aws_session_token=connection.session_token,
        config=Config(**own if connection.endpoint else {}),
    )


def _visible(relative: str) -> bool:
    return format_of(relative) is not None and not any(part[:1] in (".", "_") for part in relative.split("/"))


def _list_folder(folder: Path) -> list[SourceObject]:
    if not folder.is_dir():
        raise SourceError(
            f"{folder}: expected a folder with raw files, found {'a file' if folder.exists() else 'nothing'}"
        )
    files = sorted(f for f in folder.rglob("*") if _visible(f.relative_to(folder).as_posix()) and f.is_file())
    return [SourceObject(file.as_uri(), None, local_etag(file), file.stat().st_size, "") for file in files]


def _list_s3(source: str, connection: S3Connection) -> list[SourceObject]:
    bucket, prefix = s3_location(source)
    folder = prefix if not prefix or prefix.endswith("/") else f"{prefix}/"
    client = s3_client(connection)
    try:
        try:
            found = list(_versioned(client, bucket, folder))
        except ClientError as error:
            if error.response["Error"]["Code"] not in _NO_VERSIONS:
                raise
            found = list(_unversioned(client, bucket, folder))
    except (ClientError, BotoCoreError) as error:
        raise SourceError(f"{source}: cannot be listed: {error}") from None
    return [file for file in found if _visible(file.uri.removeprefix(f"s3://{bucket}/{folder}"))]


def _versioned(client: Any, bucket: str, prefix: str) -> Iterator[SourceObject]:
    for page in client.get_paginator("list_object_versions").paginate(Bucket=bucket, Prefix=prefix):
        for item in page.get("Versions", ()):
            if item["IsLatest"]:
                version = None if item["VersionId"] == "null" else item["VersionId"]
                yield SourceObject(f"s3://{bucket}/{item['Key']}", version, item["ETag"].strip('"'), item["Size"], "")


def _unversioned(client: Any, bucket: str, prefix: str) -> Iterator[SourceObject]:
    for page in client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
        for item in page.get("Contents", ()):
            yield SourceObject(f"s3://{bucket}/{item['Key']}", None, item["ETag"].strip('"'), item["Size"], "")
