"""How a new version takes over from the champion, and how it is judged while it does."""

import itertools
from typing import Literal, Self

from pydantic import Field, model_validator

from mlops_ray.spec.section import Section

__all__ = [
    "AB",
    "Analysis",
    "Bake",
    "Latency",
    "Outcome",
    "OutcomeKind",
    "Paired",
    "Predictions",
    "PromQL",
    "Rollout",
    "Shadow",
    "Step",
    "Strategy",
]

Strategy = Literal["canary", "blue-green", "shadow", "ab", "all-at-once"]
OutcomeKind = Literal["error", "squared_error", "absolute_error", "log_loss", "label"]


class Step(Section):
    """One step of a canary: a share of the units, held until the evidence is in."""

    share: float = Field(ge=0, le=1, description="share of units on the canary; 0 only with a mirror")
    mirror: float = Field(
        0.0, ge=0, le=1, description="share of the requests copied to the version after they were answered"
    )
    min_s: float = Field(60.0, ge=0, description="seconds the step lasts at least")
    max_s: float = Field(3600.0, gt=0, description="seconds after which a step without a verdict is inconclusive")
    min_requests: int = Field(100, ge=0, description="canary requests (or copies) the step needs at least")

    @model_validator(mode="after")
    def _time_for_evidence(self) -> Self:
        if self.max_s <= self.min_s:
            raise ValueError(f"max_s ({self.max_s:g}) must be above min_s ({self.min_s:g})")
        return self

    @model_validator(mode="after")
    def _something_to_see(self) -> Self:
        if self.share == 0 and self.mirror == 0:
            raise ValueError("share 0 without a mirror shows nothing; set mirror to the share of requests to copy")
        return self


class Shadow(Section):
    """The version answers copies of requests, and nobody sees its answers."""

    mirror: float = Field(0.2, gt=0, le=1, description="share of the requests that are copied")
    min_s: float = Field(300.0, ge=0)
    max_s: float = Field(3600.0, gt=0)
    min_requests: int = Field(500, ge=0, description="copies answered at least")
    then: Literal["pause", "promote"] = Field("pause", description="what a shadow that PASSes leads to")


class Bake(Section):
    """After the flip: all users on the new version, judged by absolute shares of bad events."""

    min_s: float = Field(600.0, ge=0)
    max_s: float = Field(3600.0, gt=0)
    min_requests: int = Field(500, ge=0)


class Latency(Section):
    """Time inside the model against the champion's own quantiles (waiting and the network are left out)."""

    quantiles: tuple[float, ...] = Field((0.5, 0.95, 0.99), description="of the champion; () turns this off")
    floor_ms: float = Field(5.0, ge=0, description="so much more than the champion's quantile is no harm")
    floor_ratio: float = Field(0.25, ge=0, description="nor is so much more, relative to the quantile")
    critical: bool = Field(False, description="whether it rolls back, or is only reported")

    @model_validator(mode="after")
    def _quantiles_inside(self) -> Self:
        if any(not 0 < q < 1 for q in self.quantiles) or list(self.quantiles) != sorted(set(self.quantiles)):
            raise ValueError(f"quantiles must grow and lie between 0 and 1, found {list(self.quantiles)}")
        return self


class Predictions(Section):
    """Whether the version's scores are distributed like the champion's, over the units each of them meets."""

    bins: int = Field(10, ge=0, le=50, description="of equal weight in the champion's reference; 0 turns this off")
    critical: bool = False


class Paired(Section):
    """The champion scores rows that the new version answered, too: differences on the very same rows."""

    fraction: float = Field(0.1, ge=0, le=1, description="of canary requests; every copy of a shadow is paired")
    tolerance: float | None = Field(
        None, ge=0, description="scores further apart disagree; default: another label (binary), else a tenth of one sd"
    )
    max_disagreement: float | None = Field(None, gt=0, lt=1, description="more than this share of requests is harm")
    critical: bool = True


class Outcome(Section):
    """A metric of labels that come later, one value for each labelled row."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    of: OutcomeKind = Field(description="error: wrong label (binary); label: the outcome itself, a business metric")
    better: Literal["lower", "higher"] = Field("lower", description="losses are lower when better")
    max_harm: float = Field(gt=0, description="difference of means that is too much; less is fine")
    min_labels: int = Field(50, ge=10, description="labelled rows on each side before anything is said")
    critical: bool = True
    must_have_data: bool = Field(False, description="without labels there is no PASS")

    @model_validator(mode="after")
    def _losses_are_lower(self) -> Self:
        if self.of != "label" and self.better != "lower":
            raise ValueError(f"outcome {self.name!r}: {self.of} is a loss, lower is better; remove `better`")
        return self


class PromQL(Section):
    """A query to the workspace's Prometheus for one number; `{model}`, `{version}` and `{champion}` are filled in."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    query: str = Field(min_length=1)
    max: float | None = None
    min: float | None = None
    every_s: float = Field(30.0, gt=0)
    failures: int = Field(3, ge=1, description="measurements in a row outside of the bounds that are a FAIL")
    critical: bool = True
    must_have_data: bool = False

    @model_validator(mode="after")
    def _bounded(self) -> Self:
        if self.max is None and self.min is None:
            raise ValueError(f"promql {self.name!r}: set max, min or both")
        return self


