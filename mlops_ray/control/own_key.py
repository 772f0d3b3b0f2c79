"""The API key of the control actor itself: it asks versions over HTTP, like everybody else."""

from mlops_ray.store import Event, Store, issue_key

__all__ = ["own_key"]

_NAME = "control"


def own_key(store: Store, *, now_s: float) -> str:
    """A new key for requests to models; those of earlier control actors are revoked, their secrets died with them."""
    key, record = issue_key(_NAME, ["infer"], now_s=now_s)
    former = [known.id for known in store.api_keys() if known.name == _NAME and known.revoked_s is None]
    payload = {"name": _NAME, "roles": ["infer"], "replaces": former}
    with store.change(Event("api_key.created", record.id, payload, "control", now_s)) as change:
        for id in former:
            change.revoke_api_key(id, now_s)
        change.insert_api_key(record)
    return key
