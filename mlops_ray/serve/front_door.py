"""The champion's replica: it answers in process, sends a canary's share on, and answers for a canary that fails."""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import msgspec
import numpy as np

from mlops_ray.errors import AsleepError, HurriedError, PredictionError, RequestError
from mlops_ray.model import Signature
from mlops_ray.rollout import on_canary
from mlops_ray.serve.access import Access
from mlops_ray.serve.answer import Answer, Body
from mlops_ray.serve.applied import Applied
from mlops_ray.serve.call import Call
from mlops_ray.serve.canary_link import CanaryLink
from mlops_ray.serve.loaded import Decoders, LoadedModel
from mlops_ray.serve.model_app import Label, ModelApp, Startup, new_request_id
from mlops_ray.serve.outbox import Outbox
from mlops_ray.serve.predicted import Predicted, status_of
from mlops_ray.serve.reading import read_aside
from mlops_ray.serve.recorder import Served
from mlops_ray.serve.remote_version import RemoteVersion
from mlops_ray.serve.request import Rows
from mlops_ray.serve.shadow_copies import ShadowCopies
from mlops_ray.serve.versions import Versions
from mlops_ray.serve.warm_versions import WarmVersions
from mlops_ray.spec import Serve
from mlops_ray.store import RouteRecord

__all__ = ["FrontDoor"]

Connect = Callable[[int], RemoteVersion]


@dataclass(frozen=True, slots=True)
class _State:
    """Everything a request needs, swapped as one pointer."""

    route: RouteRecord
    champion: LoadedModel
    canary: CanaryLink | None = None
    shadow: ShadowCopies | None = None
    """Of the canary."""


class _Request(msgspec.Struct, frozen=True, gc=False):
    """A request that was read: who should answer it (`champion`, `canary`, or `direct` for a version by name)."""

    state: _State
    body: Body
    rows: Rows
    identity: str
    assigned: str
    call: Call
    compared: bool = True
    """Whether it is evidence in a rollout."""

    def chosen(self, purpose: str, share: float) -> bool:
        """Whether the request is of a share of all, the same in every process, and another one for each purpose."""
        return share > 0 and on_canary(self.identity, f"{self.state.route.salt}:{purpose}", share)


