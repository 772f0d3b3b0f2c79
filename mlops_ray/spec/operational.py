"""The `monitor.operational` section: what is no fault of the data, and what retraining does not help against."""

from pydantic import Field

from mlops_ray.spec.section import Section

__all__ = ["Operational"]


class Operational(Section):
    """Errors, latency and silence of the champion, from counts of all requests; records are not needed."""

    enabled: bool = Field(True, description="raise alerts of kind `operational`; what is measured is shown in any case")
    window_s: float = Field(300.0, ge=10, le=86_400, description="length of the sliding window")
    min_requests: int = Field(200, ge=20, description="requests a window needs to be judged")
    max_error_share: float = Field(
        0.02, gt=0, lt=1, description="share of requests the champion should have answered and did not"
    )
    max_slow_share: float | None = Field(
        0.05,
        gt=0,
        lt=1,
        description="share of answers slower than serve.latency_objective_ms in queue and model; 0.01 makes the "
        "objective one for the 99th percentile; null: not judged",
    )
    quiet_s: float | None = Field(
        None, ge=10, description="no request for so long, although there were some, is an alert; null: it is not"
    )
