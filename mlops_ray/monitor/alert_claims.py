"""Who sends what waits: claims in the store, so that of several processes one sends a message.

A delivery is claimed (who sends it, and until when nobody else may), sent, and written down as sent: each step is a
transaction of its own. A process that is killed between two of them leaves a delivery that is sent later; one that is
killed after the receiver took a message, and before that was written down, leaves one that is sent twice: under the
same id, which receivers drop repeats by.
"""

import hashlib
import logging
import os
import random
import socket
import uuid
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from mlops_ray.alerting import Alert, Message, Route
from mlops_ray.errors import AlertError
from mlops_ray.monitor.alert_outbox import AlertOutbox
from mlops_ray.monitor.alert_plan import plan
from mlops_ray.store import Change, DeliveryRecord, Event, Store

__all__ = ["LEASE_S", "AlertClaims", "Claim"]

LEASE_S = 20.0
"""For so long a claim keeps others away; it is renewed while the message is being sent."""

_ACTOR = "monitor"
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Claim:
    """A message that this process may send, and the deliveries that it makes."""

    route: Route
    message: Message
    deliveries: tuple[DeliveryRecord, ...]


class AlertClaims:
    """The deliveries of one model as one process sends them; safe in threads."""

    def __init__(self, store: Store, outbox: AlertOutbox, *, lease_s: float = LEASE_S) -> None:
        self.model = outbox.model
        self.routes = outbox.routes
        self.policy = outbox.policy
        self.lease_s = lease_s
        self._store = store
        self._owner = f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:8]}"

    def claim(self, now_s: float, *, busy: Collection[str] = (), hurry: bool = False) -> list[Claim]:
        """Messages that this process, and no other, may send now: one for each route that is not busy."""
        if not hurry and not self._store.deliveries_to_send(self.model, now_s):
            return []
        self._bury_strays(now_s)
        with self._store.bookkeeping() as change:
            found = plan(
                change.deliveries(self.model, "pending"),
                groups={route.name: route.sink.takes_groups for route in self.routes.values()},
                busy=busy,
                silences=change.silences(at_s=now_s),
                open_alerts={alert.id for alert in change.alerts(self.model, state="open")},
                now_s=now_s,
                hurry=hurry,
            )
            for row in found.write:
                change.put_delivery(row)
            claims = [self._claim(change, self.routes[name], rows, now_s) for name, rows in found.send.items()]
            if not claims and not found.write:
                change.skip()
        return claims

    def renew(self, claims: Sequence[Claim], now_s: float) -> None:
        """Keep others away from what is still being sent."""
        with self._store.bookkeeping() as change:
            for row in self._own(change, claims):
                change.put_delivery(replace(row, lease_until_s=now_s + self.lease_s))

    def sent(self, claim: Claim, now_s: float) -> None:
        """Write down that a receiver took a message."""
        news = [d for d in claim.deliveries if d.event != "repeated"]
        if not news:
            with self._store.bookkeeping() as change:
                self._write_sent(change, claim, now_s)
            return
        payload = _payload(claim) | {"attempts": claim.deliveries[0].attempts}
        with self._store.change(Event("alert.delivered", news[0].alert, payload, _ACTOR, now_s)) as change:
            if not self._write_sent(change, claim, now_s):
                change.skip()  # another process took it over, and writes what came of it

    def failed(self, claim: Claim, error: AlertError, now_s: float) -> None:
        """Write down when to try again, or that it is not tried any more."""
        first_s = claim.message.at_s
        news = [d for d in claim.deliveries if d.event != "repeated"]
        if error.final and len(claim.deliveries) > 1:
            self._part(claim, str(error), now_s)
            return
        if news and (error.final or now_s - first_s >= self.policy.give_up_after_s):
            self._bury(claim.deliveries, str(error), now_s)
            return
        next_s = now_s + max(self._backoff_s(claim.deliveries[0].attempts), error.retry_after_s)
        with self._store.bookkeeping() as change:
            for row in self._own(change, [claim]):
                released = replace(row, next_s=next_s, owner="", lease_until_s=0.0, reason=str(error), updated_s=now_s)
                change.put_delivery(released)

    def idle(self, now_s: float) -> bool:
        """Whether nobody sends anything, and nothing waits that a courier in a hurry would send."""
        pending = [d for d in self._store.deliveries(self.model, "pending") if d.route in self.routes]
        fresh = [d for d in pending if d.attempts == 0 and not d.hold and d.event != "repeated"]
        return not fresh and not any(d.lease_until_s > now_s for d in pending)

    def _claim(self, change: Change, route: Route, rows: Sequence[DeliveryRecord], now_s: float) -> Claim:
        message = rows[0].message or _message_id(self.model, rows)
        lease: dict[str, Any] = {
            "owner": self._owner,
            "lease_until_s": now_s + self.lease_s,
            "message": message,
            "updated_s": now_s,
        }
        taken = tuple(
            replace(row, attempts=row.attempts + 1, first_attempt_s=row.first_attempt_s or now_s, **lease)
            for row in rows
        )
        for row in taken:
            change.put_delivery(row)
        alerts = tuple(Alert.from_json(row.content) for row in taken)
        first_s = min(row.first_attempt_s or now_s for row in taken)
        return Claim(route, Message(message, self.model, alerts, first_s, now_s, self.policy.features), taken)

    def _own(self, change: Change, claims: Sequence[Claim]) -> list[DeliveryRecord]:
        """The rows of these claims that are still this process's."""
        rows = [change.delivery(d.id) for claim in claims for d in claim.deliveries]
        return [row for row in rows if row.owner == self._owner and row.state == "pending"]

    def _write_sent(self, change: Change, claim: Claim, now_s: float) -> bool:
        rows = self._own(change, [claim])
        for row in rows:
            if row.event != "repeated":
                done = replace(row, state="sent", hold="", owner="", lease_until_s=0.0, reason="", updated_s=now_s)
                change.put_delivery(done)
            if claim.route.sink.repeat_s is not None and row.event != "resolved":
                self._repeat(change, row, now_s + claim.route.sink.repeat_s, now_s)
        change.forget_deliveries(self.model, now_s - self.policy.keep_s)
        return bool(rows)

    def _part(self, claim: Claim, reason: str, now_s: float) -> None:
        """Send each alert by itself: what is wrong with one of them must not keep people from the others."""
        with self._store.bookkeeping() as change:
            for row in self._own(change, [claim]):
                alone = replace(row, message=_message_id(self.model, [row]), next_s=now_s, reason=reason)
                change.put_delivery(replace(alone, owner="", lease_until_s=0.0, updated_s=now_s))

    def _repeat(self, change: Change, row: DeliveryRecord, due_s: float, now_s: float) -> None:
        """Tell it again after a while, as it was told last, unless the alert is over by then."""
        if change.alert(row.alert).state != "open":
            return
        content = {**row.content, "event": "repeated", "severity_before": ""}
        again: dict[str, Any] = {
            "content": content,
            "event": "repeated",
            "message": "",
            "attempts": 0,
            "first_attempt_s": None,
        }
        free: dict[str, Any] = {"state": "pending", "owner": "", "lease_until_s": 0.0, "reason": "", "hold": ""}
        times: dict[str, Any] = {"due_s": due_s, "next_s": due_s, "created_s": now_s, "updated_s": now_s}
        change.put_delivery(replace(row, id=f"{row.alert}/0/{row.route}", number=0, **again, **free, **times))

    def _bury_strays(self, now_s: float) -> None:
        """What is for a route that the spec has no more; another process may know a newer spec, so that it waits."""
        pending = self._store.deliveries(self.model, "pending")
        strays = [d for d in pending if d.route not in self.routes and now_s - d.due_s > self.policy.give_up_after_s]
        if strays:
            self._bury(strays, "the spec has no sink of that name", now_s)

    def _bury(self, rows: Sequence[DeliveryRecord], reason: str, now_s: float) -> None:
        payload = {"route": rows[0].route, "alerts": [d.alert for d in rows], "reason": reason}
        with self._store.change(Event("alert.undelivered", rows[0].alert, payload, _ACTOR, now_s)) as change:
            current = [change.delivery(d.id) for d in rows]
            current = [d for d in current if d.state == "pending" and d.owner in ("", self._owner)]
            for row in current:
                state: Literal["dropped", "dead"] = "dropped" if row.event == "repeated" else "dead"
                dead = replace(row, state=state, owner="", lease_until_s=0.0, reason=reason, updated_s=now_s)
                change.put_delivery(dead)
            if not current:
                change.skip()
        _log.error("alerts to %s are given up: %s", rows[0].route, reason)

    def _backoff_s(self, attempts: int) -> float:
        """Twice as long after every failure, and never the same for many at once."""
        longest = min(self.policy.retry_max_s, self.policy.retry_first_s * 2.0 ** min(attempts - 1, 60))
        return longest * random.uniform(0.5, 1.0)


def _message_id(model: str, rows: Sequence[DeliveryRecord]) -> str:
    names = "\n".join(row.id if row.number else f"{row.id} {row.due_s!r}" for row in rows)
    return f"{model}-{hashlib.blake2b(names.encode(), digest_size=12).hexdigest()}"


def _payload(claim: Claim) -> dict[str, Any]:
    alerts = [{"alert": d.alert, "event": d.event} for d in claim.deliveries if d.event != "repeated"]
    return {"route": claim.route.name, "message": claim.message.id, "alerts": alerts}
