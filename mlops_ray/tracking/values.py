"""What is told to MLflow, as plain values."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mlops_ray.spec import FeatureType

__all__ = ["DatasetInput", "MetricPoint", "ModelInput"]


@dataclass(frozen=True)
class DatasetInput:
    """The dataset version a run was trained on."""

    name: str  # as people refer to it, "mlops.churn@v3"
    digest: str
    source_uri: str
    schema: Mapping[str, str]  # column -> type


@dataclass(frozen=True)
class MetricPoint:
    """One value of one metric of a run."""

    name: str
    value: float
    step: int
    at_s: float  # Unix time


@dataclass(frozen=True)
class ModelInput:
    """One column a model takes, and example values of it."""

    name: str
    type: FeatureType
    nullable: bool
    examples: Sequence[float | int | bool | str | None] = ()
