"""The champion's replica: it answers in process, sends a canary's share on, and answers for a canary that fails."""

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mlops_ray.errors import PredictionError, RequestError
from mlops_ray.model import Signature
from mlops_ray.rollout import on_canary
from mlops_ray.serve.answer import Answer, Body
from mlops_ray.serve.canary_link import CanaryLink, RemoteVersion
from mlops_ray.serve.loaded import Decoders, LoadedModel
from mlops_ray.serve.model_app import Label, ModelApp, Startup, new_request_id
from mlops_ray.serve.outbox import Outbox
from mlops_ray.serve.recorder import Served
from mlops_ray.serve.request import Rows
from mlops_ray.serve.versions import Versions
from mlops_ray.spec import Serve
from mlops_ray.store import RouteRecord

__all__ = ["Applied", "FrontDoor"]

Connect = Callable[[int], RemoteVersion]


@dataclass(frozen=True, slots=True)
class Applied:
    """What a replica holds, in answer to a route that was pushed."""

    epoch: int
    champion: int
    canary: int | None
    share: float


@dataclass(frozen=True, slots=True)
class _State:
    """Everything a request needs, swapped as one pointer."""

    route: RouteRecord
    champion: LoadedModel
    canary: CanaryLink | None


@dataclass(frozen=True, slots=True)
class _Request:
    """A request that was read: who should answer it (`champion`, `canary`, or `direct` for a version by name)."""

    state: _State
    rows: Rows
    identity: str
    assigned: str
    started_s: float

    def elapsed_s(self) -> float:
        return time.perf_counter() - self.started_s


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
        startup: Startup | None = None,
    ) -> None:
        super().__init__(versions.model, serve, startup=startup)
        self._versions = versions
        self._connect = connect
        self._outbox = outbox
        self._keep_warm_s = keep_warm_s
        self._applying = asyncio.Lock()
        assert route.champion is not None, "a front door opens when there is a champion"
        champion = versions.load(route.champion)
        self._warm = {champion.version: champion}  # touched on the event loop only
        self._state = _State(route, champion, None)
        self._canary_deadline_s = serve.canary_deadline_ms / 1000
        self._deadline_s = serve.deadline_ms / 1000

    # -- routes -------------------------------------------------------------------------------------------------------

    @property
    def applied(self) -> Applied:
        """What this replica holds now."""
        state = self._state
        canary = state.canary.version if state.canary else None
        return Applied(state.route.epoch, state.champion.version, canary, state.route.share)

    async def apply(self, route: RouteRecord) -> Applied:
        """Take over a newer route: load a new champion beside the old one, then swap; an older epoch changes nothing.

        Raises:
            ModelError: the new champion cannot be loaded; the old one goes on answering.
        """
        async with self._applying:
            state = self._state
            complete = (state.canary is None) == (route.canary is None)
            if (
                route.champion is None
                or route.epoch < state.route.epoch
                or (route.epoch == state.route.epoch and complete)
            ):
                return self.applied
            loop = asyncio.get_running_loop()
            champion = self._warm.get(route.champion)
            if champion is None:
                champion = await loop.run_in_executor(None, self._versions.load, route.champion)
            canary = None if route.canary is None else await loop.run_in_executor(None, self._link, route.canary)
            keep = {version: model for version, model in self._warm.items() if version == route.previous}
            self._warm = {**keep, champion.version: champion}
            self._state = _State(route, champion, canary)
            return self.applied

    def cool(self, now_s: float) -> None:
        """Let the previous champion go when it has been kept warm for long enough."""
        state = self._state
        if len(self._warm) > 1 and now_s - state.route.updated_s > self._keep_warm_s:
            self._warm = {state.champion.version: state.champion}

    def _link(self, version: int) -> CanaryLink:
        state = self._state
        if state.canary is not None and state.canary.version == version:
            return state.canary
        decoders = Decoders.of(self._versions.signature(version), self._serve)
        return CanaryLink(version, decoders, self._connect(version), deadline_s=self._canary_deadline_s)

    # -- requests -----------------------------------------------------------------------------------------------------

    def signatures(self) -> Mapping[int, Signature]:
        """The champion, and the previous one as long as it is kept warm."""
        champion = self._state.champion
        others = {v: m.signature for v, m in self._warm.items() if v != champion.version}
        return {champion.version: champion.signature, **others}

    async def answer(self, body: Body, *, version: int | None, started_s: float, request_id: str | None) -> Answer:
        """Scores for a request; see `ModelApp.answer`."""
        if version is not None:
            return await self._answer_named(body, version, started_s=started_s, request_id=request_id)
        state = self._state
        rows = body.rows(state.champion.decoders)
        identity = rows.request_id or request_id or new_request_id()
        canary = state.canary
        if canary is None or not on_canary(rows.unit or identity, state.route.salt, state.route.share):
            return await self._ask_champion(_Request(state, rows, identity, "champion", started_s))
        request = _Request(state, rows, identity, "canary", started_s)
        try:
            scores = await canary.ask(body)
        except PredictionError as failure:
            return await self._ask_champion(request, error=str(failure))
        return self._answered(request, "canary", canary.version, scores)

    async def _ask_champion(self, request: _Request, *, error: str | None = None) -> Answer:
        """The champion's scores; `error` is why the canary gave none."""
        champion = request.state.champion
        try:
            left_s = max(0.0, self._deadline_s - request.elapsed_s())
            scores = await champion.predict(request.rows.matrix, deadline_s=left_s)
        except PredictionError as failure:
            nothing = np.full(len(request.rows.matrix), np.nan)
            self._answered(request, "champion", champion.version, nothing, error=error or str(failure), status=500)
            raise
        return self._answered(request, "champion", champion.version, scores, error=error)

    async def _answer_named(self, body: Body, version: int, *, started_s: float, request_id: str | None) -> Answer:
        """A version in memory that is asked for by name; no part of any rollout."""
        state, model = self._state, self._warm.get(version)
        if model is None:
            # It was here when the path was read, and a route that was pushed meanwhile took it away.
            raise RequestError(f"model {self.name!r} serves version {version} no longer", status=404)
        rows = body.rows(model.decoders)
        identity = rows.request_id or request_id or new_request_id()
        role = "champion" if model is state.champion else "direct"
        request = _Request(_State(state.route, model, state.canary), rows, identity, "direct", started_s)
        scores = await model.predict(rows.matrix, deadline_s=self._deadline_s)
        return self._answered(request, role, version, scores)

    def _answered(
        self,
        request: _Request,
        role: str,
        version: int,
        scores: NDArray[np.float64],
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
            canary=state.canary.version if state.canary else 0,
            epoch=state.route.epoch,
            status=status,
            error=error,
            latency_ms=request.elapsed_s() * 1000,
            matrix=rows.matrix,
            scores=scores,
            encoded_by=state.champion,
        )
        self._outbox.recorder.add(served)
        task = state.champion.signature.task
        return Answer(request.identity, self.name, version, role, state.route.epoch, task, scores)

    async def shutdown(self) -> None:
        """Hand over what was recorded; see `ModelApp.shutdown`."""
        await self._outbox.close()

    async def keep_labels(self, labels: list[Label]) -> None:
        """Keep outcomes durably; see `ModelApp.keep_labels`."""
        if self._state.champion.signature.task == "binary":
            wrong = next((i for i, label in enumerate(labels) if label.label not in (0, 1)), None)
            if wrong is not None:
                path = f"$.labels[{wrong}].label"
                raise RequestError(f"expected 0 or 1 for a binary model, found {labels[wrong].label:g}", path)
        await self._outbox.keep_labels(labels)
