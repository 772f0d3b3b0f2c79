"""Whether served rows still look like the training rows, from mergeable counts. Pure: no Ray, no clock, no files."""

from mlops_ray.drift.attribution import (
    AttributionReference,
    AttributionShift,
    FeatureShare,
    attribution_reference,
    judge_attribution,
)
from mlops_ray.drift.column import Column, Kind
from mlops_ray.drift.judge import DriftReport, FeatureDrift, judge
from mlops_ray.drift.persistence import Persistence
from mlops_ray.drift.profile import Profile, empty, fold, merge, subtract
from mlops_ray.drift.rebuilt import rebuilt_rows
from mlops_ray.drift.reference import FeatureReference, ReferenceProfile, build_reference

__all__ = [
    "AttributionReference",
    "AttributionShift",
    "Column",
    "DriftReport",
    "FeatureDrift",
    "FeatureReference",
    "FeatureShare",
    "Kind",
    "Persistence",
    "Profile",
    "ReferenceProfile",
    "attribution_reference",
    "build_reference",
    "empty",
    "fold",
    "judge",
    "judge_attribution",
    "merge",
    "rebuilt_rows",
    "subtract",
]
