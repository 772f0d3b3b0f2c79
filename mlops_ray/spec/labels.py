"""The `monitor.labels` section: what is made of outcomes."""

from pydantic import Field

from mlops_ray.spec.section import Section
from mlops_ray.spec.train import Metric

__all__ = ["Decay", "Labels"]


class Decay(Section):
    """Performance on joined labels that counts as decayed."""

    metric: Metric
    max_drop: float = Field(gt=0, description="drop against the holdout that raises an alert, in units of the metric")
    min_labels: int = Field(200, ge=20)


class Labels(Section):
    """How outcomes come back."""

    decay: Decay | None = None
