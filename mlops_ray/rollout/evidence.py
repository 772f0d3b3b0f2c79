"""What a new version has shown so far: counts, log e-values and moments, folded block by block; keeps no rows."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Self

from mlops_ray.rollout.block import Block
from mlops_ray.rollout.measured import Measured
from mlops_ray.rollout.metric_evidence import Exceedances, MetricEvidence
from mlops_ray.rollout.score_evidence import ScoreEvidence
from mlops_ray.rollout.stratum import Stratum
from mlops_ray.spec import Analysis, PromQL

__all__ = ["Evidence", "fold", "with_measurement", "with_outcomes"]


@dataclass(frozen=True)
class Evidence:
    """Everything a rollout has seen of its new version."""

    canary_requests: int
    champion_requests: int
    errors: MetricEvidence
    latency: MetricEvidence
    """Against the latency objective; copies are not in it."""
    quantiles: Mapping[str, Exceedances] = field(default_factory=dict)
    scores: ScoreEvidence = field(default_factory=ScoreEvidence)
    paired: tuple[int, int] = (0, 0)
    """(requests scored by both versions, of them disagreeing)."""
    outcomes: Mapping[str, tuple[Stratum, ...]] = field(default_factory=dict)
    measurements: Mapping[str, Measured] = field(default_factory=dict)

    @classmethod
    def none(cls, analysis: Analysis) -> Self:  # noqa: ARG003 - an analysis may come to choose its own grid
        """Nothing seen yet."""
        return cls(0, 0, errors=MetricEvidence.none(), latency=MetricEvidence.none())

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        """The inverse of `to_json`."""
        return cls(
            canary_requests=content["canary_requests"],
            champion_requests=content["champion_requests"],
            errors=MetricEvidence.from_json(content["errors"]),
            latency=MetricEvidence.from_json(content["latency"]),
            quantiles={name: Exceedances.from_json(seen) for name, seen in content["quantiles"].items()},
            scores=ScoreEvidence.from_json(content["scores"]),
            paired=(content["paired"][0], content["paired"][1]),
            outcomes={
                name: tuple(Stratum.from_json(stratum) for stratum in strata)
                for name, strata in content["outcomes"].items()
            },
            measurements={name: Measured(**measured) for name, measured in content["measurements"].items()},
        )


def fold(evidence: Evidence, block: Block, analysis: Analysis) -> Evidence:
    """Evidence with one more block. The order of blocks does not matter; an empty block changes nothing.

    >>> seen = fold(Evidence.none(Analysis()), Block(50, 950, 3, 1, 0, 0), Analysis())
    >>> seen.canary_requests, seen.errors.canary_bad, [round(x, 2) for x in seen.errors.worse]
    (50, 3, [0.27, 0.62, 1.12, 1.88, 2.91, 4.1, 5.42])
    """
    requests = (block.canary_requests, block.champion_requests)
    errors = evidence.errors.after(
        requests,
        (block.canary_errors, block.champion_errors),
        (block.canary_repeated_errors, block.champion_repeated_errors),
        share=block.share,
        analysis=analysis,
    )
    return replace(
        evidence,
        canary_requests=evidence.canary_requests + requests[0],
        champion_requests=evidence.champion_requests + requests[1],
        errors=errors,
        latency=_latency(evidence.latency, block, analysis),
        quantiles=_quantiles(evidence.quantiles, block),
        scores=evidence.scores.after(*block.scores) if analysis.predictions.bins else evidence.scores,
        paired=(evidence.paired[0] + block.paired[0], evidence.paired[1] + block.paired[1]),
    )


def with_outcomes(evidence: Evidence, outcomes: Mapping[str, tuple[Stratum, ...]]) -> Evidence:
    """Evidence with the outcomes as they are now; they are totals, and take the place of earlier ones."""
    return replace(evidence, outcomes=dict(outcomes))


def with_measurement(evidence: Evidence, name: str, value: float | None, query: PromQL, at_s: float) -> Evidence:
    """Evidence with one more measurement of a query; None where it could not be taken. Safe to repeat."""
    measured = evidence.measurements.get(name, Measured()).after(value, query, at_s)
    return replace(evidence, measurements={**evidence.measurements, name: measured})


def _latency(latency: MetricEvidence, block: Block, analysis: Analysis) -> MetricEvidence:
    if block.share == 0.0:
        return latency  # nobody waits for copies, whose slow answers are not even counted
    return latency.after(
        (block.canary_requests, block.champion_requests),
        (block.canary_slow, block.champion_slow),
        (block.canary_repeated_slow, block.champion_repeated_slow),
        share=block.share,
        analysis=analysis,
    )


def _quantiles(quantiles: Mapping[str, Exceedances], block: Block) -> Mapping[str, Exceedances]:
    if not any(block.timed):
        return quantiles
    return {
        **quantiles,
        **{
            name: quantiles.get(name, Exceedances.none()).after(block.timed, above, share=block.share)
            for name, above in sorted(block.quantiles.items())
        },
    }
