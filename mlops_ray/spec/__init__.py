"""The YAML spec of a model and the workspace it lives in; knows pydantic and nothing of Ray."""

from mlops_ray.spec.data import Checks, Data, Feature, FeatureType
from mlops_ray.spec.load import json_schema, load_spec, parse_spec
from mlops_ray.spec.model_spec import ModelSpec
from mlops_ray.spec.monitor import (
    AlertSink,
    Decay,
    Guards,
    Labels,
    LogSink,
    Monitor,
    Retrain,
    Thresholds,
    WebhookSink,
    Window,
)
from mlops_ray.spec.serve import Analysis, Autoscaling, Batching, Rollout, Serve, Step
from mlops_ray.spec.template import spec_template
from mlops_ray.spec.train import (
    METRICS,
    Approval,
    Choice,
    Gate,
    Holdout,
    IntRange,
    LogRange,
    Metric,
    Range,
    Resources,
    SearchDimension,
    Task,
    Train,
)
from mlops_ray.spec.workspace import CONTROL_ACTOR, DRIFT_ACTOR, Workspace

__all__ = [
    "CONTROL_ACTOR",
    "DRIFT_ACTOR",
    "METRICS",
    "AlertSink",
    "Analysis",
    "Approval",
    "Autoscaling",
    "Batching",
    "Checks",
    "Choice",
    "Data",
    "Decay",
    "Feature",
    "FeatureType",
    "Gate",
    "Guards",
    "Holdout",
    "IntRange",
    "Labels",
    "LogRange",
    "LogSink",
    "Metric",
    "ModelSpec",
    "Monitor",
    "Range",
    "Resources",
    "Retrain",
    "Rollout",
    "SearchDimension",
    "Serve",
    "Step",
    "Task",
    "Thresholds",
    "Train",
    "WebhookSink",
    "Window",
    "Workspace",
    "json_schema",
    "load_spec",
    "parse_spec",
    "spec_template",
]
