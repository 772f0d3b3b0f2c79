"""What is said about an alert in every message: title, what to do, how to look further, bars made of letters."""

from collections.abc import Mapping, Sequence
from itertools import pairwise

from mlops_ray.alerting.alert import Alert, Message
from mlops_ray.alerting.evidence import Effect, Histogram, interval
from mlops_ray.alerting.moment import moment

__all__ = ["action", "bars", "commands", "effect_line", "headline", "moment", "subject"]

_ACTIONS: Mapping[str, str] = {
    "data_quality": "Repair the upstream of the named columns and send the batch again. Retraining is blocked "
    "meanwhile: a model must not learn from broken data.",
    "drift": "See which features moved, and whether the outcomes suffer. A retraining starts by itself if the spec's "
    "retrain.triggers name drift and the guards allow it.",
    "prediction_drift": "Compare the answers with the outcomes as they come in; look at the features that moved.",
    "label_drift": "Check how outcomes are collected; when they are right, retrain on the newest ones.",
    "concept_drift": "Retrain on the newest outcomes: the same features mean other outcomes now. It starts by itself "
    "if the spec's retrain.triggers name it and the guards allow it.",
    "decay": "Retrain on the newest outcomes, or roll back if a version before did better. A retraining starts by "
    "itself if the spec's retrain.triggers name decay and the guards allow it.",
    "fairness": "Look at the groups and their sizes, and decide with people before the next promotion.",
    "attribution": "Look at the features that the model relies on now; a broken or leaking one shows here first.",
    "operational": "Look at replicas, errors and latency. Retraining does not help and is not started.",
    "sample_ratio": "Do not trust the comparison of this rollout: find out why units are missing on one side, or "
    "abort it.",
}
_OTHER = "Look at the evidence."
_STATES = {"raised": "", "updated": "changed", "escalated": "more severe", "resolved": "over", "repeated": "goes on"}
_BARS = 8
_WIDTH = 12


def subject(message: Message) -> str:
    """One line about the whole message."""
    first = message.alerts[0]
    if len(message.alerts) == 1:
        return headline(first)
    kinds = list(dict.fromkeys(alert.kind for alert in message.alerts))
    worst = next(s for s in ("critical", "warning", "info") if any(a.severity == s for a in message.alerts))
    return f"[{worst}] {message.model}: {len(message.alerts)} alerts ({', '.join(kinds)})"


def headline(alert: Alert) -> str:
    """One line about one alert."""
    if alert.event == "resolved":
        return f"[resolved] {alert.model}: {alert.kind} is over: {alert.message}"
    state = _STATES[alert.event]
    return f"[{alert.severity}] {alert.model}: {alert.message}" + (f" ({state})" if state else "")


def action(alert: Alert) -> str:
    """What a person should do about it."""
    if alert.event == "resolved":
        return f"Nothing: {alert.reason}." if alert.reason else "Nothing."
    return _ACTIONS.get(alert.kind, _OTHER)


def commands(alert: Alert) -> list[str]:
    """How to look further, and how to be quiet about it."""
    return [
        f"mlops-ray alerts show {alert.id}",
        "mlops-ray status" if alert.kind == "operational" else f"mlops-ray drift {alert.model}",
        f"mlops-ray alerts silence {alert.model} --kind {alert.kind} --for 2h --reason '...'",
    ]


def effect_line(effect: Effect) -> str:
    """One feature's number beside its threshold.

    >>> effect_line(Effect("tenure", "KS", 0.3125, 0.1))
    'tenure: KS 0.312, alarm from 0.1'
    """
    limit = "" if effect.threshold is None else f", alarm from {effect.threshold:.3g}"
    return f"{effect.name}: {effect.measure} {effect.value:.3g}{limit}"


def bars(histogram: Histogram) -> list[str]:
    """A histogram as lines of text, its bins joined to a few; the bar in front is the reference.

    >>> for line in bars(Histogram("plan", ("basic", "pro"), (0.75, 0.25), (0.25, 0.75))): print(line)
    basic |############|  75.0 %  |####        |  25.0 %
    pro   |####        |  25.0 %  |############|  75.0 %
    """
    joined = _joined(histogram)
    wide = max(len(label) for label, _, _ in joined)
    most = max(max(reference, window) for _, reference, window in joined) or 1.0
    return [
        f"{label:{wide}} |{_bar(reference, most)}| {reference:6.1%}  |{_bar(window, most)}| {window:6.1%}".replace(
            "%", " %"
        )
        for label, reference, window in joined
    ]


def _bar(share: float, most: float) -> str:
    return ("#" * round(_WIDTH * share / most)).ljust(_WIDTH)


def _joined(histogram: Histogram) -> list[tuple[str, float, float]]:
    """Label, reference and window of few bins: neighbouring intervals together, the smallest categories as one."""
    rows = list(zip(histogram.labels, histogram.reference, histogram.window, strict=True))
    if len(rows) <= _BARS:
        return [(_short(label), reference, window) for label, reference, window in rows]
    if histogram.edges:
        per = -(-len(rows) // _BARS)
        starts = range(0, len(rows), per)
        edges = [histogram.edges[i] for i in starts] + [histogram.edges[-1]]
        return [_sum(interval(*pair), rows[i : i + per]) for i, pair in zip(starts, pairwise(edges), strict=True)]
    largest = sorted(rows, key=lambda row: -max(row[1:]))[: _BARS - 1]
    shown = [(_short(row[0]), *row[1:]) for row in rows if row in largest]
    return [*shown, _sum("others", [row for row in rows if row not in largest])]


def _sum(label: str, rows: Sequence[tuple[str, float, float]]) -> tuple[str, float, float]:
    return label, sum(reference for _, reference, _ in rows), sum(window for _, _, window in rows)


def _short(label: str) -> str:
    return label if len(label) <= 24 else label[:21] + "..."
