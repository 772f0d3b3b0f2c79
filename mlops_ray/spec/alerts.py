"""The `alerts` section: who is told."""

from typing import Annotated, Literal

from pydantic import Field

from mlops_ray.spec.section import Section

__all__ = ["AlertSink", "LogSink", "WebhookSink"]


class LogSink(Section):
    """Alerts as a line of the log."""

    type: Literal["log"] = "log"


class WebhookSink(Section):
    """Alerts as a POST of Slack-compatible JSON."""

    type: Literal["webhook"]
    url: str = Field(pattern=r"^https?://", description="where to POST")
    timeout_s: float = Field(5.0, gt=0, le=60)


AlertSink = Annotated[LogSink | WebhookSink, Field(discriminator="type")]
