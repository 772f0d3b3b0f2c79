"""What an e-mail about alerts says, as text and as HTML that every mail client shows: tables, no scripts."""

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape

from mlops_ray.alerting.alert import Alert, Message
from mlops_ray.alerting.evidence import Effect, effects, facts, histograms, notes, samples
from mlops_ray.alerting.picture import picture
from mlops_ray.alerting.words import action, bars, commands, effect_line, headline, moment

__all__ = ["Picture", "html_of", "pictures_of", "text_of"]

_log = logging.getLogger(__name__)
_COLOURS = {"info": "#1d6fb8", "warning": "#b07408", "critical": "#a30200"}
_OVER = "#1e7d4f"
_FONT = "font-family:Helvetica,Arial,sans-serif;font-size:14px;color:#222"
_CELL = "padding:3px 14px 3px 0;text-align:left;vertical-align:top;border-bottom:1px solid #e3e6e8;font-size:13px"


@dataclass(frozen=True)
class Picture:
    """A PNG and the id by which the HTML shows it."""

    id: str
    alert: int  # its place in the message
    title: str
    png: bytes


def pictures_of(message: Message) -> list[Picture]:
    """Histograms of the top features of every alert that is not over."""
    found: list[Picture] = []
    for number, alert in enumerate(message.alerts):
        if alert.event == "resolved":
            continue
        for histogram in histograms(alert, message.shown_features):
            try:
                png = picture(histogram)
            except Exception:  # noqa: BLE001 - an alert without its picture is better than none
                _log.exception("alert %s: the picture of %s was not drawn", alert.id, histogram.feature)
                continue
            found.append(Picture(f"{message.id}-{len(found)}", number, histogram.feature, png))
    return found


def text_of(message: Message) -> str:
    """For readers without HTML; pictures are bars of letters."""
    return "\n\n\n".join(_text(alert, message.shown_features) for alert in message.alerts) + "\n"


def html_of(message: Message, pictures: Sequence[Picture]) -> str:
    """For everybody else."""
    parts = [
        _html(alert, message.shown_features, [p for p in pictures if p.alert == number])
        for number, alert in enumerate(message.alerts)
    ]
    return f'<html><body style="{_FONT}">{"<hr>".join(parts)}</body></html>'


def _about(alert: Alert) -> dict[str, str]:
    version = "" if alert.version is None else f" v{alert.version}"
    about = {"model": alert.model + version, "kind": alert.kind, "severity": alert.severity}
    about["since"] = moment(alert.raised_s)
    if alert.event == "resolved":
        about["over"] = moment(alert.at_s)
    if alert.features:
        about["features"] = ", ".join(alert.features)
    return about


def _text(alert: Alert, most: int) -> str:
    parts = [headline(alert), _pairs(_about(alert))]
    if alert.event != "resolved":
        parts += ["\n".join(effect_line(effect) for effect in effects(alert, most))]
        parts += ["\n".join(notes(alert, most)), _pairs(facts(alert))]
        parts += [f"{h.feature}: reference, window\n" + "\n".join(bars(h)) for h in histograms(alert, most)]
        rows = samples(alert)
        parts.append("\n".join(["Sample records:", *map(_row, rows)]) if rows else "")
    parts += [f"What to do: {action(alert)}", "\n".join(commands(alert))]
    return "\n\n".join(part for part in parts if part)


def _row(row: Mapping[str, str]) -> str:
    return "  " + ", ".join(f"{name}={value}" for name, value in row.items())


def _pairs(values: Mapping[str, str]) -> str:
    return "\n".join(f"{name}: {value}" for name, value in values.items())


def _html(alert: Alert, most: int, pictures: Sequence[Picture]) -> str:
    colour = _OVER if alert.event == "resolved" else _COLOURS[alert.severity]
    parts = [f'<h3 style="color:{colour};margin:12px 0 6px">{escape(headline(alert))}</h3>']
    parts.append(_table((), _about(alert).items()))
    if alert.event != "resolved":
        parts += _evidence(alert, most, pictures)
    parts.append(f"<p><b>What to do</b>: {escape(action(alert))}</p>")
    lines = "<br>".join(escape(line) for line in commands(alert))
    parts.append(f'<p style="font-family:monospace;font-size:12px;color:#555">{lines}</p>')
    return "".join(parts)


def _evidence(alert: Alert, most: int, pictures: Sequence[Picture]) -> list[str]:
    found, known, rows = effects(alert, most), facts(alert), samples(alert)
    shown = [
        f'<p><img src="cid:{p.id}" alt="{escape(p.title)}: reference and window" style="max-width:100%"></p>'
        for p in pictures
    ]
    parts = [_table(("feature", "distance", "value", "alarm from"), map(_cells, found))] if found else []
    parts += [f"<p>{'<br>'.join(map(escape, said))}</p>"] if (said := notes(alert, most)) else []
    parts += [_table((), known.items())] if known else []
    parts += shown
    if rows:
        names = list(dict.fromkeys(name for row in rows for name in row))
        cells = [[row.get(name, "") for name in names] for row in rows]
        parts += ["<p><b>Sample records</b></p>", _table(names, cells)]
    return parts


def _cells(effect: Effect) -> tuple[str, ...]:
    limit = "" if effect.threshold is None else f"{effect.threshold:.3g}"
    return effect.name, effect.measure, f"{effect.value:.3g}", limit


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    top = "".join(f'<th style="{_CELL};color:#666">{escape(name)}</th>' for name in head)
    body = "".join(
        "<tr>" + "".join(f'<td style="{_CELL}">{escape(cell)}</td>' for cell in row) + "</tr>" for row in rows
    )
    return f'<table style="border-collapse:collapse;margin:8px 0">{f"<tr>{top}</tr>" if head else ""}{body}</table>'
