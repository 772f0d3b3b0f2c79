"""The `monitor` section: what is watched on served traffic."""

from typing import Self

from pydantic import Field, model_validator

from mlops_ray.spec.explain import Attribution, Reports
from mlops_ray.spec.labels import Labels
from mlops_ray.spec.operational import Operational
from mlops_ray.spec.section import Section

__all__ = ["Monitor", "Thresholds", "Window"]


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
    """When a feature counts as drifted: significant, and by enough, and long enough."""

    fdr: float = Field(0.001, gt=0, lt=0.5, description="Benjamini-Hochberg false discovery rate over the features")
    min_ks: float = Field(0.1, gt=0, le=1, description="smallest Kolmogorov-Smirnov distance worth an alarm")
    min_js: float = Field(0.05, gt=0, le=1, description="smallest Jensen-Shannon divergence (bits) worth an alarm")
    min_psi: float = Field(0.2, gt=0, description="smallest population stability index worth an alarm")
    persist: tuple[int, int] = Field((2, 3), description="k of the newest m judgements must agree")

    @model_validator(mode="after")
    def _k_of_m(self) -> Self:
        k, m = self.persist
        if not 1 <= k <= m:
            raise ValueError(f"persist is (k, m) with 1 <= k <= m, found ({k}, {m})")
        return self


class Monitor(Section):
    """What is watched on served traffic."""

    enabled: bool = True
    window: Window = Window()
    features: tuple[str, ...] | None = Field(None, description="features to watch; all by default")
    thresholds: Thresholds = Thresholds()
    labels: Labels = Labels()
    operational: Operational = Operational()
    attribution: Attribution = Attribution()
    reports: Reports = Reports()
    flush_s: float = Field(2.0, gt=0, le=60, description="how often a replica hands over what it served")
