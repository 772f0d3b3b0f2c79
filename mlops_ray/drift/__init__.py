"""Whether served rows still look like the training rows, from mergeable counts. Pure: no Ray, no clock, no files."""

from mlops_ray.drift.attribution import (
    AttributionReference,
    AttributionShift,
    FeatureShare,
    attribution_reference,
    judge_attribution,
)
from mlops_ray.drift.build import build_reference
from mlops_ray.drift.column import Column, Kind
from mlops_ray.drift.feature_reference import FeatureReference
from mlops_ray.drift.fold import fold
from mlops_ray.drift.histogram import histogram
from mlops_ray.drift.judge import DriftReport, FeatureDrift, judge
from mlops_ray.drift.multivariate import DomainCheck, block_auc, domain_check
from mlops_ray.drift.persistence import Persistence
from mlops_ray.drift.profile import Profile, empty, merge, subtract
from mlops_ray.drift.quality import QualityProblem, check_quality
from mlops_ray.drift.rebuilt import rebuilt_rows
from mlops_ray.drift.reference import ReferenceProfile
from mlops_ray.drift.season import Season, season_of
from mlops_ray.drift.unseen_values import UnseenValues

__all__ = [
    "AttributionReference",
    "AttributionShift",
    "Column",
    "DomainCheck",
    "DriftReport",
    "FeatureDrift",
    "FeatureReference",
    "FeatureShare",
    "Kind",
    "Persistence",
    "Profile",
    "QualityProblem",
    "ReferenceProfile",
    "Season",
    "UnseenValues",
    "attribution_reference",
    "block_auc",
    "build_reference",
    "check_quality",
    "domain_check",
    "empty",
    "fold",
    "histogram",
    "judge",
    "judge_attribution",
    "merge",
    "rebuilt_rows",
    "season_of",
    "subtract",
]
