"""The `monitor.labels` section: what is made of outcomes."""

from typing import Self

from pydantic import Field, field_validator, model_validator

from mlops_ray.spec.expression import parse_expression
from mlops_ray.spec.section import Section
from mlops_ray.spec.train import Metric

__all__ = ["BusinessMetric", "ConceptDrift", "Decay", "Estimate", "LabelDrift", "Labels", "Slices"]


class Decay(Section):
    """Performance on joined labels that counts as decayed: worse than on the holdout by more than chance, and by more
    than `max_drop`."""

    metric: Metric
    max_drop: float = Field(gt=0, description="drop against the holdout that raises an alert, in units of the metric")
    min_labels: int = Field(200, ge=20)
    level: float = Field(0.99, gt=0.5, lt=1, description="confidence that it is worse than on the holdout at all")


class ConceptDrift(Section):
    """A sequential test of the errors, in the order of the predictions: an e-CUSUM with a guaranteed run length."""

    enabled: bool = True
    run_length: int = Field(
        100_000, ge=100, description="labels between two false drift alarms, at least on average, where errors stay"
    )
    warning_run_length: int = Field(1_000, ge=10, description="the same of warnings")
    rises: tuple[float, ...] = Field(
        (0.02, 0.05, 0.1, 0.2), min_length=1, max_length=20, description="rises of the error rate that it looks for"
    )

    @model_validator(mode="after")
    def _warns_first(self) -> Self:
        if self.warning_run_length > self.run_length:
            raise ValueError(
                f"warning_run_length ({self.warning_run_length}) must not be above run_length ({self.run_length})"
            )
        if any(not 0 < rise < 1 for rise in self.rises):
            raise ValueError(f"rises are shares between 0 and 1, found {list(self.rises)}")
        return self


class LabelDrift(Section):
    """When outcomes look different from those of the training: significant, and by enough."""

    enabled: bool = True
    min_distance: float = Field(
        0.1, gt=0, le=1, description="smallest total variation distance; of two classes the difference of the rate"
    )
    level: float = Field(0.001, gt=0, lt=0.5, description="p-value of the chi-square test")
    min_labels: int = Field(200, ge=20)


class BusinessMetric(Section):
    """A metric of your own: over the counts tp, fp, tn, fn and n of all rows, or the mean over the rows of an
    expression of `label`, `prediction` (a score) and the features."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_]{0,62}$")
    expression: str = Field(min_length=1, description="such as `(20 * tp - 5 * fp) / n` or `where(label, amount, 0)`")
    threshold: float = Field(0.5, description="score from which on a row counts as positive")

    @field_validator("expression")
    @classmethod
    def _can_be_parsed(cls, text: str) -> str:
        parse_expression(text)
        return text


class Slices(Section):
    """The search for parts of the rows where errors are more frequent than elsewhere."""

    enabled: bool = True
    min_rows: int = Field(100, ge=20, description="rows of a slice")
    features: int = Field(2, ge=1, le=2, description="conditions of a slice at most")
    top: int = Field(5, ge=1, le=50, description="slices that are told")
    bins: int = Field(4, ge=2, le=10, description="of a number: as many parts of about the same size")


class Estimate(Section):
    """Performance before outcomes are there, from calibrated probabilities."""

    enabled: bool = True
    max_calibration_error: float = Field(
        0.05, gt=0, le=1, description="expected calibration error of the holdout above which nothing is estimated"
    )


class Labels(Section):
    """How outcomes come back, and what is made of them."""

    decay: Decay | None = None
    matures_s: float = Field(0.0, ge=0, description="seconds after an answer by which its outcome should be there")
    min_coverage: float = Field(
        0.5, ge=0, le=1, description="share of a window's rows with an outcome from which on it is no more provisional"
    )
    windows: int = Field(10, ge=1, le=1000, description="windows of monitor.window.size_s that performance looks back")
    concept_drift: ConceptDrift = ConceptDrift()
    label_drift: LabelDrift = LabelDrift()
    business: tuple[BusinessMetric, ...] = Field((), max_length=20)
    slices: Slices = Slices()
    estimate: Estimate = Estimate()
