"""What a courier does next with deliveries that wait: send, hold back or drop. Pure: no clock, no store."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

from mlops_ray.alerting import rank
from mlops_ray.store import DeliveryRecord, SilenceRecord

__all__ = ["TELLING", "Plan", "cooldown_until", "is_waiting", "plan", "silenced"]

TELLING = ("raised", "updated", "escalated")
"""Events that are news; silences and cooldowns hold them back, and nothing else."""

_MOST_TOGETHER = 20


@dataclass
class Plan:
    """What is to be sent, as one message for each route, and what is written down without sending anything."""

    send: dict[str, list[DeliveryRecord]] = field(default_factory=dict)
    write: list[DeliveryRecord] = field(default_factory=list)


def silenced(
    model: str, kind: str, features: Collection[str], silences: Sequence[SilenceRecord]
) -> SilenceRecord | None:
    """The silence that keeps an alert quiet longest; `silences` are those in force.

    A silence of one feature keeps an alert quiet only together with silences of all its other features; then the one
    that ends first counts.
    """
    fitting = [s for s in silences if s.model in (None, model) and s.kind in (None, kind)]
    whole = [s for s in fitting if s.feature is None]
    by_feature = [
        max((s for s in fitting if s.feature == name), key=lambda s: s.until_s, default=None) for name in features
    ]
    parts = [s for s in by_feature if s is not None]
    if parts and len(parts) == len(by_feature):
        whole.append(min(parts, key=lambda s: s.until_s))
    return max(whole, key=lambda s: s.until_s, default=None)


def cooldown_until(known: Sequence[DeliveryRecord], severity: str, cooldown_s: float) -> float:
    """Until when a route hears nothing more of what `known` told it; what was less severe does not count."""
    told = [
        d.due_s
        for d in known
        if d.event in TELLING and d.state in ("sent", "pending") and rank(d.severity) >= rank(severity)
    ]
    return max(told, default=float("-inf")) + cooldown_s


def is_waiting(delivery: DeliveryRecord) -> bool:
    """Whether it may still be changed: nobody has tried to send it, so that no receiver can know it."""
    return delivery.state == "pending" and not delivery.message


def plan(
    pending: Sequence[DeliveryRecord],
    *,
    groups: Mapping[str, bool],
    busy: Collection[str],
    silences: Sequence[SilenceRecord],
    open_alerts: Collection[str],
    now_s: float,
    hurry: bool = False,
) -> Plan:
    """Decide on all pending deliveries of one model, oldest first.

    `groups` says of each known route whether it takes several alerts in one message; `busy` are those that send at
    the moment. With `hurry` nothing waits for company.
    """
    result = Plan()
    for route, grouping in groups.items():
        rows = [d for d in pending if d.route == route]
        if route in busy or any(d.lease_until_s > now_s for d in rows):
            continue
        ready = _without_quiet(rows, result.write, silences, open_alerts, now_s)
        dropped = {d.id for d in result.write if d.state == "dropped"}
        chosen = _next(ready, [d for d in rows if d.id not in dropped], grouping, now_s, hurry)
        if chosen:
            result.send[route] = chosen
    return result


def _without_quiet(
    rows: Sequence[DeliveryRecord],
    write: list[DeliveryRecord],
    silences: Sequence[SilenceRecord],
    open_alerts: Collection[str],
    now_s: float,
) -> list[DeliveryRecord]:
    """The rows that may be sent; what a silence holds back, and what is of no use any more, goes to `write`."""
    over = {d.alert for d in rows if d.event == "resolved"}
    quiet = {d.id: s for d in rows if (s := _silence_of(d, silences, now_s)) is not None}
    unheard = {d.alert for d in rows if d.id in quiet and d.number == 1 and d.alert in over}
    ready = []
    for row in rows:
        if (row.alert in unheard and is_waiting(row)) or (row.id in quiet and row.alert in over):
            write.append(replace(row, state="dropped", reason="over before it was told", updated_s=now_s))
        elif row.event == "repeated" and row.alert not in open_alerts:
            write.append(replace(row, state="dropped", reason="over", updated_s=now_s))
        elif row.id in quiet:
            silence = quiet[row.id]
            held = replace(row, hold=f"silence {silence.id}", due_s=silence.until_s, next_s=silence.until_s)
            write.append(replace(held, updated_s=now_s))
        else:
            ready.append(row)
    return ready


def _silence_of(row: DeliveryRecord, silences: Sequence[SilenceRecord], now_s: float) -> SilenceRecord | None:
    if row.event not in TELLING or not is_waiting(row) or (row.hold and row.next_s > now_s):
        return None
    return silenced(row.model, row.content["kind"], row.content["features"], silences)


def _next(
    ready: Sequence[DeliveryRecord], rows: Sequence[DeliveryRecord], grouping: bool, now_s: float, hurry: bool
) -> list[DeliveryRecord]:
    """The rows of the next message of a route; none while none is due. `rows` are all that people are still to hear."""
    for row in ready:
        due = row.next_s <= now_s or (hurry and row.event != "repeated" and is_waiting(row) and not row.hold)
        if not due:
            continue
        chosen = _together(row, ready, rows, grouping, now_s)
        if all(_in_order(d, chosen, rows) for d in chosen):
            return chosen
    return []


def _together(
    row: DeliveryRecord, ready: Sequence[DeliveryRecord], rows: Sequence[DeliveryRecord], grouping: bool, now_s: float
) -> list[DeliveryRecord]:
    if row.message:
        return [d for d in ready if d.message == row.message]
    if not grouping:
        return [row]
    chosen: list[DeliveryRecord] = []
    for other in ready:
        if (other.event == "repeated") != (row.event == "repeated"):
            continue  # news can be given up, repetitions never are
        ripe = other.next_s <= now_s or (not other.hold and other.event != "repeated")
        if is_waiting(other) and ripe and _in_order(other, chosen, rows) and len(chosen) < _MOST_TOGETHER:
            chosen.append(other)
    return chosen


def _in_order(row: DeliveryRecord, chosen: Sequence[DeliveryRecord], rows: Sequence[DeliveryRecord]) -> bool:
    """Whether everything that happened to the alert before is sent, or is sent with it."""
    earlier = {d.id for d in rows if d.alert == row.alert and 0 < d.number < row.number}
    return earlier <= {d.id for d in chosen}
