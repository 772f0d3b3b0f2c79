"""The `monitor` section: what is watched on served traffic."""

from typing import Self

from pydantic import Field, model_validator

from mlops_ray.spec.explain import Attribution, Reports
from mlops_ray.spec.labels import Labels
from mlops_ray.spec.operational import Operational
from mlops_ray.spec.section import Section

__all__ = ["Monitor", "Multivariate", "Quality", "Thresholds", "Window"]


def _check_persist(persist: tuple[int, int]) -> None:
    k, m = persist
    if not 1 <= k <= m:
        raise ValueError(f"persist is (k, m) with 1 <= k <= m, found ({k}, {m})")


class Window(Section):
    """The rows a judgement looks at: the newest `size_s` seconds, judged every `every_s`."""

    size_s: float = Field(3600.0, gt=0, description="length of the sliding window")
    every_s: float = Field(300.0, gt=0, description="time between two judgements")
    min_rows: int = Field(500, ge=20, description="rows a window needs to be judged")

    @model_validator(mode="after")
    def _judged_at_least_once_per_window(self) -> Self:
        if self.every_s > self.size_s:
            raise ValueError(f"every_s ({self.every_s:g}) must not be above size_s ({self.size_s:g})")
        return self


class Thresholds(Section):
    """When a feature counts as drifted: significant, and by enough, and long enough.

    At the defaults a shift of a quarter of a standard deviation is found in windows of 1,000 rows, and 50 features
    without drift raise less than one alarm a month; `benchmarks/drift.py` measures both.
    """

    fdr: float = Field(1e-4, gt=0, lt=0.5, description="Benjamini-Hochberg false discovery rate over the features")
    min_ks: float = Field(0.1, gt=0, le=1, description="smallest Kolmogorov-Smirnov distance worth an alarm")
    min_js: float = Field(0.05, gt=0, le=1, description="smallest Jensen-Shannon divergence (bits) worth an alarm")
    min_psi: float = Field(0.2, gt=0, description="smallest population stability index worth an alarm")
    min_shift: float | None = Field(
        0.2, gt=0, description="smallest shift of the mean, in standard deviations, worth an alarm; null: none is"
    )
    critical_importance: float = Field(
        0.5, gt=0, le=1, description="share of what the model relies on that makes an alarm critical when it drifts"
    )
    persist: tuple[int, int] = Field((2, 3), description="k of the newest m judgements must agree")

    @model_validator(mode="after")
    def _k_of_m(self) -> Self:
        _check_persist(self.persist)
        return self


class Quality(Section):
    """When a column counts as broken: shares of rows against those of the reference."""

    enabled: bool = True
    min_rows: int = Field(100, ge=20, description="rows that are needed to say so")
    max_missing: float = Field(0.1, gt=0, le=1, description="by how much the share of missing values may grow")
    max_unseen: float = Field(0.1, gt=0, le=1, description="the same for categories that were never seen")
    max_zeros: float = Field(0.1, gt=0, le=1, description="the same for zeros, where there were hardly any")
    max_out_of_range: float = Field(0.25, gt=0, le=1, description="share of values outside of the reference's range")
    min_excess: float = Field(
        0.5,
        ge=0,
        description="how far outside these lie on average, in widths of the range; what is nearer may be the world's",
    )
    units: bool = Field(True, description="whether values that are others times a constant are broken")
    min_factor: float = Field(5.0, gt=1, description="smallest such constant")
    persist: tuple[int, int] = Field((1, 3), description="k of the newest m looks must agree")

    @model_validator(mode="after")
    def _k_of_m(self) -> Self:
        _check_persist(self.persist)
        return self


class Multivariate(Section):
    """Whether rows as a whole are told from those of the reference: a classifier on samples."""

    enabled: bool = True
    rows: int = Field(1000, ge=100, le=5000, description="sampled rows of a window")
    min_auc: float = Field(0.65, gt=0.5, lt=1, description="smallest area under the ROC curve worth an alarm")
    max_p: float = Field(1e-6, gt=0, lt=0.5, description="largest chance of it without drift")
    persist: tuple[int, int] = Field((2, 3), description="k of the newest m looks must agree")

    @model_validator(mode="after")
    def _k_of_m(self) -> Self:
        _check_persist(self.persist)
        return self


class Monitor(Section):
    """What is watched on served traffic."""

    enabled: bool = True
    window: Window = Window()
    features: tuple[str, ...] | None = Field(None, description="features to watch; all by default")
    thresholds: Thresholds = Thresholds()
    quality: Quality = Quality()
    multivariate: Multivariate = Multivariate()
    labels: Labels = Labels()
    operational: Operational = Operational()
    attribution: Attribution = Attribution()
    reports: Reports = Reports()
    flush_s: float = Field(2.0, gt=0, le=60, description="how often a replica hands over what it served")
