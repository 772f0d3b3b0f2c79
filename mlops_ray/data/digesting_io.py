"""Files written through pyiceberg, with the sha256 of what was handed to the store, without reading them back."""

import hashlib
from types import TracebackType
from typing import Any, Self

from pyiceberg.io import FileIO, InputFile, OutputFile, OutputStream

__all__ = ["DigestingIO"]


class DigestingIO(FileIO):
    """Another FileIO, and the digests of the files that were written through it."""

    def __init__(self, inner: FileIO) -> None:
        super().__init__(inner.properties)
        self._inner = inner
        self.sha256: dict[str, str] = {}  # location -> digest, once a file is closed

    def new_input(self, location: str) -> InputFile:
        """The file to read."""
        return self._inner.new_input(location)

    def new_output(self, location: str) -> OutputFile:
        """The file to write."""
        return _Output(self._inner.new_output(location), self.sha256)

    def delete(self, location: str | InputFile | OutputFile) -> None:
        """Delete a file."""
        self._inner.delete(location)


class _Output(OutputFile):
    def __init__(self, inner: OutputFile, digests: dict[str, str]) -> None:
        super().__init__(inner.location)
        self._inner, self._digests = inner, digests

    def __len__(self) -> int:
        return len(self._inner)

    def exists(self) -> bool:
        return self._inner.exists()

    def to_input_file(self) -> InputFile:
        return self._inner.to_input_file()

    def create(self, overwrite: bool = False) -> OutputStream:
        return _Stream(self._inner.create(overwrite=overwrite), self.location, self._digests)


class _Stream:
    """A stream that is written from its beginning to its end, as Parquet is."""

    def __init__(self, inner: Any, location: str, digests: dict[str, str]) -> None:
        self._inner, self._location, self._digests = inner, location, digests
        self._sha256 = hashlib.sha256()

    @property
    def closed(self) -> bool:
        return bool(self._inner.closed)

    def readable(self) -> bool:
        return False

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return False

    def write(self, b: bytes) -> int:
        self._sha256.update(b)
        return int(self._inner.write(b) or len(b))

    def tell(self) -> int:
        return int(self._inner.tell())

    def flush(self) -> None:
        self._inner.flush()

    def close(self) -> None:
        if not self.closed:
            self._inner.close()
            self._digests[self._location] = self._sha256.hexdigest()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
