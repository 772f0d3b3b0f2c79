"""The admin plane over HTTP, `/v2/admin/...`: what the commands that steer do, for keys with the role admin."""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, is_dataclass
from typing import Annotated, Any
from urllib.parse import parse_qs, urlsplit

import msgspec

from mlops_ray.control import operations
from mlops_ray.control.inspection import analysis_of
from mlops_ray.control.overview import overview
from mlops_ray.errors import (
    ConflictError,
    GateError,
    MlopsRayError,
    NotFoundError,
    RequestError,
    RolloutError,
    SpecError,
)
from mlops_ray.serve import (
    ADMIN,
    Access,
    Headers,
    Receive,
    Response,
    Scope,
    Send,
    error_response,
    json_response,
    read_body,
    send_response,
)
from mlops_ray.spec import is_address
from mlops_ray.store import Store

__all__ = ["AdminApp"]

_LIMIT_BYTES = 64 * 1024
_WITHIN_S = 10.0
_DIGITS = 9
_STATUS: tuple[tuple[type[MlopsRayError], int], ...] = (
    (NotFoundError, 404),
    (ConflictError, 409),
    (GateError, 409),
    (RolloutError, 409),
    (SpecError, 422),
)
_COMMANDS = ("promote", "pause", "resume", "abort")


