"""The `serve` and `rollout` sections: how a version is hosted, and how a new one takes over."""

import itertools
from typing import Literal, Self

from pydantic import Field, model_validator

from mlops_ray.spec.section import Section
from mlops_ray.spec.train import Resources

__all__ = ["Analysis", "Autoscaling", "Batching", "Rollout", "Serve", "Step"]


class Autoscaling(Section):
    """Replicas between two bounds, by requests in flight."""

    min_replicas: int = Field(1, ge=1, le=1000)
    max_replicas: int = Field(1, ge=1, le=1000)
    target_ongoing_requests: float = Field(8.0, gt=0, description="requests in flight per replica to aim at")

    @model_validator(mode="after")
    def _bounds_in_order(self) -> Self:
        if self.min_replicas > self.max_replicas:
            raise ValueError(f"min_replicas ({self.min_replicas}) must not be above max_replicas ({self.max_replicas})")
        return self


class Batching(Section):
    """Requests that arrive together are predicted together."""

    max_rows: int = Field(1, ge=1, le=65_536, description="rows in one predict call; 1 turns batching off")
    max_wait_ms: float = Field(1.0, ge=0, le=1000, description="how long the first request waits for others")


class Serve(Section):
    """How a model version is hosted."""

    resources: Resources = Field(Resources(cpus=0.5), description="of one replica")
    autoscaling: Autoscaling = Autoscaling()
    canary_autoscaling: Autoscaling = Autoscaling()
    batching: Batching = Batching()
    max_ongoing_requests: int = Field(64, ge=1, le=100_000, description="per replica; more are answered 503")
    deadline_ms: float = Field(1000.0, gt=0, description="longest a request may take")
    canary_deadline_ms: float = Field(300.0, gt=0, description="after this the champion answers instead of the canary")
    latency_objective_ms: float = Field(200.0, gt=0, description="slower answers count as bad events in a rollout")
    max_rows: int = Field(10_000, ge=1, description="rows in one request")
    max_body_bytes: int = Field(16 * 2**20, ge=1024, description="size of one request body")

    @model_validator(mode="after")
    def _canary_leaves_time_for_the_champion(self) -> Self:
        if self.canary_deadline_ms >= self.deadline_ms:
            raise ValueError(
                f"canary_deadline_ms ({self.canary_deadline_ms:g}) must be below deadline_ms ({self.deadline_ms:g}), "
                "so that the champion can still answer"
            )
        return self


class Step(Section):
    """One step of a canary: a share of the units, held until the evidence is in."""

    share: float = Field(gt=0, le=1, description="share of units on the canary")
    min_s: float = Field(60.0, ge=0, description="seconds the step lasts at least")
    max_s: float = Field(3600.0, gt=0, description="seconds after which a step without a verdict is inconclusive")
    min_requests: int = Field(100, ge=0, description="canary requests the step needs at least")

    @model_validator(mode="after")
    def _time_for_evidence(self) -> Self:
        if self.max_s <= self.min_s:
            raise ValueError(f"max_s ({self.max_s:g}) must be above min_s ({self.min_s:g})")
        return self


class Analysis(Section):
    """How a canary is judged; see mlops_ray/rollout for the tests."""

    alpha: float = Field(0.05, gt=0, lt=0.5, description="chance of rolling back a version that is as good, at most")
    beta: float = Field(0.05, gt=0, lt=0.5, description="chance of promoting a version that is too bad, at most")
    tolerated_ratio: float = Field(
        1.0, ge=1, description="bad events of the canary over the champion's: fine up to this"
    )
    max_ratio: float = Field(1.5, gt=1, description="a canary this much worse must not be promoted")
    max_bad_share: float = Field(
        0.02, gt=0, lt=1, description="a share of bad events below this is fine whatever the champion has"
    )
    on_inconclusive: Literal["pause", "abort"] = "pause"

    @model_validator(mode="after")
    def _ratios_in_order(self) -> Self:
        if self.max_ratio <= self.tolerated_ratio:
            raise ValueError(f"max_ratio ({self.max_ratio:g}) must be above tolerated_ratio ({self.tolerated_ratio:g})")
        return self


class Rollout(Section):
    """How a new version takes over from the champion."""

    strategy: Literal["canary"] = "canary"
    steps: tuple[Step, ...] = Field((Step(share=0.05), Step(share=0.25), Step(share=0.5)), min_length=1)
    analysis: Analysis = Analysis()
    ready_timeout_s: float = Field(300.0, gt=0, description="a canary that is not ready by then is rolled back")
    keep_warm_s: float = Field(600.0, ge=0, description="how long the previous champion stays in memory")

    @model_validator(mode="after")
    def _shares_grow(self) -> Self:
        shares = [step.share for step in self.steps]
        if any(b <= a for a, b in itertools.pairwise(shares)):
            raise ValueError(f"shares of steps must grow, found {shares}")
        return self