class FrontDoor(ModelApp):
    """Answers every request of a model: from the champion in process, or from the canary for its share of units."""

    def __init__(
        self,
        versions: Versions,
        serve: Serve,
        *,
        connect: Connect,
        outbox: Outbox,
        route: RouteRecord,
        keep_warm_s: float = 600.0,
        swaps: bool = True,
        front_digest: str = "",
        startup: Startup | None = None,
        access: Access | None = None,
    ) -> None:
        """`swaps`: whether a new champion is loaded beside the old one; if not, somebody replaces the replica.

        `front_digest` names the part of the spec that the replica was started with.
        """
        super().__init__(versions.model, serve, startup=startup, access=access)
        self._versions = versions
        self._connect = connect
        self._outbox = outbox
        self._keep_warm_s = keep_warm_s
        self._swaps = swaps
        self._applying = asyncio.Lock()
        assert route.champion is not None, "a front door opens when there is a champion"
        self._warm = WarmVersions(versions, route.champion)
        (champion,) = self._warm.held
        self._state = _State(route, champion)
        self._front_digest = front_digest

    # -- routes -------------------------------------------------------------------------------------------------------

    @property
    def applied(self) -> Applied:
        """What this replica holds now."""
        state = self._state
        canary = state.canary.version if state.canary else None
        route = state.route
        return Applied(
            route.epoch, state.champion.version, canary, route.share, route.mirror, front_digest=self._front_digest
        )

    async def apply(self, route: RouteRecord) -> Applied:
        """Take over a newer route: load a new champion beside the old one, then swap; an older epoch changes nothing.

        Raises:
            ModelError: the new champion cannot be loaded; the old one goes on answering.
        """
        if not self._is_news(route):
            return self.applied
        assert route.champion is not None, "a route without a champion is no news"
        # Not under the lock: a route that takes the version back must not wait until it is loaded.
        champion = await self._warm.load(route.champion)
        async with self._applying:
            state = self._state
            if not self._is_news(route):
                return self.applied  # a newer one came first
            loop = asyncio.get_running_loop()
            canary = None if route.canary is None else await loop.run_in_executor(None, self._link, route.canary)
            self._warm.hold(champion, also=route.previous)
            self._state = _State(route, champion, canary, self._shadow(canary))
            if state.shadow is not None and state.shadow is not self._state.shadow:
                state.shadow.close()
            return self.applied

    def _is_news(self, route: RouteRecord) -> bool:
        state = self._state
        complete = (state.canary is None) == (route.canary is None)
        known = route.epoch < state.route.epoch or (route.epoch == state.route.epoch and complete)
        if route.champion is None or known:
            return False
        return self._swaps or route.champion == state.champion.version

    @property
    def models(self) -> Sequence[LoadedModel]:
        """Versions in memory, the champion first."""
        champion = self._state.champion
        return [champion, *(model for model in self._warm.held if model is not champion)]

    def cool(self, now_s: float) -> None:
        """Let the previous champion go when it has been kept warm for long enough."""
        state = self._state
        if len(self._warm) > 1 and now_s - state.route.updated_s > self._keep_warm_s:
            self._warm.hold(state.champion)

    def _link(self, version: int) -> CanaryLink:
        state = self._state
        if state.canary is not None and state.canary.version == version:
            return state.canary
        serve = self._serve
        return CanaryLink(
            version,
            Decoders.of(self._versions.signature(version), serve, ruled=False),  # the champion's rules have decided
            self._connect(version),
            deadline_s=serve.canary_deadline_ms / 1000,
            coalesce_s=serve.canary_coalesce_ms / 1000,
        )

    def _shadow(self, canary: CanaryLink | None) -> ShadowCopies | None:
        """The copies of a canary are kept as long as the canary is."""
        state = self._state
        if canary is None or canary is state.canary:
            return state.shadow if canary is not None else None
        return ShadowCopies(canary, self._outbox.recorder, deadline_s=self._serve.deadline_ms / 1000)

    # -- requests -----------------------------------------------------------------------------------------------------

    def signatures(self) -> Mapping[int, Signature]:
        """The champion, and the previous one as long as it is kept warm."""
        return {model.version: model.signature for model in self.models}

    def loaded(self, version: int | None) -> LoadedModel | None:
        """See `ModelApp.loaded`."""
        return self._state.champion if version is None else self._warm.get(version)

    async def answer(self, body: Body, call: Call) -> Answer:
        """Scores for a request; see `ModelApp.answer`."""
        if call.version is not None:
            return await self._answer_named(body, call.version, call)
        state = self._state
        decoders = state.champion.decoders
        rows = body.rows(decoders) if decoders.quick else await read_aside(body, decoders)
        identity = rows.request_id or call.request_id or new_request_id()
        canary = state.canary
        if canary is None:
            return await self._ask_champion(_Request(state, body, rows, identity, "champion", call))
        compared = canary.compared  # for both sides alike
        if not self._is_canarys(state, rows.unit or identity):
            return await self._ask_champion(_Request(state, body, rows, identity, "champion", call, compared))
        return await self._ask_canary(canary, _Request(state, body, rows, identity, "canary", call, compared))

    def _is_canarys(self, state: _State, unit: str) -> bool:
        return state.route.share > 0 and on_canary(unit, state.route.salt, state.route.share)

    async def _ask_canary(self, canary: CanaryLink, request: _Request) -> Answer:
        """The canary's scores, or the champion's in time."""
        try:
            alike = canary.reads_like(request.state.champion.signature)
            matrix = request.rows.matrix if alike else await canary.read_aside(request.body)
            predicted = await canary.ask(matrix, left_s=request.call.left_s())
        except (AsleepError, HurriedError):
            # No part of the comparison: neither says anything about the version.
            return await self._ask_champion(msgspec.structs.replace(request, compared=False))
        except PredictionError as failure:
            return await self._ask_champion(request, error=str(failure))
        return self._answered(request, "canary", canary.version, predicted)

    async def _ask_champion(self, request: _Request, *, error: str | None = None) -> Answer:
        """The champion's scores; `error` is why the canary gave none."""
        champion = request.state.champion
        try:
            predicted = await champion.predict(request.rows.matrix, deadline_s=request.call.left_s())
        except (PredictionError, RequestError) as failure:
            # That the champion has no room says nothing about it; what the canary did is kept all the same.
            if error is not None or isinstance(failure, PredictionError):
                nothing = Predicted(np.full(len(request.rows.matrix), np.nan), 0.0, 0.0)
                why, status = error or str(failure), status_of(failure)
                self._answered(request, "champion", champion.version, nothing, error=why, status=status)
            raise
        return self._answered(request, "champion", champion.version, predicted, error=error)

    async def _answer_named(self, body: Body, version: int, call: Call) -> Answer:
        """A version in memory that is asked for by name; no part of any rollout."""
        state, model = self._state, self._warm.get(version)
        if model is None:
            # It was here when the path was read, and a route that was pushed meanwhile took it away.
            raise RequestError(f"model {self.name!r} serves version {version} no longer", status=404)
        decoders = model.decoders
        rows = body.rows(decoders) if decoders.quick else await read_aside(body, decoders)
        identity = rows.request_id or call.request_id or new_request_id()
        role = "champion" if model is state.champion else "direct"
        request = _Request(_State(state.route, model, state.canary), body, rows, identity, "direct", call)
        predicted = await model.predict(rows.matrix, deadline_s=call.left_s())
        return self._answered(request, role, version, predicted)

    def _answered(
        self,
        request: _Request,
        role: str,
        version: int,
        predicted: Predicted,
        *,
        error: str | None = None,
        status: int = 200,
    ) -> Answer:
        """Keep the record of the request, and say what it is answered."""
        state, rows = request.state, request.rows
        served = Served(
            request_id=request.identity,
            unit=rows.unit or request.identity,
            time_s=time.time(),
            version=version,
            role=role,
            assigned=request.assigned,
            canary=state.canary.version if state.canary and request.compared else 0,
            epoch=state.route.epoch,
            status=status,
            error=error,
            latency_ms=request.call.elapsed_s() * 1000,
            matrix=rows.matrix,
            scores=predicted.scores,
            share=state.route.share,
            queue_ms=predicted.queue_ms,
            predict_ms=predicted.predict_ms,
            encoded_by=state.champion,
            trace=request.call.trace,
            seen=rows.seen,
            unseen=rows.unseen,
            to_pair=role == "canary" and request.chosen("paired", state.route.paired),
        )
        self._outbox.recorder.add(served)
        if state.shadow is not None and request.assigned == "champion" and request.chosen("mirror", state.route.mirror):
            state.shadow.offer(served, request.body)
        canary = state.canary if role == "canary" else None
        said = state.champion.signature if canary is None else canary.signature
        epoch, scores = state.route.epoch, predicted.scores
        return Answer(request.identity, self.name, version, role, epoch, said.task, scores, rows.warnings, said.classes)

    async def shutdown(self) -> None:
        """Hand over what was recorded; see `ModelApp.shutdown`."""
        if self._state.shadow is not None:
            self._state.shadow.close()
        await self._outbox.close()

    async def keep_labels(self, labels: list[Label]) -> None:
        """Keep outcomes durably; see `ModelApp.keep_labels`."""
        await self._outbox.keep_labels(labels)