class AB(Section):
    """Fixed shares until the primary outcome says which version is better."""

    share: float = Field(0.5, gt=0, lt=1, description="share of units on the new version")
    primary: Outcome
    min_effect: float = Field(gt=0, description="smallest difference worth finding; for the power shown at the start")
    min_s: float = Field(3600.0, ge=0)
    max_s: float = Field(14 * 86_400.0, gt=0)
    min_requests: int = Field(500, ge=0)


class Analysis(Section):
    """How a version under delivery is judged; see mlops_ray/rollout for the tests."""

    alpha: float = Field(0.05, gt=0, lt=0.5, description="chance of rolling back a version that is as good, at most")
    beta: float = Field(0.05, gt=0, lt=0.5, description="chance of promoting a version that is too bad, at most")
    tolerated_ratio: float = Field(
        1.0, ge=1, description="bad events of the canary over the champion's: fine up to this"
    )
    max_ratio: float = Field(1.5, gt=1, description="a canary this much worse must not be promoted")
    max_bad_share: float = Field(
        0.02, gt=0, lt=1, description="a share of bad events below this is fine whatever the champion has"
    )
    latency: Latency = Latency()
    predictions: Predictions = Predictions()
    paired: Paired = Paired()
    outcomes: tuple[Outcome, ...] = ()
    promql: tuple[PromQL, ...] = ()
    on_inconclusive: Literal["pause", "abort"] = "pause"

    @model_validator(mode="after")
    def _ratios_in_order(self) -> Self:
        if self.max_ratio <= self.tolerated_ratio:
            raise ValueError(f"max_ratio ({self.max_ratio:g}) must be above tolerated_ratio ({self.tolerated_ratio:g})")
        return self

    @model_validator(mode="after")
    def _names_differ(self) -> Self:
        names = [*(outcome.name for outcome in self.outcomes), *(query.name for query in self.promql)]
        taken = sorted({name for name in names if names.count(name) > 1})
        if taken:
            raise ValueError(f"outcomes and promql: the name {taken[0]!r} is used twice")
        return self


_DEFAULT_STEPS = (Step(share=0.05), Step(share=0.25), Step(share=0.5))
_SECTIONS: dict[Strategy, str] = {"canary": "steps", "blue-green": "bake", "shadow": "shadow", "ab": "ab"}


class Rollout(Section):
    """How a new version takes over from the champion."""

    strategy: Strategy = "canary"
    steps: tuple[Step, ...] = Field(_DEFAULT_STEPS, min_length=1, description="of strategy canary")
    bake: Bake = Field(Bake(), description="of strategy blue-green")
    shadow: Shadow = Field(Shadow(), description="of strategy shadow")
    ab: AB | None = Field(None, description="of strategy ab")
    analysis: Analysis = Analysis()
    promotion: Literal["swap", "rolling"] = Field(
        "swap",
        description="swap: champion replicas load the version beside the old one; rolling: replicas are replaced, "
        "where two versions do not fit in memory or need another environment",
    )
    ready_timeout_s: float = Field(300.0, gt=0, description="a canary that is not ready by then is rolled back")
    keep_warm_s: float = Field(600.0, ge=0, description="how long the previous champion stays in memory")

    @property
    def plan(self) -> tuple[Step, ...]:
        """The steps of the strategy, whichever it is; none for all-at-once."""
        if self.strategy == "canary":
            return self.steps
        if self.strategy == "blue-green":
            return (Step(share=1.0, **self.bake.model_dump()),)
        if self.strategy == "shadow":
            return (Step(share=0.0, **self.shadow.model_dump(exclude={"then"})),)
        if self.strategy == "ab" and self.ab is not None:
            return (Step(**self.ab.model_dump(include={"share", "min_s", "max_s", "min_requests"})),)
        return ()

    @model_validator(mode="after")
    def _shares_grow(self) -> Self:
        shares = [step.share for step in self.steps if step.share > 0]
        if any(b <= a for a, b in itertools.pairwise(shares)) or any(
            later.share < earlier.share for earlier, later in itertools.pairwise(self.steps)
        ):
            raise ValueError(f"shares of steps must grow, found {[step.share for step in self.steps]}")
        return self

    @model_validator(mode="after")
    def _only_the_own_section(self) -> Self:
        for strategy, section in _SECTIONS.items():
            default = type(self).model_fields[section].default
            if strategy != self.strategy and getattr(self, section) != default:
                raise ValueError(f"{section} is of strategy {strategy!r}, but strategy is {self.strategy!r}")
        if self.strategy == "ab" and self.ab is None:
            raise ValueError("strategy 'ab' needs a section `ab` with share, primary and min_effect")
        return self

    @model_validator(mode="after")
    def _outcomes_have_a_champion(self) -> Self:
        if self.strategy in ("blue-green", "shadow"):
            waiting = [outcome.name for outcome in self.analysis.outcomes if outcome.must_have_data]
            if waiting:
                raise ValueError(
                    f"outcome {waiting[0]!r} must have data, but strategy {self.strategy!r} has nobody to compare it "
                    "with: blue-green leaves no user on the champion, and no user sees a shadow"
                )
        return self

    @model_validator(mode="after")
    def _times_in_order(self) -> Self:
        for section in (self.bake, self.shadow, self.ab):
            if section is not None and section.max_s <= section.min_s:
                raise ValueError(f"max_s ({section.max_s:g}) must be above min_s ({section.min_s:g})")
        return self
