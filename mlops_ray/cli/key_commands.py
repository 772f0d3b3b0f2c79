"""`keys`: who may ask models for predictions, and send outcomes."""

from typing import Annotated

import typer

from mlops_ray.cli.context import HomeOption, JsonOption, command
from mlops_ray.store import ROLES, ApiKeyRecord, Event, issue_key, keys_required

__all__ = ["add_to"]


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    keys = typer.Typer(help="API keys: who may ask models, and for what.", no_args_is_help=True)
    keys.command()(create)
    keys.command(name="list")(list_all)
    keys.command()(revoke)
    app.add_typer(keys, name="keys")


def create(
    name: Annotated[str, typer.Argument(help="Who gets the key.")],
    *,
    role: Annotated[
        list[str], typer.Option(help=f"What it is for: {', '.join(ROLES)} (all of them); may be repeated.")
    ],
    requests_per_s: Annotated[float | None, typer.Option(help="At most, in each replica [default: no limit].")] = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a key and print it: this once, because only a hash of it is kept."""
    with command(home=home, as_json=as_json) as context:
        key, record = issue_key(name, role, requests_per_s=requests_per_s, now_s=context.now_s)
        payload = {"name": name, "roles": record.roles, "requests_per_s": requests_per_s}
        with context.store.change(Event("api_key.created", record.id, payload, context.actor, context.now_s)) as change:
            change.insert_api_key(record)
        asked_for = keys_required(context.workspace)
        hint = "" if asked_for else "\nno key is asked for at present: the workspace's `auth` and `serve` say so"
        text = f"{key}\nkey {record.id} of {name}, for {', '.join(record.roles)}; it is not shown again{hint}"
        context.answer({"key": key, **_shown(record), "required": asked_for}, text)


def list_all(*, home: HomeOption = None, as_json: JsonOption = False) -> None:
    """All keys, oldest first, without what opens anything."""
    with command(home=home, as_json=as_json) as context:
        records = context.store.api_keys()
        lines = [_line(record) for record in records] or [
            "no keys; `mlops-ray keys create NAME --role infer` makes one"
        ]
        required = keys_required(context.workspace)
        content = {"keys": [_shown(record) for record in records], "required": required}
        context.answer(content, "\n".join(lines))


def revoke(
    id: Annotated[str, typer.Argument(help="Id of the key, as `keys list` shows it.")],
    *,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Let a key be of no use; replicas notice within seconds."""
    with command(home=home, as_json=as_json) as context:
        store = context.store
        with store.change(Event("api_key.revoked", id, {}, context.actor, context.now_s)) as change:
            before = change.api_key(id)
            after = change.revoke_api_key(id, context.now_s)
            if before == after:
                change.skip()
        context.answer(_shown(after), f"key {id} of {after.name} is revoked")


def _shown(record: ApiKeyRecord) -> dict[str, object]:
    return {name: value for name, value in vars(record).items() if name != "hash"}


def _line(record: ApiKeyRecord) -> str:
    rate = "" if record.requests_per_s is None else f", {record.requests_per_s:g} requests/s"
    state = "" if record.revoked_s is None else ", revoked"
    return f"{record.id}  {record.name}: {', '.join(record.roles)}{rate}{state}"
