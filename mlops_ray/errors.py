"""Every error this package raises on purpose, as one tree.

MlopsRayError
├── SpecError               a spec or workspace file that cannot be used as written
├── DataError
│   ├── SourceError         a raw file or database that is missing, damaged or not in its format
│   ├── SchemaError         a column that is missing or of another type
│   ├── ValidationError     a batch that breaks a blocking check (empty, too many bad rows, one class)
│   ├── UnknownVersionError a dataset reference that names nothing, or something expired
│   └── CommitConflictError two writers met, and this one has to try again
├── ModelError              a model bundle that is damaged, unknown or cannot be loaded
│   └── PredictionError     a loaded model that raised, or answered with something that is no prediction
│       ├── AsleepError     a version without replicas, which scaled to zero and is being woken up
│       └── DeadlineError   no answer before the answer was of no use any more (HTTP 504)
│           └── HurriedError  the client gave less time than a version may take on its way
├── RequestError            an inference request that cannot be answered as sent (HTTP 4xx)
├── TrackingError           MLflow unreachable or refusing
├── TrainError              a sweep without a usable trial
│   └── InterruptedSweepError  a sweep that was ended before its trials were, and can be resumed
├── StoreError
│   ├── NotFoundError       a model, version, rollout, request that does not exist
│   ├── ConflictError       somebody else changed it first, or it exists already
│   └── AuditError          the audit chain does not verify
├── RolloutError            a step that the state of a rollout does not allow
├── GateError               a model version that its gates or approvers did not pass
├── AlertError              an alert that could not be delivered
├── MetricError             a query to Prometheus that gave no number
└── ClusterError            Ray, Serve or a port that is not as needed

A message says what was expected, what was found, and what to do. All of them survive pickling, because they cross
process borders.
"""

__all__ = [
    "AlertError",
    "AsleepError",
    "AuditError",
    "ClusterError",
    "CommitConflictError",
    "ConflictError",
    "DataError",
    "DeadlineError",
    "GateError",
    "HurriedError",
    "InterruptedSweepError",
    "MetricError",
    "MlopsRayError",
    "ModelError",
    "NotFoundError",
    "PredictionError",
    "RequestError",
    "RolloutError",
    "SchemaError",
    "SourceError",
    "SpecError",
    "StoreError",
    "TrackingError",
    "TrainError",
    "UnknownVersionError",
    "ValidationError",
]


class MlopsRayError(Exception):
    """Base of all errors of this package; `str(error)` is a sentence for a person."""


class SpecError(MlopsRayError):
    """A spec or workspace file that cannot be used as written."""


class DataError(MlopsRayError):
    """Something about the data."""


class SourceError(DataError):
    """A raw file or database that is missing, damaged or not in its format."""


class SchemaError(DataError):
    """A column that is missing or of another type."""


class ValidationError(DataError):
    """A batch that breaks a blocking check."""


class UnknownVersionError(DataError):
    """A dataset reference that names nothing, or something expired."""


class CommitConflictError(DataError):
    """Two writers met, and this one has to try again."""


class ModelError(MlopsRayError):
    """A model bundle that is damaged, unknown or cannot be loaded."""


class PredictionError(ModelError):
    """A loaded model that raised, or answered with something that is no prediction."""


class AsleepError(PredictionError):
    """A version that scaled to zero has no replica at the moment; says nothing about the version."""


class DeadlineError(PredictionError):
    """There was no answer before the answer was of no use any more."""


class HurriedError(DeadlineError):
    """A client that gave less time than a version needs on its way; says nothing about the version."""


class RequestError(MlopsRayError):
    """An inference request that cannot be answered as sent.

    `path` is a JSON path into the body (`$.records[0].tenure`), empty when the request as a whole is meant; `status`
    is the HTTP status to answer with.
    """

    def __init__(self, message: str, path: str = "", status: int = 422) -> None:
        super().__init__(message, path, status)
        self.message, self.path, self.status = message, path, status

    def __str__(self) -> str:
        return f"{self.message} (at {self.path})" if self.path else self.message


class TrackingError(MlopsRayError):
    """MLflow unreachable or refusing."""


class TrainError(MlopsRayError):
    """A sweep without a usable trial."""


class InterruptedSweepError(TrainError):
    """A sweep that was ended before its trials were, and can be resumed."""


class StoreError(MlopsRayError):
    """Something about the state kept in the SQL store."""


class NotFoundError(StoreError):
    """A model, version, rollout or request that does not exist."""


class ConflictError(StoreError):
    """Somebody else changed it first, or it exists already."""


class AuditError(StoreError):
    """The audit chain does not verify."""


class RolloutError(MlopsRayError):
    """A step that the state of a rollout does not allow."""


class GateError(MlopsRayError):
    """A model version that its gates or approvers did not pass."""


class AlertError(MlopsRayError):
    """An alert that could not be delivered.

    `final`: the receiver will not take it, however often it is sent. `retry_after_s`: it asks to be left alone so long.
    """

    def __init__(self, message: str, final: bool = False, retry_after_s: float = 0.0) -> None:
        super().__init__(message, final, retry_after_s)
        self.message, self.final, self.retry_after_s = message, final, retry_after_s

    def __str__(self) -> str:
        return self.message


class ClusterError(MlopsRayError):
    """Ray, Serve or a port that is not as needed."""


class MetricError(MlopsRayError):
    """A query to Prometheus that gave no number; no evidence of anything."""
