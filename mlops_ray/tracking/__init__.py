"""MLflow: runs, datasets, metrics and registered models, and the code version that goes with them."""

from mlops_ray.tracking.code_version import CodeVersion, code_version
from mlops_ray.tracking.outbox import Outbox
from mlops_ray.tracking.patience import patiently
from mlops_ray.tracking.sender import Sender
from mlops_ray.tracking.tracking import RunStatus, Tracking
from mlops_ray.tracking.values import DatasetInput, MetricPoint, ModelInput

__all__ = [
    "CodeVersion",
    "DatasetInput",
    "MetricPoint",
    "ModelInput",
    "Outbox",
    "RunStatus",
    "Sender",
    "Tracking",
    "code_version",
    "patiently",
]
