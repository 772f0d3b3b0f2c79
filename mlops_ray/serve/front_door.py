"""The champion's replica: it answers in process, sends a canary's share on, and answers for a canary that fails."""

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from mlops_ray.errors import PredictionError
from mlops_ray.model import Signature
from mlops_ray.rollout import on_canary
from mlops_ray.serve.answer import Answer, Body
from mlops_ray.serve.canary_link import CanaryLink, RemoteVersion
from mlops_ray.serve.loaded import Decoders, LoadedModel
from mlops_ray.serve.model_app import Label, ModelApp, new_request_id
from mlops_ray.serve.recorder import Recorder, Served
from mlops_ray.serve.request import Rows
from mlops_ray.serve.versions import Versions
from mlops_ray.spec import Serve
from mlops_ray.store import RouteRecord

__all__ = ["Applied", "FrontDoor", "Outbox"]

Connect = Callable[[int], RemoteVersion]


class Outbox(Protocol):
    """Where records and labels go."""

    recorder: Recorder

    async def keep_labels(self, labels: list[Label]) -> None:
        """Keep outcomes durably."""
        ...


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


class FrontDoor(ModelApp):
    """Answers every request of a model: from the champion in process, or from the canary for its share of units."""

    def __init__(
        self, versions: Versions, serve: Serve, *, connect: Connect, outbox: Outbox, route: RouteRecord
    ) -> None:
        super().__init__(versions.model, serve)
        self._versions = versions
        self._connect = connect
        self._outbox = outbox
        self._applying = asyncio.Lock()
        self._warm: dict[int, LoadedModel] = {}
        assert route.champion is not None, "a front door opens when there is a champion"
        self._state = _State(route, self._load(route.champion), None)
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
            champion = await loop.run_in_executor(None, self._load, route.champion)
            canary = None if route.canary is None else await loop.run_in_executor(None, self._link, route.canary)
            self._state = _State(route, champion, canary)
            self._forget({route.champion, route.previous})
            return self.applied

    def _load(self, version: int) -> LoadedModel:
        if version not in self._warm:
            self._warm[version] = self._versions.load(version)
        return self._warm[version]

    def _link(self, version: int) -> CanaryLink:
        state = self._state
        if state.canary is not None and state.canary.version == version:
            return state.canary
        decoders = Decoders.of(self._versions.signature(version), self._serve)
        return CanaryLink(version, decoders, self._connect(version), deadline_s=self._canary_deadline_s)

    def _forget(self, keep: set[int | None]) -> None:
        for version in [v for v in self._warm if v not in keep]:
            self._warm.pop(version).close()

    # -- requests -----------------------------------------------------------------------------------------------------

    def signatures(self) -> Mapping[int, Signature]:
        """The champion, and the previous one as long as it is kept warm."""
        champion = self._state.champion
        others = {v: m.signature for v, m in self._warm.items() if v != champion.version}
        return {champion.version: champion.signature, **others}

    async def answer(self, body: Body, *, version: int | None, started_s: float, request_id: str | None) -> Answer:
        """Scores for a request; see `ModelApp.answer`."""
        state = self._state
        if version is not None and version != state.champion.version:
            return await self._answer_named(body, version, request_id, started_s)
        rows = body.rows(state.champion.decoders)
        identity = rows.request_id or request_id or new_request_id()
        unit = rows.unit or identity
        route, canary, error = state.route, state.canary, None
        assigned = "champion"
        if canary is not None and version is None and on_canary(unit, route.salt, route.share):
            assigned = "canary"
            try:
                scores = await canary.ask(body)
                answer = self._answer(canary.version, "canary", state, identity, scores)
                self._record(state, rows, answer, unit=unit, assigned=assigned, error=None, started_s=started_s)
                return answer
            except PredictionError as failure:
                error = str(failure)
        try:
            scores = await state.champion.predict(rows.matrix, deadline_s=self._deadline_s)
        except PredictionError as failure:
            failed = self._answer(state.champion.version, "champion", state, identity, _unanswered(rows))
            self._record(state, rows, failed, unit=unit, assigned=assigned, error=str(failure), started_s=started_s)
            raise
        answer = self._answer(state.champion.version, "champion", state, identity, scores)
        self._record(state, rows, answer, unit=unit, assigned=assigned, error=error, started_s=started_s)
        return answer

    async def _answer_named(self, body: Body, version: int, request_id: str | None, started_s: float) -> Answer:
        """A version that is kept warm, asked for by name; no part of any rollout."""
        state, model = self._state, self._warm[version]
        rows = body.rows(model.decoders)
        identity = rows.request_id or request_id or new_request_id()
        scores = await model.predict(rows.matrix, deadline_s=self._deadline_s)
        answer = self._answer(version, "direct", state, identity, scores)
        unit = rows.unit or identity
        alone = _State(state.route, model, None)
        self._record(alone, rows, answer, unit=unit, assigned="direct", error=None, started_s=started_s)
        return answer

    def _answer(self, version: int, role: str, state: _State, identity: str, scores: NDArray[np.float64]) -> Answer:
        task = state.champion.signature.task
        return Answer(identity, self.name, version, role, state.route.epoch, task, scores)

    def _record(
        self,
        state: _State,
        rows: Rows,
        answer: Answer,
        *,
        unit: str,
        assigned: str,
        error: str | None,
        started_s: float,
    ) -> None:
        self._outbox.recorder.add(
            Served(
                request_id=answer.request_id,
                unit=unit,
                time_s=time.time(),
                version=answer.version,
                role=answer.role,
                assigned=assigned,
                canary=state.canary.version if state.canary else 0,
                epoch=answer.epoch,
                status=500 if np.isnan(answer.scores[0]) else 200,
                error=error,
                latency_ms=(time.perf_counter() - started_s) * 1000,
                matrix=rows.matrix,
                scores=answer.scores,
                encoded_by=state.champion,
            )
        )

    async def keep_labels(self, labels: list[Label]) -> None:
        """Keep outcomes durably; see `ModelApp.keep_labels`."""
        await self._outbox.keep_labels(labels)


def _unanswered(rows: Rows) -> NDArray[np.float64]:
    return np.full(len(rows.matrix), np.nan)
