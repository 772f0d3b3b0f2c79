"""Bytes at a URI: one folder or one S3 prefix under which everything of an installation lies."""

import os
import shutil
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any, Self
from urllib.parse import quote, unquote, urlsplit

import pyarrow.fs as pafs

from mlops_ray.errors import SourceError

__all__ = ["Lake", "LakeFile", "S3Connection"]


@dataclass(frozen=True)
class S3Connection:
    """How to reach S3: what the AWS environment variables say; None leaves a value to the SDK's own search.

    It may travel to other processes, keys included, and shows no key when printed.
    """

    endpoint: str | None = None  # URL of an S3-compatible server; None is AWS
    region: str | None = None
    access_key: str | None = field(default=None, repr=False)
    secret_key: str | None = field(default=None, repr=False)
    session_token: str | None = field(default=None, repr=False)

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> Self:
        """Read AWS_ENDPOINT_URL(_S3), AWS_(DEFAULT_)REGION and the three credential variables."""
        endpoint = environment.get("AWS_ENDPOINT_URL_S3") or environment.get("AWS_ENDPOINT_URL") or None
        region = environment.get("AWS_REGION") or environment.get("AWS_DEFAULT_REGION") or None
        return cls(
            endpoint=endpoint,
            region=region or ("us-east-1" if endpoint else None),
            access_key=environment.get("AWS_ACCESS_KEY_ID") or None,
            secret_key=environment.get("AWS_SECRET_ACCESS_KEY") or None,
            session_token=environment.get("AWS_SESSION_TOKEN") or None,
        )

    def filesystem(self, bucket: str) -> pafs.FileSystem:
        """A pyarrow filesystem; against a server of one's own, buckets are addressed in the path.

        Raises:
            SourceError: no region is set and that of the bucket cannot be found out.
        """
        options: dict[str, Any] = {
            "endpoint_override": self.endpoint,
            "access_key": self.access_key,
            "secret_key": self.secret_key,
            "session_token": self.session_token,
        }
        try:
            region = self.region or pafs.resolve_s3_region(bucket)
        except OSError as error:
            raise SourceError(
                f"s3://{bucket}: its region cannot be found ({error}); set AWS_REGION, or AWS_ENDPOINT_URL for a "
                "server that is not AWS"
            ) from None
        return pafs.S3FileSystem(region=region, **{key: value for key, value in options.items() if value is not None})


@dataclass(frozen=True)
class LakeFile:
    """One file of a lake."""

    path: str  # relative to the lake
    size_bytes: int
    changed_s: float  # Unix time of the last write, by the clock of the store


