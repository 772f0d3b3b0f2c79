"""How a model is hosted: replicas, batching, limits, records."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from mlops_ray.spec.explain import Explain
from mlops_ray.spec.section import Section
from mlops_ray.spec.train import Resources

__all__ = ["Autoscaling", "Batching", "CanaryAutoscaling", "Capture", "CapturePolicy", "Serve", "Validate"]

CapturePolicy = Literal["keep", "hash", "drop"]
Validate = Literal["off", "warn", "reject"]


def _without_yaml_booleans(value: Any) -> Any:
    """YAML reads the word off as false."""
    return "off" if value is False else value


class Autoscaling(Section):
    """Replicas between two bounds, by requests in flight."""

    min_replicas: int = Field(1, ge=1, le=1000)
    max_replicas: int = Field(1, ge=1, le=1000)
    target_ongoing_requests: float = Field(8.0, gt=0, description="requests in flight per replica to aim at")
    upscale_delay_s: float = Field(30.0, ge=0, le=3600, description="more replicas are wanted for so long first")
    downscale_delay_s: float = Field(600.0, ge=1, le=86_400, description="fewer replicas are wanted for so long first")

    @model_validator(mode="after")
    def _bounds_in_order(self) -> Self:
        if self.min_replicas > self.max_replicas:
            raise ValueError(f"min_replicas ({self.min_replicas}) must not be above max_replicas ({self.max_replicas})")
        return self


class CanaryAutoscaling(Autoscaling):
    """As for the champion, and down to no replica at all while nothing is asked of the version."""

    min_replicas: int = Field(1, ge=0, le=1000, description="0 lets replicas go while no request comes")


class Batching(Section):
    """Requests that arrive together are predicted together."""

    max_rows: int = Field(1, ge=1, le=65_536, description="rows in one predict call; 1 turns batching off")
    max_wait_ms: float = Field(5.0, ge=0, le=1000, description="how long the first request waits for others at most")
    target_ms: float = Field(
        50.0,
        gt=0,
        description="waiting and predicting aim below this; size and wait adapt between 1 row and the maxima",
    )


class Capture(Section):
    """What is kept of each answered request."""

    enabled: bool = Field(True, description="without records there is no evidence, no drift and no labels to join")
    fields: Mapping[str, CapturePolicy] = Field(
        default_factory=dict, description="by feature, or `unit`: keep (default), hash, or drop"
    )


class Tracing(Section):
    """OpenTelemetry traces, sent to the collector that OTEL_EXPORTER_OTLP_ENDPOINT names on the nodes."""

    sample: float = Field(
        0.0, ge=0, le=1, description="share of requests to trace; above 0 also all whose client traces them. 0: none"
    )


class Serve(Section):
    """How a model version is hosted."""

    resources: Resources = Field(Resources(cpus=0.5), description="of one replica")
    memory_mb: int | None = Field(None, ge=64, description="a replica that uses more ends and is replaced")
    autoscaling: Autoscaling = Autoscaling()
    canary_autoscaling: CanaryAutoscaling = CanaryAutoscaling()
    batching: Batching = Batching()
    capture: Capture = Capture()
    tracing: Tracing = Tracing()
    explain: Explain = Explain()
    validation: Annotated[Validate, BeforeValidator(_without_yaml_booleans, json_schema_input_type=Validate)] = Field(
        "warn",
        description="a request that breaks a rule of its features is answered and warned (warn), answered 422 (reject; "
        "rules of severity warn only warn), or not looked at (off)",
    )
    max_ongoing_requests: int = Field(64, ge=1, le=100_000, description="per replica; more are answered 503")
    deadline_ms: float = Field(1000.0, gt=0, description="longest a request may take")
    canary_deadline_ms: float = Field(300.0, gt=0, description="after this the champion answers instead of the canary")
    canary_coalesce_ms: float = Field(
        0.0, ge=0, le=100, description="requests for the canary travel together for so long; 0: one event-loop turn"
    )
    latency_objective_ms: float = Field(
        200.0, gt=0, description="in queue and model; slower answers count as bad events in a rollout"
    )
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
