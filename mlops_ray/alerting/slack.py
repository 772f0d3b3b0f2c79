"""Alerts as messages of a Slack incoming webhook (Block Kit, docs.slack.dev/reference/block-kit/blocks)."""

from typing import Any

from mlops_ray.alerting.alert import Alert, Message
from mlops_ray.alerting.evidence import effects, facts, histograms, notes, samples
from mlops_ray.alerting.post import host_of, post
from mlops_ray.alerting.words import action, bars, commands, effect_line, headline, moment, subject

__all__ = ["SlackSink", "slack_body"]

_COLOURS = {"info": "#439fe0", "warning": "#daa038", "critical": "#a30200"}
_OVER = "#2eb886"
_MOST_TEXT = 2900  # Slack refuses a section of more than 3,000 characters
_MOST_ALERTS = 8  # and a message of more than 50 blocks
_MOST_WHOLE = 3
_MOST_PICTURES = 5


class SlackSink:
    """POSTs messages to an incoming webhook. Slack does not drop repeats."""

    takes_groups = True
    repeat_s: float | None = None

    def __init__(self, url: str, timeout_s: float = 10.0) -> None:
        self._url = url
        self._timeout_s = timeout_s
        self.name = f"slack {host_of(url)}"

    def send(self, message: Message) -> None:
        """POST one message.

        Raises:
            AlertError: no answer in time, or one other than 2xx.
        """
        post(self._url, slack_body(message), name=self.name, timeout_s=self._timeout_s)


def slack_body(message: Message) -> dict[str, Any]:
    """`text` for notifications, and an attachment with the colour of the severity for each alert, short where many."""
    shown = message.shown_features if len(message.alerts) <= _MOST_WHOLE else 0
    attachments = [_attachment(alert, shown) for alert in message.alerts[:_MOST_ALERTS]]
    hidden = len(message.alerts) - len(attachments)
    more = f"; {hidden} more: `mlops-ray alerts list {message.model}`" if hidden > 0 else ""
    return {"text": _escaped(subject(message)) + more, "attachments": attachments}


def _attachment(alert: Alert, most: int) -> dict[str, Any]:
    over = alert.event == "resolved"
    blocks = [_section(f"*{_escaped(headline(alert))}*"), _context(alert)]
    if not over and most:
        blocks += [_section(text) for text in _details(alert, most)]
    blocks.append(_section(f"*What to do*: {_escaped(action(alert))}"))
    blocks.append(_section("\n".join(f"`{_escaped(line)}`" for line in commands(alert))))
    return {"color": _OVER if over else _COLOURS[alert.severity], "blocks": blocks}


def _details(alert: Alert, most: int) -> list[str]:
    found = [f"• {_escaped(effect_line(effect))}" for effect in effects(alert, most)]
    found += [f"• {_escaped(note)}" for note in notes(alert, most)]
    known = [f"{name} {value}" for name, value in facts(alert).items()]
    pictures = [
        f"{h.feature} (reference, window)\n" + "\n".join(bars(h)) for h in histograms(alert, min(most, _MOST_PICTURES))
    ]
    rows = [", ".join(f"{k}={v}" for k, v in row.items()) for row in samples(alert)]
    return [
        *(["\n".join(found)] if found else []),
        *([_escaped(", ".join(known))] if known else []),
        *(_code(picture) for picture in pictures),
        *([f"Sample records\n{_code(chr(10).join(rows))}"] if rows else []),
    ]


def _context(alert: Alert) -> dict[str, Any]:
    version = "" if alert.version is None else f" v{alert.version}"
    about = f", about {', '.join(alert.features)}" if alert.features else ""
    text = f"{alert.model}{version}, {alert.kind}, {alert.severity}, since {moment(alert.raised_s)}{about}"
    return {"type": "context", "elements": [{"type": "mrkdwn", "text": _cut(_escaped(text))}]}


def _section(text: str) -> dict[str, Any]:
    return {"type": "section", "text": {"type": "mrkdwn", "text": _cut(text)}}


def _code(text: str) -> str:
    return f"```{_cut(_escaped(text).replace('```', ''), _MOST_TEXT - 40)}```"


def _cut(text: str, most: int = _MOST_TEXT) -> str:
    return text if len(text) <= most else text[: most - 3] + "..."


def _escaped(text: str) -> str:
    """Slack's three control characters (docs.slack.dev/messaging/formatting-message-text#escaping)."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