class Lake:
    """A folder (`file:///…` or a plain path) or `s3://bucket/prefix`; paths are relative to it, with slashes.

    Pickling carries the URI only; the filesystem is opened when first used, from the environment of that process.
    """

    def __init__(self, uri: str) -> None:
        parts = urlsplit(uri)
        if parts.scheme == "s3":
            self.uri, self.root = uri.rstrip("/"), f"{parts.netloc}{parts.path}".rstrip("/")
        elif parts.scheme == "file" or "://" not in uri:
            path = Path(unquote(parts.path) if parts.scheme == "file" else uri).expanduser().resolve()
            self.uri, self.root = path.as_uri(), str(path)
        else:
            raise SourceError(f"lake {uri!r}: expected a folder, file:///folder or s3://bucket/prefix")

    def __getstate__(self) -> dict[str, str]:
        """Leave the open filesystem behind."""
        return {"uri": self.uri, "root": self.root}

    def __repr__(self) -> str:
        return f"Lake({self.uri!r})"

    @property
    def is_local(self) -> bool:
        """Whether it is a folder of this machine (or mounted on it)."""
        return self.uri.startswith("file:")

    @cached_property
    def filesystem(self) -> pafs.FileSystem:
        """For pyarrow.dataset and pyarrow.parquet, together with `root`."""
        if self.is_local:
            return pafs.LocalFileSystem()
        return S3Connection.of(os.environ).filesystem(self.root.split("/", 1)[0])

    def uri_of(self, path: str) -> str:
        """The URI of a path in the lake."""
        return f"{self.uri}/{quote(path) if self.is_local else path}"

    def read_bytes(self, path: str) -> bytes:
        """All bytes at `path`.

        Raises:
            SourceError: nothing is there; it names the URI.
        """
        try:
            with self.filesystem.open_input_stream(self._at(path)) as stream:
                return stream.read()
        except (FileNotFoundError, IsADirectoryError):
            raise SourceError(f"{self.uri_of(path)}: expected a file, found nothing") from None

    def write_bytes(self, path: str, data: bytes) -> str:
        """Write `data` whole or not at all, making folders as needed; returns the URI."""
        target = self._at(path)
        if not self.is_local:
            with self.filesystem.open_output_stream(target) as stream:
                stream.write(data)
            return self.uri_of(path)
        file = Path(target)
        file.parent.mkdir(parents=True, exist_ok=True)
        temporary = file.with_name(f".{file.name}.{uuid.uuid4().hex}")
        try:
            temporary.write_bytes(data)
            temporary.replace(file)
        finally:
            temporary.unlink(missing_ok=True)
        return self.uri_of(path)

    def exists(self, path: str) -> bool:
        """Whether a file or a folder with something in it is at `path`."""
        return bool(self.filesystem.get_file_info(self._at(path)).type != pafs.FileType.NotFound)

    def folders(self, prefix: str) -> list[str]:
        """Names of the folders right below the folder `prefix`, sorted; [] if there is none."""
        selector = pafs.FileSelector(self._at(prefix), recursive=False, allow_not_found=True)
        infos = self.filesystem.get_file_info(selector)
        return sorted(info.base_name for info in infos if info.type == pafs.FileType.Directory)

    def list(self, prefix: str, suffix: str = "") -> list[str]:
        """The files below the folder `prefix` whose names end with `suffix`, sorted, relative to the lake.

        Hidden files, half-written ones among them, are left out.
        """
        start = self._at(prefix) if prefix else self.root
        infos = self.filesystem.get_file_info(pafs.FileSelector(start, recursive=True, allow_not_found=True))
        files = (info.path[len(self.root) + 1 :] for info in infos if info.type == pafs.FileType.File)
        return sorted(f for f in files if f.endswith(suffix) and not PurePosixPath(f).name.startswith("."))

    def files(self, prefix: str) -> tuple[LakeFile, ...]:
        """Every file below the folder `prefix`, hidden and half-written ones too, sorted by path."""
        infos = self.filesystem.get_file_info(pafs.FileSelector(self._at(prefix), recursive=True, allow_not_found=True))
        files = (info for info in infos if info.type == pafs.FileType.File)
        found = (LakeFile(i.path[len(self.root) + 1 :], i.size, (i.mtime_ns or 0) / 1e9) for i in files)
        return tuple(sorted(found, key=lambda file: file.path))

    def upload(self, folder: Path, path: str) -> str:
        """Copy every file of a local folder to below `path`; returns the URI."""
        for file in sorted(f for f in folder.rglob("*") if f.is_file()):
            self.write_bytes(f"{path}/{file.relative_to(folder).as_posix()}", file.read_bytes())
        return self.uri_of(path)

    def download(self, path: str, folder: Path) -> Path:
        """Copy every file below `path` into a local folder, which is returned.

        Raises:
            SourceError: there is no file below `path`.
        """
        files = self.list(path)
        if not files:
            raise SourceError(f"{self.uri_of(path)}: expected a folder with files, found nothing")
        for file in files:
            target = folder / PurePosixPath(file).relative_to(path)
            target.parent.mkdir(parents=True, exist_ok=True)
            with self.filesystem.open_input_stream(self._at(file)) as stream, target.open("wb") as copy:
                shutil.copyfileobj(stream, copy, 2**20)
        return folder

    def remove(self, path: str) -> None:
        """Delete the file, or the folder with all below it, at `path`; nothing there is fine."""
        kind = self.filesystem.get_file_info(self._at(path)).type
        if kind == pafs.FileType.File:
            self.filesystem.delete_file(self._at(path))
        elif kind == pafs.FileType.Directory:
            self.filesystem.delete_dir(self._at(path))

    def _at(self, path: str) -> str:
        pure = PurePosixPath(path)
        if pure.is_absolute() or ".." in pure.parts or not pure.parts:
            raise SourceError(f"{path!r}: expected a path relative to the lake {self.uri}, without '..'")
        return f"{self.root}/{pure}"
