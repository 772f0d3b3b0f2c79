"""`alerts`: what is wrong with models, who was told, and how to be quiet about it."""

import re
import secrets
from dataclasses import replace
from typing import Annotated, Any

import typer

from mlops_ray.cli.context import HomeOption, JsonOption, command
from mlops_ray.errors import NotFoundError, SpecError
from mlops_ray.store import AlertRecord, Change, DeliveryRecord, Event, SilenceRecord

__all__ = ["add_to"]

ModelOption = Annotated[str | None, typer.Argument(help="Name of the model [default: all].")]

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    alerts = typer.Typer(help="Alerts: what is wrong, who was told, and silences.", no_args_is_help=True)
    alerts.command(name="list")(list_all)
    alerts.command()(show)
    alerts.command()(silence)
    alerts.command()(unsilence)
    alerts.command()(silences)
    alerts.command()(deliveries)
    alerts.command()(redeliver)
    app.add_typer(alerts, name="alerts")


def list_all(
    model: ModelOption = None,
    *,
    resolved: Annotated[bool, typer.Option("--resolved", help="Also those that are over.")] = False,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Alerts, oldest first."""
    with command(home=home, as_json=as_json) as context:
        records = context.store.alerts(model, state=None if resolved else "open")
        lines = [f"{r.id} ({r.state}, {r.severity}): {r.message}" for r in records]
        context.answer({"alerts": records}, "\n".join(lines) or "no open alerts")


def show(
    id: Annotated[str, typer.Argument(help="Id of the alert.")],
    *,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """One alert: evidence, pictures, sample records, what to do, and who was told."""
    with command(home=home, as_json=as_json) as context:
        store = context.store
        record, told = store.alert(id), store.deliveries(alert=id)
        lines = [_line(d) for d in told if d.event != "repeated"]
        text = "\n".join([_text(record, context.now_s), "Told:", *(lines or ["nobody: no route takes it"])])
        context.answer({"alert": record, "deliveries": [_shown(d) for d in told]}, text)


def silence(
    model: ModelOption = None,
    *,
    lasting: Annotated[str, typer.Option("--for", help="How long: 30m, 2h, 1d.")],
    reason: Annotated[str, typer.Option(help="Why, for the audit chain.")],
    kind: Annotated[str | None, typer.Option(help="Only alerts of this kind.")] = None,
    feature: Annotated[str | None, typer.Option(help="Only alerts that are about this feature alone.")] = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Hold back what there is to tell of some alerts; what still lasts is told when the silence ends."""
    with command(home=home, as_json=as_json) as context:
        if model is None and kind is None and feature is None:
            raise SpecError("a silence needs a model, --kind or --feature; expected one of them, found none")
        now_s = context.now_s
        record = SilenceRecord(
            id=f"silence-{secrets.token_hex(4)}",
            model=model,
            kind=kind,
            feature=feature,
            reason=reason,
            author=context.actor,
            from_s=now_s,
            until_s=now_s + _seconds(lasting),
        )
        with context.store.change(Event("alerts.silenced", record.id, _json(record), context.actor, now_s)) as change:
            if model is not None and change.model(model) is None:
                raise NotFoundError(f"there is no model {model!r}")
            change.put_silence(record)
        context.answer(record, f"{record.id}: {_matched(record)} is quiet for {lasting}")


def unsilence(
    id: Annotated[str, typer.Argument(help="Id of the silence.")],
    *,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """End a silence now; what it held back is told."""
    with command(home=home, as_json=as_json) as context:
        now_s = context.now_s
        with context.store.change(Event("alerts.unsilenced", id, {}, context.actor, now_s)) as change:
            record = change.silence(id)
            if record.until_s <= now_s:
                change.skip()
            else:
                record = replace(record, until_s=now_s)
                change.put_silence(record)
                for held in [d for d in change.deliveries(state="pending") if d.hold == f"silence {id}"]:
                    change.put_delivery(replace(held, hold="", due_s=now_s, next_s=now_s, updated_s=now_s))
        context.answer(record, f"{id} is over")


def silences(
    *,
    ended: Annotated[bool, typer.Option("--ended", help="Also those that are over.")] = False,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Silences in force, oldest first."""
    with command(home=home, as_json=as_json) as context:
        from mlops_ray.alerting.words import moment

        records = context.store.silences(at_s=None if ended else context.now_s)
        lines = [f"{r.id}  {_matched(r)}, until {moment(r.until_s)}, {r.author}: {r.reason}" for r in records]
        context.answer({"silences": records}, "\n".join(lines) or "no silences")


def deliveries(
    model: ModelOption = None,
    *,
    dead: Annotated[bool, typer.Option("--dead", help="Only those that were given up.")] = False,
    alert: Annotated[str | None, typer.Option(help="Only those of this alert.")] = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Who was told what, who is still to be told, and who could not be, oldest first."""
    with command(home=home, as_json=as_json) as context:
        found = context.store.deliveries(model, "dead" if dead else None, alert=alert)
        lines = [_line(d) for d in found]
        context.answer({"deliveries": [_shown(d) for d in found]}, "\n".join(lines) or "no deliveries")


def redeliver(
    id: Annotated[str | None, typer.Argument(help="Id of a delivery [default: all that were given up].")] = None,
    *,
    model: Annotated[str | None, typer.Option(help="Only those of this model.")] = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Try again what was given up, under the same message id."""
    with command(home=home, as_json=as_json) as context:
        store, now_s = context.store, context.now_s
        wanted = store.delivery(id) if id is not None else None
        if wanted is not None and wanted.state != "dead":
            raise NotFoundError(f"expected a delivery that was given up, found {id!r}, which is {wanted.state}")
        subject = id or model or "all"
        with store.change(Event("alerts.redelivered", subject, {}, context.actor, now_s)) as change:
            dead = change.deliveries(model, "dead")
            if wanted is not None:
                # A message goes out whole.
                dead = [d for d in dead if d.id == id or (d.message and d.message == wanted.message)]
            over = [d for d in dead if _is_over(change, d)]
            again = [d for d in dead if d not in over]
            for delivery in over:
                reason = "the end of the alert was told meanwhile"
                change.put_delivery(replace(delivery, state="dropped", reason=reason, updated_s=now_s))
            for delivery in again:
                change.put_delivery(_fresh(delivery, now_s))
            if not dead:
                change.skip()
        text = f"{len(again)} deliveries are tried again"
        text += f"; {len(over)} are not: the end of their alerts was told meanwhile" if over else ""
        context.answer({"redelivered": [d.id for d in again], "dropped": [d.id for d in over]}, text)


def _is_over(reads: Change, delivery: DeliveryRecord) -> bool:
    """Whether telling it now would open again what a receiver knows to be over."""
    later = reads.deliveries(alert=delivery.alert, route=delivery.route)
    return any(d.event == "resolved" and d.state == "sent" and d.number > delivery.number for d in later)


def _fresh(delivery: DeliveryRecord, now_s: float) -> DeliveryRecord:
    again = replace(delivery, state="pending", attempts=0, first_attempt_s=None, hold="", owner="", lease_until_s=0.0)
    return replace(again, due_s=now_s, next_s=now_s, updated_s=now_s)


def _seconds(lasting: str) -> float:
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd])", lasting)
    if not found or float(found[1]) == 0:
        raise SpecError(f"--for: expected a number with s, m, h or d, as in 2h, found {lasting!r}")
    return float(found[1]) * _UNITS[found[2]]


def _matched(record: SilenceRecord) -> str:
    named = {"model": record.model, "kind": record.kind, "feature": record.feature}
    return " ".join(f"{name} {value}" for name, value in named.items() if value is not None)


def _json(record: SilenceRecord) -> dict[str, Any]:
    return {name: value for name, value in vars(record).items() if name != "id"}


def _shown(delivery: DeliveryRecord) -> dict[str, Any]:
    return {name: value for name, value in vars(delivery).items() if name != "content"}


def _line(delivery: DeliveryRecord) -> str:
    hold = f", held back by {delivery.hold}" if delivery.hold and delivery.state == "pending" else ""
    tried = f" after {delivery.attempts} attempts" if delivery.attempts > 1 else ""
    reason = f": {delivery.reason}" if delivery.reason else ""
    return f"{delivery.id}  {delivery.event}, {delivery.state}{tried}{hold}{reason}"


def _text(record: AlertRecord, now_s: float) -> str:
    from mlops_ray.alerting import Alert, Message, text_of

    event: Any = "resolved" if record.state == "resolved" else "raised"
    severity: Any = record.severity
    alert = Alert(
        id=record.id,
        model=record.model,
        kind=record.kind,
        severity=severity,
        message=record.message,
        features=record.features,
        evidence=record.evidence,
        at_s=record.updated_s,
        version=record.version,
        event=event,
        raised_s=record.at_s,
    )
    return text_of(Message(record.id, record.model, (alert,), now_s, now_s))
