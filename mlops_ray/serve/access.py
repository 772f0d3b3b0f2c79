"""Who may ask a replica: the keys it knows, what each is for, and how often each may ask."""

import asyncio
import hashlib
import logging
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from mlops_ray.errors import RequestError
from mlops_ray.serve.rate_limit import TokenBucket
from mlops_ray.spec import Workspace
from mlops_ray.store import ROLES, ApiKeyRecord, Role, Store, is_loopback, key_id, keys_required, opens

__all__ = ["Access", "Caller"]

_POLL_S = 2.0
_log = logging.getLogger(__name__)
Headers = Mapping[bytes, bytes]


@dataclass(frozen=True, slots=True)
class Caller:
    """Who a request comes from."""

    id: str
    name: str
    roles: frozenset[str]
    bucket: TokenBucket | None


@dataclass(frozen=True, slots=True)
class _Known:
    """The keys as they were read last, swapped as one pointer."""

    records: Mapping[str, ApiKeyRecord]
    callers: Mapping[str, Caller]
    # Keys that were right, by a digest nobody can choose: looking one up says nothing about its secret.
    remembered: dict[bytes, Caller]


class Access:
    """What one replica knows of keys; used on its event loop, refreshed from another thread.

    With `required` off nothing is checked, except that with `only_here` a request from another machine is refused:
    keys are off then because nobody else was expected.
    """

    def __init__(
        self,
        keys: Callable[[], Sequence[ApiKeyRecord]] = tuple,
        *,
        required: bool = False,
        only_here: bool = False,
    ) -> None:
        self.required = required
        self._keys = keys
        self._only_here = only_here and not required
        self._known = _Known({}, {}, {})
        self._pepper = secrets.token_bytes(16)
        if required:
            self.refresh()

    @classmethod
    def of(cls, workspace: Workspace, store: Store) -> "Access":
        """What the workspace asks for, with the keys of its store.

        Raises:
            StoreError: keys are required, and the store does not say which there are.
        """
        required = keys_required(workspace)
        return cls(store.api_keys, required=required, only_here=workspace.auth == "auto")

    @property
    def checks(self) -> bool:
        """Whether there is anything to check."""
        return self.required or self._only_here

    def refresh(self) -> None:
        """Read the keys again; may block, and may be called on any thread.

        Raises:
            StoreError: the store does not answer; what was known stays.
        """
        records = {record.id: record for record in self._keys() if record.revoked_s is None}
        if records != self._known.records:
            callers = {id: self._caller(record) for id, record in records.items()}
            self._known = _Known(records, callers, {})

    async def watch(self) -> None:
        """Refresh every other second, for as long as this runs."""
        loop = asyncio.get_running_loop()
        while self.required:
            await asyncio.sleep(_POLL_S)
            try:
                await loop.run_in_executor(None, self.refresh)
            except Exception as error:  # noqa: BLE001 - a replica goes on answering whatever the store does
                _log.warning("keys not read: %s", error)

    def check(self, headers: Headers, role: Role | None, *, peer: str = "") -> Caller | None:
        """Who asks; None where no key is needed. Without `role` any key will do. `peer` is the client's address.

        Raises:
            RequestError: 401 for no key or one that is not known, 403 for one that is for something else, or for a
                request from another machine where keys are off.
        """
        if not self.required:
            if self._only_here and peer and not peer.startswith("127.") and not is_loopback(peer):
                raise RequestError(
                    f"requests from {peer} are refused: API keys are off, because the workspace serves this machine "
                    "only; set MLOPS_RAY_AUTH=on and make a key with `mlops-ray keys create`, or set it to off",
                    status=403,
                )
            return None
        caller = self._who(headers)
        if role is not None and role not in caller.roles:
            held = ", ".join(sorted(caller.roles))
            raise RequestError(f"key {caller.name!r} is for {held}; this needs the role {role}", status=403)
        return caller

    def _who(self, headers: Headers) -> Caller:
        shown = _shown(headers)
        if not shown:
            raise RequestError(
                "expected an API key in the header Authorization (Bearer mlr_...) or x-api-key, found none; "
                "`mlops-ray keys create` makes one",
                status=401,
            )
        digest = hashlib.blake2b(shown, digest_size=16, key=self._pepper).digest()
        known = self._known
        caller = known.remembered.get(digest)
        return caller if caller is not None else _recognised(shown, digest, known)

    def _caller(self, record: ApiKeyRecord) -> Caller:
        roles = {*record.roles, *(ROLES if "admin" in record.roles else ())}
        return Caller(record.id, record.name, frozenset(roles), self._bucket(record))

    def _bucket(self, record: ApiKeyRecord) -> TokenBucket | None:
        if record.requests_per_s is None:
            return None
        before = self._known.callers.get(record.id)
        if before is not None and before.bucket is not None and before.bucket.per_s == record.requests_per_s:
            return before.bucket  # what was used stays used
        return TokenBucket(record.requests_per_s, time.monotonic())


def _recognised(shown: bytes, digest: bytes, known: _Known) -> Caller:
    key = shown.decode("latin-1")
    record = known.records.get(key_id(key) or "")
    if not opens(key, record) or record is None:
        raise RequestError("the API key is not known, or was revoked", status=401)
    caller = known.remembered[digest] = known.callers[record.id]
    return caller


def _shown(headers: Headers) -> bytes:
    """The key as it was sent; empty for none."""
    authorization = headers.get(b"authorization", b"")
    if authorization[:7].lower() == b"bearer ":
        return authorization[7:].strip()
    return headers.get(b"x-api-key", b"")
