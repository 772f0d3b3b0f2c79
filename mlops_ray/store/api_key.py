"""API keys: what one looks like, what is kept of it, how one that was shown is recognised, and when they are asked for.

A secret is 32 random bytes: nobody finds one by trying, however fast the hash. So the hash is a fast one (BLAKE2b, with
a salt for each key), and a request costs microseconds; slow hashes protect secrets that people choose.
"""

import hashlib
import hmac
import re
import secrets
from collections.abc import Iterable
from ipaddress import ip_address
from typing import Literal
from urllib.parse import urlsplit

from mlops_ray.errors import SpecError
from mlops_ray.spec import Workspace
from mlops_ray.store.records import ApiKeyRecord

__all__ = ["ROLES", "Role", "is_loopback", "issue_key", "key_id", "keys_required", "opens"]

Role = Literal["infer", "label", "metrics", "admin"]
ROLES: tuple[Role, ...] = ("infer", "label", "metrics", "admin")
"""What a key may be for; admin implies the others."""

_SECRET_BYTES = 32
_ID_BYTES = 6
_SALT_BYTES = 16
_DIGEST_BYTES = 32
_KEY = re.compile(r"mlr_([0-9a-f]{12})_([A-Za-z0-9_-]{43})")


def issue_key(
    name: str, roles: Iterable[str], *, requests_per_s: float | None = None, now_s: float
) -> tuple[str, ApiKeyRecord]:
    """A new key as its owner gets it, once, and what is kept of it.

    Raises:
        SpecError: no name, no role, a role there is not, or a rate that is not above 0.
    """
    chosen = tuple(dict.fromkeys(roles))
    unknown = [role for role in chosen if role not in ROLES]
    if unknown or not chosen:
        raise SpecError(f"expected roles of {', '.join(ROLES)}, found {', '.join(unknown) or 'none'}")
    if not name.strip():
        raise SpecError("expected a name that says who has the key, found an empty one")
    if requests_per_s is not None and not 0 < requests_per_s < float("inf"):
        raise SpecError(f"expected a number of requests a second above 0, found {requests_per_s:g}")
    id, secret, salt = (
        secrets.token_hex(_ID_BYTES),
        secrets.token_urlsafe(_SECRET_BYTES),
        secrets.token_hex(_SALT_BYTES),
    )
    kept = f"{salt}${_digest(secret, salt)}"
    return f"mlr_{id}_{secret}", ApiKeyRecord(id, name, chosen, kept, requests_per_s, now_s)


def key_id(key: str) -> str | None:
    """The id within a key; None for what is no key."""
    found = _KEY.fullmatch(key)
    return found[1] if found else None


def opens(key: str, record: ApiKeyRecord | None) -> bool:
    """Whether `key` is the one that `record` was made of, and may be used; for no record it takes as long."""
    found = _KEY.fullmatch(key)
    salt, _, digest = (record or _NOBODY).hash.partition("$")
    same = hmac.compare_digest(_digest(found[2] if found else "", salt), digest)
    return same and found is not None and record is not None and found[1] == record.id and record.revoked_s is None


def keys_required(workspace: Workspace) -> bool:
    """Whether requests to models need a key; by `auto` unless Serve listens on a loopback address only."""
    if workspace.auth != "auto":
        return workspace.auth == "on"
    return not is_loopback(urlsplit(workspace.serve).hostname or "")


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches `host`, an address or a name.

    >>> [is_loopback(host) for host in ("127.0.0.1", "127.0.10.2", "::1", "localhost", "0.0.0.0", "ray-head")]
    [True, True, True, True, False, False]
    """
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _digest(secret: str, salt: str) -> str:
    return hashlib.blake2b(secret.encode(), salt=bytes.fromhex(salt), digest_size=_DIGEST_BYTES).hexdigest()


_NOBODY = issue_key("nobody", ["infer"], now_s=0.0)[1]
