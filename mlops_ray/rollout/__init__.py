"""How a new version takes over: who meets it, what counts as evidence, which step follows. Pure: no Ray, no clock."""

from mlops_ray.rollout.assess import Assessment, assess
from mlops_ray.rollout.assignment import BUCKETS, bucket, on_canary
from mlops_ray.rollout.block import Block
from mlops_ray.rollout.command import LEGAL_ACTIONS, Action, command
from mlops_ray.rollout.event_metrics import MIN_BAD_EVENTS
from mlops_ray.rollout.evidence import Evidence, fold, with_measurement, with_outcomes
from mlops_ray.rollout.measured import Measured
from mlops_ray.rollout.metric_assessment import MetricAssessment
from mlops_ray.rollout.metric_evidence import Exceedances, MetricEvidence
from mlops_ray.rollout.phase import Phase
from mlops_ray.rollout.power import (
    DetectableRate,
    LabelsNeeded,
    RequestsNeeded,
    labels_to_detect,
    requests_to_detect,
    smallest_detectable,
)
from mlops_ray.rollout.progress import advance
from mlops_ray.rollout.sample_ratio import RatioCheck, sample_ratio_mismatch
from mlops_ray.rollout.score_evidence import ScoreEvidence
from mlops_ray.rollout.state import Mark, Observation, RolloutState, begin, moved
from mlops_ray.rollout.stratum import Moments, Stratum

__all__ = [
    "BUCKETS",
    "LEGAL_ACTIONS",
    "MIN_BAD_EVENTS",
    "Action",
    "Assessment",
    "Block",
    "DetectableRate",
    "Evidence",
    "Exceedances",
    "LabelsNeeded",
    "Mark",
    "Measured",
    "MetricAssessment",
    "MetricEvidence",
    "Moments",
    "Observation",
    "Phase",
    "RatioCheck",
    "RequestsNeeded",
    "RolloutState",
    "ScoreEvidence",
    "Stratum",
    "advance",
    "assess",
    "begin",
    "bucket",
    "command",
    "fold",
    "labels_to_detect",
    "moved",
    "on_canary",
    "requests_to_detect",
    "sample_ratio_mismatch",
    "smallest_detectable",
    "with_measurement",
    "with_outcomes",
]
