"""How good a model is, and whether good enough: metrics, paired comparison, gates, splits. Pure: no Ray, no files."""

from mlops_ray.evaluation.bootstrap import Interval, paired_difference
from mlops_ray.evaluation.gates import GateKind, GateReport, GateResult, evaluate_gates, with_golden
from mlops_ray.evaluation.metrics import score, scores
from mlops_ray.evaluation.split import hashed_fraction, holdout_mask, newest_mask

__all__ = [
    "GateKind",
    "GateReport",
    "GateResult",
    "Interval",
    "evaluate_gates",
    "hashed_fraction",
    "holdout_mask",
    "newest_mask",
    "paired_difference",
    "score",
    "scores",
    "with_golden",
]