class _Order(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the body of an order may say."""

    reason: Annotated[str, msgspec.Meta(max_length=2000)] = ""
    by: Annotated[str, msgspec.Meta(max_length=200)] = ""
    version: Annotated[int, msgspec.Meta(ge=1, lt=2**31)] | None = None


@dataclass(frozen=True)
class _Ordered:
    """An order, whom it comes from, and what it is about."""

    model: str
    order: _Order
    by: str
    now_s: float


_orders = msgspec.json.Decoder(_Order)
_log = logging.getLogger(__name__)


class AdminApp:
    """Answers people and their tools; every order is one transaction with one event of the audit chain.

    In there an order is by the name of the key that was shown. Where keys are off, it is by whom the body says, and two
    things keep foreign web pages out: a body has to say that it is JSON, which none of their forms can, and the host
    has to be asked for by its address, which a name that was turned on this machine is not.
    """

    def __init__(self, store: Store, access: Access, *, clock: Callable[[], float] = time.time) -> None:
        self._store = store
        self._access = access
        self._clock = clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one HTTP request to a path under `ADMIN`."""
        try:
            response = await self._respond(scope, receive)
        except RequestError as error:
            response = error_response(error.message, error.status, path=error.path)
        except MlopsRayError as error:
            status = next((status for kind, status in _STATUS if isinstance(error, kind)), 503)
            response = error_response(str(error), status)
        except Exception:  # noqa: BLE001 - the border to a client, who gets no stack trace
            _log.exception("an order was not carried out: %s %s", scope["method"], scope["path"])
            response = error_response("the server failed to answer; its log says why", 500)
        await send_response(send, response)

    async def _respond(self, scope: Scope, receive: Receive) -> Response:
        headers: Headers = dict(scope["headers"])
        client = scope.get("client")
        caller = self._access.check(headers, "admin", peer=client[0] if client else "")
        if caller is None:
            _refuse_names(headers)
        parts = [part for part in scope["path"].removeprefix(ADMIN).split("/") if part]
        if scope["method"] in ("GET", "HEAD"):
            query = parse_qs(scope.get("query_string", b"").decode("latin-1"))
            return json_response(await _aside(self._shown, parts, query))
        if scope["method"] != "POST":
            return error_response(f"method {scope['method']} is not for this path", 405, allow="GET, HEAD, POST")
        order = await _order(headers, receive)
        if caller is not None and order.by:
            raise RequestError("an order is by the name of its key; leave `by` out", "$.by", status=422)
        by = caller.name if caller is not None else order.by or "http"
        return json_response(_plain(await _aside(self._carried_out, parts, order, by)))

    # -- on another thread: the store may make it wait ----------------------------------------------------------------

    def _shown(self, parts: list[str], query: Mapping[str, list[str]]) -> Any:
        match parts:
            case ["models"]:
                return overview(self._store)
            case ["models", name]:
                operations.stored_spec(self._store, name)
                return next(model for model in overview(self._store)["models"] if model["name"] == name)
            case ["models", name, "analysis"]:
                return analysis_of(self._store, name, query.get("rollout", [None])[0])
        raise _unknown(parts)

    def _carried_out(self, parts: list[str], order: _Order, by: str) -> Any:
        match parts:
            case ["models", name, "versions", version, ("approve" | "reject") as verb]:
                return self._say(_Ordered(name, order, by, self._clock()), version, approved=verb == "approve")
            case ["models", name, action]:
                return self._commanded(action, _Ordered(name, order, by, self._clock()))
        raise _unknown(parts)

    def _commanded(self, action: str, ordered: _Ordered) -> Any:
        told: dict[str, Any] = {"by": ordered.by, "reason": ordered.order.reason, "now_s": ordered.now_s}
        if ordered.order.version is not None and action != "deploy":
            raise RequestError(f"only deploy takes a version; {action} is about what runs", "$.version", status=422)
        if action == "deploy":
            if ordered.order.reason:
                raise RequestError("a delivery is kept without a reason; leave it out", "$.reason", status=422)
            spec = operations.stored_spec(self._store, ordered.model)
            version = ordered.order.version
            return operations.deploy(self._store, spec, version=version, actor=ordered.by, now_s=ordered.now_s)
        if action == "rollback":
            return operations.roll_back_champion(self._store, ordered.model, **told)
        if action == "undeploy":
            return operations.undeploy(self._store, ordered.model, **told)
        if action in _COMMANDS:
            return operations.command_rollout(self._store, ordered.model, action, **told)  # type: ignore[arg-type]
        raise _unknown(["models", ordered.model, action])

    def _say(self, ordered: _Ordered, version: str, *, approved: bool) -> Any:
        if not version.isascii() or not version.isdecimal() or len(version) > _DIGITS:
            raise RequestError(f"expected the number of a version, found {version!r}", status=404)
        if ordered.order.version is not None:
            raise RequestError("the path says which version", "$.version", status=422)
        operations.approve(
            self._store,
            ordered.model,
            int(version),
            approver=ordered.by,
            approved=approved,
            reason=ordered.order.reason,
            now_s=ordered.now_s,
        )
        return {"model": ordered.model, "version": int(version), "approved": approved, "by": ordered.by}


def _refuse_names(headers: Headers) -> None:
    """A page that has its own host's name point to this machine is asked for by that name, and comes from there.

    Raises:
        RequestError: 403, the host, or the page that asks, goes by a name.
    """
    asked = headers.get(b"host", b"localhost").decode("latin-1")
    origin = headers.get(b"origin", b"").decode("latin-1")
    for url in (f"//{asked}", origin):
        host = urlsplit(url).hostname
        if host and host != "localhost" and not is_address(host):
            raise RequestError(
                f"where keys are off, the admin plane is asked for by address or as localhost, found {host!r}; "
                "MLOPS_RAY_AUTH=on and a key allow any name",
                status=403,
            )


async def _aside(work: Callable[..., Any], *arguments: Any) -> Any:
    return await asyncio.get_running_loop().run_in_executor(None, work, *arguments)


async def _order(headers: Headers, receive: Receive) -> _Order:
    kind = headers.get(b"content-type", b"").partition(b";")[0].strip().lower()
    content = await read_body(headers, receive, limit_bytes=_LIMIT_BYTES, within_s=_WITHIN_S)
    if kind != b"application/json":
        raise RequestError(f"expected content-type application/json, found {kind.decode('latin-1')!r}", status=415)
    try:
        return _orders.decode(content or b"{}")
    except msgspec.ValidationError as error:
        raise RequestError(str(error), status=422) from None
    except msgspec.DecodeError as error:
        raise RequestError(f"the body is not JSON: {error}", status=400) from None


def _unknown(parts: list[str]) -> RequestError:
    return RequestError(
        f"no such path: {'/'.join([ADMIN, *parts])}; GET models, models/<name>, models/<name>/analysis; POST "
        f"models/<name>/{'|'.join((*_COMMANDS, 'deploy', 'rollback', 'undeploy'))}, "
        "models/<name>/versions/<version>/approve|reject",
        status=404,
    )


def _plain(value: Any) -> Any:
    """A record of the store as JSON values."""
    return asdict(value) if is_dataclass(value) and not isinstance(value, type) else value
