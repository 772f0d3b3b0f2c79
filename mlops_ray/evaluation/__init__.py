"""How good a model is, and whether good enough: metrics, paired comparison, gates, splits, and what outcomes say of a
model in use. Pure: no Ray, no files."""

from mlops_ray.evaluation.bootstrap import Interval, paired_difference
from mlops_ray.evaluation.business_metric import BusinessValue, business_value, evaluate_expression
from mlops_ray.evaluation.calibration import Calibration, calibration_of
from mlops_ray.evaluation.error_stream import DriftLevel, ErrorStream, ErrorTest
from mlops_ray.evaluation.estimate import Estimated, estimate_performance
from mlops_ray.evaluation.fairness import FairnessResult, GroupCounts, count_groups, groups_of, judge_fairness
from mlops_ray.evaluation.gates import GateKind, GateReport, GateResult, evaluate_gates, with_golden
from mlops_ray.evaluation.holdout_facts import HoldoutFacts, errors_of, facts_of
from mlops_ray.evaluation.intervals import Measurement, measure_outcomes, metric_limits
from mlops_ray.evaluation.label_counts import LabelComparison, LabelCounts, compare_labels, count_labels
from mlops_ray.evaluation.metrics import drop_of, score, scores
from mlops_ray.evaluation.slices import Slice, SliceColumn, worst_slices
from mlops_ray.evaluation.split import hashed_fraction, holdout_mask, newest_mask

__all__ = [
    "BusinessValue",
    "Calibration",
    "DriftLevel",
    "ErrorStream",
    "ErrorTest",
    "Estimated",
    "FairnessResult",
    "GateKind",
    "GateReport",
    "GateResult",
    "GroupCounts",
    "HoldoutFacts",
    "Interval",
    "LabelComparison",
    "LabelCounts",
    "Measurement",
    "Slice",
    "SliceColumn",
    "business_value",
    "calibration_of",
    "compare_labels",
    "count_groups",
    "count_labels",
    "drop_of",
    "errors_of",
    "estimate_performance",
    "evaluate_expression",
    "evaluate_gates",
    "facts_of",
    "groups_of",
    "hashed_fraction",
    "holdout_mask",
    "judge_fairness",
    "measure_outcomes",
    "metric_limits",
    "newest_mask",
    "paired_difference",
    "score",
    "scores",
    "with_golden",
    "worst_slices",
]
