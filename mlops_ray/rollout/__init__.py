"""How a new version takes over: who meets it, what counts as evidence, which step follows. Pure: no Ray, no clock."""

from mlops_ray.rollout.assess import MIN_BAD_EVENTS, Assessment, MetricAssessment, assess
from mlops_ray.rollout.assignment import BUCKETS, bucket, on_canary
from mlops_ray.rollout.command import LEGAL_ACTIONS, Action, command
from mlops_ray.rollout.evidence import Block, Evidence, MetricEvidence, fold
from mlops_ray.rollout.phase import Phase
from mlops_ray.rollout.progress import advance
from mlops_ray.rollout.state import Mark, Observation, RolloutState, begin, moved

__all__ = [
    "BUCKETS",
    "LEGAL_ACTIONS",
    "MIN_BAD_EVENTS",
    "Action",
    "Assessment",
    "Block",
    "Evidence",
    "Mark",
    "MetricAssessment",
    "MetricEvidence",
    "Observation",
    "Phase",
    "RolloutState",
    "advance",
    "assess",
    "begin",
    "bucket",
    "command",
    "fold",
    "moved",
    "on_canary",
]
