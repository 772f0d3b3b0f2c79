"""The `fairness` section: how far groups of people may be treated differently."""

from typing import Literal, Self

from pydantic import Field, model_validator

from mlops_ray.spec.section import Section

__all__ = ["Fairness", "FairnessMetric"]

FairnessMetric = Literal[
    "demographic_parity_difference",
    "demographic_parity_ratio",
    "equalized_odds_difference",
    "equal_opportunity_difference",
]


class Fairness(Section):
    """One limit on how differently the groups of an attribute fare; judged by confidence limits, so few rows decide
    nothing."""

    attribute: str = Field(min_length=1, description="a feature of type category or bool, or a number with `bins`")
    metric: FairnessMetric = Field(
        description="named as in fairlearn; demographic_parity_ratio is the disparate impact"
    )
    max: float | None = Field(None, ge=0, le=1, description="largest difference allowed")
    min: float | None = Field(None, ge=0, le=1, description="smallest ratio allowed, such as 0.8")
    bins: tuple[float, ...] = Field((), description="of a number: ascending borders between groups, such as [25, 60]")
    min_rows: int = Field(100, ge=10, description="rows that a group needs to be compared")
    level: float = Field(0.95, gt=0.5, lt=1, description="confidence of the interval, over all groups together")
    gate: bool = Field(True, description="judged on the holdout before a version is delivered")
    online: bool = Field(True, description="judged on served rows whose outcome is known")

    @model_validator(mode="after")
    def _one_limit_that_fits(self) -> Self:
        wanted, other = ("min", "max") if self.metric.endswith("ratio") else ("max", "min")
        if getattr(self, wanted) is None or getattr(self, other) is not None:
            raise ValueError(f"{self.metric} takes {wanted}, and no {other}")
        if list(self.bins) != sorted(set(self.bins)):
            raise ValueError(f"bins have to ascend, found {list(self.bins)}")
        return self

    @property
    def name(self) -> str:
        """For people and as a key.

        >>> Fairness(attribute="sex", metric="demographic_parity_ratio", min=0.8).name
        'demographic_parity_ratio(sex)'
        """
        return f"{self.metric}({self.attribute})"
