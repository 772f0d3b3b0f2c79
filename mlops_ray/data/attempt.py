"""One attempt at a batch: its files are read, checked and written on Ray Data, in folders of its own."""

import hashlib
import os
import re
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from pyiceberg.io import FileIO
from pyiceberg.manifest import DataFile
from pyiceberg.table import TableProperties
from pyiceberg.table.metadata import TableMetadata

from mlops_ray.data.baseline import Baseline
from mlops_ray.data.catalog import location_of
from mlops_ray.data.checks import refusal
from mlops_ray.data.column import columns_of
from mlops_ray.data.contents import FileDigest
from mlops_ray.data.listing import format_of
from mlops_ray.data.ray_data import each_task
from mlops_ray.data.source import SourceObject
from mlops_ray.data.sql import resolved_url
from mlops_ray.data.statistics import BatchStatistics, merge
from mlops_ray.data.task import Outcome, Task
from mlops_ray.data.unique_keys import old_runs, repeated_rows
from mlops_ray.data.validation import Validation, validate
from mlops_ray.data.work import Work, plan_work
from mlops_ray.errors import DataError, ValidationError
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
    foreign: tuple[str, ...] = ()  # columns of other datasets that decided which rows are good
    summary: Mapping[str, str] = field(default_factory=dict)  # what the snapshot says of the validation
    warnings: tuple[str, ...] = ()


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

    @property
    def keys(self) -> str:
        """Folder of the keys of unique columns while they are counted, relative to the lake."""
        return f"warehouse/{self.spec.table.replace('.', '/')}/keys/{self.id.hex}"

    @property
    def statistics(self) -> str:
        """File with the statistics of the batch, relative to the lake."""
        return f"warehouse/{self.spec.table.replace('.', '/')}/statistics/{self.id.hex}.json"

    @property
    def report(self) -> str:
        """The report of a batch that is committed, relative to the lake, without .json or .html."""
        return f"warehouse/{self.spec.table.replace('.', '/')}/reports/{self.id.hex}"

    @property
    def refusal_report(self) -> str:
        """The report of a batch that is refused, beside its bad rows; readers of Parquet skip a name like this."""
        return f"{self.quarantine}/_report"

    def write(
        self,
        sources: Sequence[SourceObject],
        history: Sequence[SourceObject],
        metadata: TableMetadata,
        io: FileIO,
        *,
        baseline: Baseline,
        now_s: float,
    ) -> Written:
        """Read, check and write the good and the bad rows of `sources`; `history` was ingested before.

        Raises:
            ValidationError: a rule that blocks is broken; the message names the report, which is there.
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
            keys=location_of(self.lake, self.keys),
            attempt=self.id,
            connection=S3Connection.of(os.environ),
            known=known,
            csv=data.csv,
            sql=data.sql,
            database=resolved_url(data.source, os.environ) if data.sql is not None else "",
            foreign=baseline.foreign,
        )
        outcomes, statistics = _run(task, works)
        _raise_first([outcome.error for outcome in outcomes if outcome.error is not None])
        read = tuple(source for outcome in outcomes for source in outcome.sources)
        files = tuple(file for outcome in outcomes for file in outcome.files)
        foreign = tuple(sorted(f"{other.column} in {other.name}" for other in baseline.foreign))
        digests = tuple(digest for outcome in outcomes for digest in outcome.digests)
        written = Written(files, read, statistics, digests, foreign)
        if not read:
            return written
        validation = validate(
            self.spec, statistics, baseline, repeated=self._repeated(outcomes, task, baseline), now_s=now_s
        )
        return self._judged(written, validation, baseline)

    def remove(self, *, refused: bool = False) -> None:
        """Delete whatever the attempt wrote; of a batch that was refused the bad rows and the report stay."""
        written = (self.data, self.sources, self.keys, self.statistics, f"{self.report}.json", f"{self.report}.html")
        for path in written if refused else (self.quarantine, *written):
            self.lake.remove(path)

    def _repeated(self, outcomes: Sequence[Outcome], task: Task, baseline: Baseline) -> int:
        runs = tuple(run for outcome in outcomes for run in outcome.keys)
        if not runs:
            return 0
        old = old_runs(baseline.data_files, task.unique, task.io, task.keys)
        repeated = repeated_rows((*runs, *old), task.io)
        self.lake.remove(self.keys)
        return repeated

    def _judged(self, written: Written, validation: Validation, baseline: Baseline) -> Written:
        report = validation.report(
            self.spec,
            written.statistics,
            baseline,
            run_id=self.run_id,
            files=len(written.sources),
            quarantine=self.lake.uri_of(self.quarantine),
        )
        message = refusal(validation.results)
        if message is not None:
            raise ValidationError(f"{message}; report: {report.write(self.lake, self.refusal_report)}")
        content = validation.statistics.to_json().encode()
        self.lake.write_bytes(self.statistics, content)
        report.write(self.lake, self.report)
        summary = {
            "statistics.uri": self.statistics,
            "statistics.digest": hashlib.sha256(content).hexdigest(),
            "report.path": self.report,
        }
        return replace(written, summary=summary, warnings=report.warnings)


def _run(task: Task, works: Sequence[Work]) -> tuple[list[Outcome], BatchStatistics]:
    """What the tasks did, without their statistics, and these merged as they come: they need not all fit at once."""
    outcomes: list[Outcome] = []
    statistics = BatchStatistics()
    for outcome in each_task(task.run, works):
        statistics = merge((statistics, outcome.statistics))
        outcomes.append(replace(outcome, statistics=BatchStatistics()))
    return outcomes, statistics


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
