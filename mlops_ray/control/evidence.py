"""Where the evidence on a version under delivery comes from, and how it is put together at each look."""

import logging
from collections.abc import Callable, Mapping
from typing import Protocol

from mlops_ray.errors import MetricError
from mlops_ray.monitor import Cursor
from mlops_ray.prometheus import Metrics
from mlops_ray.rollout import Block, Evidence, Stratum, fold, with_measurement, with_outcomes
from mlops_ray.spec import ModelSpec, PromQL
from mlops_ray.store import RolloutRecord

__all__ = ["Evidences", "Gathering"]

_log = logging.getLogger(__name__)
_OUTCOMES_EVERY_S = 5.0


class Evidences(Protocol):
    """Where blocks and outcomes come from: the drift actor."""

    def evidence(self, model: str, canary: int, cursor: Cursor) -> tuple[Cursor, list[Block]]:
        """Blocks after the cursor, and the cursor to come back with; nothing when nobody answers now."""
        ...

    def outcomes(self, model: str, canary: int) -> Mapping[str, tuple[Stratum, ...]] | None:
        """Totals of labelled outcomes by metric; None when nobody answers now."""
        ...


class Gathering:
    """Folds what is new into the evidence of a rollout. Measurements that fail are no evidence, for nor against."""

    def __init__(self, evidences: Evidences, metrics: Metrics, *, clock: Callable[[], float]) -> None:
        self._evidences = evidences
        self._metrics = metrics
        self._clock = clock
        self._next_s: dict[tuple[str, str], float] = {}

    def gather(
        self, spec: ModelSpec, rollout: RolloutRecord, evidence: Evidence, cursor: Cursor
    ) -> tuple[Evidence, Cursor]:
        """The evidence with everything since the cursor, and the cursor to come back with."""
        cursor, blocks = self._evidences.evidence(spec.name, rollout.version, cursor)
        for block in blocks:
            evidence = fold(evidence, block, spec.rollout.analysis)
        if self._has_outcomes(spec) and self._due(rollout, "outcomes", _OUTCOMES_EVERY_S):
            totals = self._evidences.outcomes(spec.name, rollout.version)
            evidence = evidence if totals is None else with_outcomes(evidence, totals)
        return self._measured(evidence, spec, rollout), cursor

    def forget(self, rollout: RolloutRecord) -> None:
        """The rollout has ended."""
        self._next_s = {key: at_s for key, at_s in self._next_s.items() if key[0] != rollout.id}

    def _measured(self, evidence: Evidence, spec: ModelSpec, rollout: RolloutRecord) -> Evidence:
        answers = True
        for query in spec.rollout.analysis.promql:
            if self._due(rollout, query.name, query.every_s):
                # Each question to a server that is away costs seconds: one of them is enough for a look.
                value = self._value(query, rollout) if answers else None
                answers = value is not None
                evidence = with_measurement(evidence, query.name, value, query, self._clock())
        return evidence

    def _value(self, query: PromQL, rollout: RolloutRecord) -> float | None:
        try:
            return self._metrics.value(_filled(query.query, rollout))
        except MetricError as error:
            _log.warning("rollout %s, metric %s: %s", rollout.id, query.name, error)
            return None

    def _due(self, rollout: RolloutRecord, what: str, every_s: float) -> bool:
        key, now_s = (rollout.id, what), self._clock()
        if now_s < self._next_s.get(key, 0.0):
            return False
        self._next_s[key] = now_s + every_s
        return True

    @staticmethod
    def _has_outcomes(spec: ModelSpec) -> bool:
        return bool(spec.rollout.analysis.outcomes) or spec.rollout.ab is not None


def _filled(query: str, rollout: RolloutRecord) -> str:
    """PromQL has braces of its own, so only the three names are replaced."""
    values = {"model": rollout.model, "version": str(rollout.version), "champion": str(rollout.previous)}
    for name, value in values.items():
        query = query.replace(f"{{{name}}}", value)
    return query
