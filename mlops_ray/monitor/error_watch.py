"""The errors of a version as one stream, in the order of the predictions, for the test on concept drift.

Outcomes may come late and corrected as long as their answers are young. Older answers are sealed: folded into a state
that is kept in the lake, once and for all. After a restart the state and the records give the same stream again, so
that no outcome is lost and none counts twice.
"""

import json
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from mlops_ray.evaluation import ErrorStream, ErrorTest, errors_of
from mlops_ray.monitor.reference import Watched
from mlops_ray.records import RecordLog
from mlops_ray.spec import ConceptDrift, Task

__all__ = ["ErrorWatch", "SealedErrors"]


@dataclass(frozen=True)
class SealedErrors:
    """The stream up to a moment."""

    before_s: float
    """All answers before it are in the state."""
    stream: ErrorStream


class ErrorWatch:
    """One for each version."""

    def __init__(self, log: RecordLog, watched: Watched, settings: ConceptDrift, task: Task, *, since_s: float) -> None:
        assert watched.holdout is not None, "without a holdout's error there is nothing to test against"
        self._log = log
        self._holdout = watched.holdout
        self._task = task
        self._name = f"errors-v{watched.version}"
        self.test = ErrorTest(
            base=watched.holdout.error_bound(),
            rises=settings.rises,
            warning_run_length=float(settings.warning_run_length),
            run_length=float(settings.run_length),
        )
        self._sealed = self._restored() or SealedErrors(since_s, ErrorStream())
        self._kept = self._sealed

    @property
    def since_s(self) -> float:
        """Answers from then on are needed."""
        return self._sealed.before_s

    def take(self, rows: pa.Table, *, seal_s: float) -> ErrorStream:
        """The stream over all labelled `rows` of `AnsweredRows.rows(since_s)`; those before `seal_s` are sealed."""
        moments = rows["time_s"].to_numpy()
        begin, old = moments.searchsorted([self._sealed.before_s, max(seal_s, self._sealed.before_s)]).tolist()
        if seal_s > self._sealed.before_s:
            stream = self._sealed.stream.after(self.test, self._errors(rows.slice(begin, old - begin)))
            self._sealed = SealedErrors(seal_s, stream)
            self._keep()
        return self._sealed.stream.after(self.test, self._errors(rows.slice(old)))

    def _errors(self, rows: pa.Table) -> Any:
        labels, scores = rows["label"].to_numpy(), rows["score"].to_numpy()
        return errors_of(self._task, labels, scores, limit=self._holdout.error_limit)

    def _keep(self) -> None:
        """Only where something was sealed: without it the same is read again."""
        if self._sealed.stream == self._kept.stream:
            return
        content = {"before_s": self._sealed.before_s, "test": self._key(), "stream": self._sealed.stream.to_json()}
        self._log.keep_checkpoint(self._name, json.dumps(content).encode())
        self._kept = self._sealed

    def _restored(self) -> SealedErrors | None:
        content = self._log.checkpoint(self._name)
        known = None if content is None else json.loads(content)
        if known is None or known["test"] != self._key():
            return None  # of other settings: the records give the stream again
        return SealedErrors(known["before_s"], ErrorStream.from_json(known["stream"]))

    def _key(self) -> dict[str, Any]:
        test = self.test
        return {
            "base": test.base,
            "rises": list(test.rises),
            "run_length": test.run_length,
            "warning_run_length": test.warning_run_length,
        }
