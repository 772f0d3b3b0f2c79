"""The `alerts` and `alerting` sections: who is told of what, how soon, and how often."""

import re
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from mlops_ray.spec.section import Section

__all__ = [
    "AlertKind",
    "AlertPolicy",
    "AlertRoute",
    "AlertSeverity",
    "AlertSink",
    "AlertmanagerSink",
    "EmailSink",
    "LogSink",
    "PagerDutySink",
    "SlackSink",
    "WebhookSink",
]

AlertSeverity = Literal["info", "warning", "critical"]
AlertKind = Literal[
    "data_quality",
    "drift",
    "prediction_drift",
    "label_drift",
    "concept_drift",
    "decay",
    "fairness",
    "attribution",
    "operational",
    "sample_ratio",
]
_REFERENCE = re.compile(r"\$\{[A-Za-z_][A-Za-z0-9_]*\}")


def _reference(value: str) -> str:
    """Refuse a secret that is written out. The sentence must not show it."""
    if not _REFERENCE.fullmatch(value):
        raise ValueError("expected ${NAME}, the environment variable that holds it, found something else: it is secret")
    return value


def _http(value: str) -> str:
    """Refuse what is no URL; it may hold a secret all the same."""
    if not value.startswith(("http://", "https://", "${")):
        raise ValueError("expected a URL of http:// or https://, or ${NAME}, found something else")
    return value


_Secret = Annotated[str, AfterValidator(_reference)]
_Url = Annotated[str, AfterValidator(_http)]


class AlertRoute(Section):
    """What every sink says: which alerts it takes."""

    name: str | None = Field(
        None,
        pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$",
        description="names it in the store and in commands; by default its type and host",
    )
    min_severity: AlertSeverity = Field("info", description="only alerts at least as severe")
    kinds: tuple[AlertKind, ...] | None = Field(None, min_length=1, description="only alerts of these kinds; all")
    resolved: bool = Field(True, description="tell it too when an alert is over")


class LogSink(AlertRoute):
    """Alerts as a line of the log."""

    type: Literal["log"] = "log"


class WebhookSink(AlertRoute):
    """Alerts as a POST of JSON that holds everything."""

    type: Literal["webhook"]
    url: _Url = Field(description="where to POST; ${NAME} is replaced from the environment")
    timeout_s: float = Field(5.0, gt=0, le=60)


class SlackSink(AlertRoute):
    """Alerts as messages of a Slack incoming webhook, https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks."""

    type: Literal["slack"]
    url: _Secret = Field(description="${NAME} of the environment variable that holds the webhook's URL")
    timeout_s: float = Field(10.0, gt=0, le=60)


class PagerDutySink(AlertRoute):
    """Alerts as events of PagerDuty's Events API v2; an incident is opened, updated and resolved."""

    type: Literal["pagerduty"]
    routing_key: _Secret = Field(description="${NAME} of the environment variable that holds the integration key")
    url: _Url = Field("https://events.pagerduty.com/v2/enqueue", description="where to POST")
    timeout_s: float = Field(10.0, gt=0, le=60)


class EmailSink(AlertRoute):
    """Alerts as e-mails with pictures, by SMTP; every address is delivered to by itself."""

    type: Literal["email"]
    host: str = Field(min_length=1)
    port: int = Field(587, ge=1, le=65_535)
    security: Literal["starttls", "tls", "none"] = Field("starttls", description="tls: from the first byte, port 465")
    username: str | None = Field(None, description="who logs in; nobody by default")
    password: _Secret | None = Field(None, description="${NAME} of the environment variable that holds the password")
    sender: str = Field(pattern=r"^[^@\s<>]+@[^@\s<>]+$", description="the From address")
    to: tuple[Annotated[str, Field(pattern=r"^[^@\s<>,]+@[^@\s<>,]+$")], ...] = Field(min_length=1)
    timeout_s: float = Field(10.0, gt=0, le=60)

    @model_validator(mode="after")
    def _logs_in_safely(self) -> Self:
        if (self.username is None) != (self.password is None):
            raise ValueError("username and password go together: expected both or none, found one")
        if self.password is not None and self.security == "none":
            raise ValueError("security 'none' would send the password readable for everyone; use starttls or tls")
        return self


class AlertmanagerSink(AlertRoute):
    """Alerts for a Prometheus Alertmanager (API v2), repeated while they last: it forgets."""

    type: Literal["alertmanager"]
    url: _Url = Field(description="base URL, http://host:9093")
    repeat_s: float = Field(60.0, ge=1, le=3600, description="it forgets an alert after four times as long")
    timeout_s: float = Field(10.0, gt=0, le=60)


AlertSink = Annotated[
    LogSink | WebhookSink | SlackSink | PagerDutySink | EmailSink | AlertmanagerSink, Field(discriminator="type")
]


class AlertPolicy(Section):
    """How soon and how often people are told, and for how long a sink that is away is tried."""

    group_s: float = Field(
        10.0, ge=0, le=3600, description="alerts of the model within this time go out as one message"
    )
    cooldown_s: float = Field(
        3600.0,
        ge=0,
        description="a sink hears of the same version and kind once in this time; a higher severity is told at once",
    )
    retry_first_s: float = Field(1.0, gt=0, description="wait after the first failure; doubles with every further one")
    retry_max_s: float = Field(300.0, gt=0, description="longest wait between two attempts")
    give_up_after_s: float = Field(
        86_400.0, gt=0, description="a delivery that failed for so long is dead, until somebody asks for it again"
    )
    keep_s: float = Field(2_592_000.0, gt=0, description="how long the store remembers what was told")
    features: int = Field(5, ge=0, le=20, description="features shown with numbers, and a picture where there is one")
    samples: int = Field(
        3, ge=0, le=20, description="records shown; 0 where sinks must not see what people sent to the model"
    )

    @model_validator(mode="after")
    def _remembers_long_enough(self) -> Self:
        if self.keep_s < self.cooldown_s:
            raise ValueError(f"keep_s ({self.keep_s:g}) must not be below cooldown_s ({self.cooldown_s:g})")
        if self.retry_max_s < self.retry_first_s:
            raise ValueError(
                f"retry_max_s ({self.retry_max_s:g}) must not be below retry_first_s ({self.retry_first_s:g})"
            )
        return self
