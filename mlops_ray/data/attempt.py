"""One attempt at a batch: its files are read, checked and written on Ray Data, in folders of its own."""

import os
import re
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field

from pyiceberg.io import FileIO
from pyiceberg.manifest import DataFile
from pyiceberg.table import TableProperties
from pyiceberg.table.metadata import TableMetadata

from mlops_ray.data.catalog import location_of
from mlops_ray.data.column import columns_of
from mlops_ray.data.contents import FileDigest
from mlops_ray.data.listing import format_of
from mlops_ray.data.ray_data import run_tasks
from mlops_ray.data.source import SourceObject
from mlops_ray.data.sql import resolved_url
from mlops_ray.data.statistics import BatchStatistics, check_batch, merge, repeated_keys
from mlops_ray.data.task import Outcome, Task
from mlops_ray.data.work import plan_work
from mlops_ray.errors import DataError
from mlops_ray.lake import Lake, S3Connection
from mlops_ray.spec import ModelSpec

__all__ = ["Attempt", "Written"]

# Columns with more distinct values than fit give the dictionary up early: a million rows of 30 floats are written three
# times as fast as with Iceberg's 2 MiB, and a tenth smaller.
_DICTIONARY_BYTES = 128 * 2**10


@dataclass(frozen=True)
class Written:
    """A batch that passed its checks and lies in the lake, in no version yet."""

    files: tuple[DataFile, ...]
    sources: tuple[SourceObject, ...]  # those that are new, with their digests
    statistics: BatchStatistics
    digests: tuple[FileDigest, ...] = ()  # of `files`


@dataclass(frozen=True)
class Attempt:
    """Where one attempt writes. The folders carry an id of their own, so that two attempts never touch each other's."""

    spec: ModelSpec
    lake: Lake
    run_id: str
    id: uuid.UUID = field(default_factory=uuid.uuid4)

    @property
    def quarantine(self) -> str:
        """Folder of the bad rows, relative to the lake."""
        return f"quarantine/{self.spec.table}/{_file_name(self.run_id)}/{self.id.hex[:12]}"

    @property
    def data(self) -> str:
        """Folder of the data files, relative to the lake."""
        return f"warehouse/{self.spec.table.replace('.', '/')}/data/{self.id.hex}"

    @property
    def sources(self) -> str:
        """File with the list of sources, relative to the lake."""
        return f"warehouse/{self.spec.table.replace('.', '/')}/sources/{self.id.hex}.json"

    def write(
        self, sources: Sequence[SourceObject], history: Sequence[SourceObject], metadata: TableMetadata, io: FileIO
    ) -> Written:
        """Read, check and write the good and the bad rows of `sources`; `history` was ingested before.

        Raises:
            DataError: the batch is refused; what it wrote is still to be removed.
        """
        known: dict[str, frozenset[str]] = {}
        for source in history:
            known[source.uri] = known.get(source.uri, frozenset()) | {source.sha256}
        data = self.spec.data
        works = plan_work(sources, whole={*known, *(s.uri for s in sources if format_of(s.uri) != "parquet")})
        task = Task(
            columns=columns_of(self.spec),
            unique=self.spec.data.checks.unique,
            metadata=_writing_to(metadata, location_of(self.lake, self.data)),
            io=io,
            quarantine=location_of(self.lake, self.quarantine),
            attempt=self.id,
            connection=S3Connection.of(os.environ),
            known=known,
            csv=data.csv,
            sql=data.sql,
            database=resolved_url(data.source, os.environ) if data.sql is not None else "",
        )
        return self._checked(run_tasks(task.run, works))

    def remove(self) -> None:
        """Delete whatever the attempt wrote."""
        for path in (self.quarantine, self.data, self.sources):
            self.lake.remove(path)

    def _checked(self, outcomes: Sequence[Outcome]) -> Written:
        _raise_first([outcome.error for outcome in outcomes if outcome.error is not None])
        statistics = merge(outcome.statistics for outcome in outcomes)
        sources = tuple(source for outcome in outcomes for source in outcome.sources)
        if sources:
            check_batch(
                statistics,
                columns_of(self.spec),
                self.spec.data.checks,
                repeated=repeated_keys([outcome.keys for outcome in outcomes]),
            )
        return Written(
            files=tuple(file for outcome in outcomes for file in outcome.files),
            sources=sources,
            statistics=statistics,
            digests=tuple(digest for outcome in outcomes for digest in outcome.digests),
        )


def _raise_first(errors: Sequence[DataError]) -> None:
    if len(errors) > 1:
        raise type(errors[0])(f"{errors[0]} (and {len(errors) - 1} more tasks met errors)")
    if errors:
        raise errors[0]


def _writing_to(metadata: TableMetadata, folder: str) -> TableMetadata:
    own = {
        **metadata.properties,
        TableProperties.WRITE_DATA_PATH: folder,
        TableProperties.PARQUET_DICT_SIZE_BYTES: str(_DICTIONARY_BYTES),
    }
    return metadata.model_copy(update={"properties": own})


def _file_name(run_id: str) -> str:
    return re.sub(r"[^\w.-]", "_", run_id).lstrip(".") or "run"
