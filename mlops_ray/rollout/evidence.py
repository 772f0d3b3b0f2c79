"""What a canary has shown so far: counts and log e-values, folded block by block; keeps no rows."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

from mlops_ray.errors import RolloutError
from mlops_ray.rollout.mixture import RATIO_GRID, log_ratio_factors, log_share_process
from mlops_ray.spec import Analysis

__all__ = ["Block", "Evidence", "MetricEvidence", "fold"]


@dataclass(frozen=True)
class Block:
    """What happened since the last look, on both sides, over the same time.

    A bad event belongs to a request of the same block. Errors and slow answers count units whose first bad request it
    is, so that a client that retries is one event; a canary request that the champion had to answer is a canary error.
    Further bad canary requests of such units are `canary_repeated_*`: they never speak for a rollback, but a share of
    bad requests that is too large must not look fine because few units make them.

    Raises:
        RolloutError: a negative count, or more bad events than requests.
    """

    canary_requests: int
    champion_requests: int
    canary_errors: int
    champion_errors: int
    canary_slow: int
    champion_slow: int
    canary_repeated_errors: int = 0
    canary_repeated_slow: int = 0

    def __post_init__(self) -> None:
        for side in ("canary", "champion"):
            requests = getattr(self, f"{side}_requests")
            for bad in ("errors", "slow"):
                repeated = getattr(self, f"{side}_repeated_{bad}", 0)
                count = getattr(self, f"{side}_{bad}") + repeated
                if not 0 <= repeated <= count <= requests:
                    raise RolloutError(
                        f"block: expected {side}_{bad} between 0 and {side}_requests ({requests}), found {count}; "
                        "count a request and its outcome in the same block"
                    )

    @property
    def canary_share(self) -> float:
        """Share of the requests that went to the canary; 0 in an empty block."""
        total = self.canary_requests + self.champion_requests
        return self.canary_requests / total if total else 0.0


@dataclass(frozen=True)
class MetricEvidence:
    """Log e-values and counts of one kind of bad event; see `mlops_ray.rollout.mixture` for the processes."""

    worse: tuple[float, ...]
    """Against "the ratio is at most tolerated_ratio", one per alternative of RATIO_GRID."""
    fine: tuple[float, ...]
    """Against "the ratio is at least max_ratio", one per alternative."""
    absolute: float
    """Against "the canary's share of bad events is at least max_bad_share"."""
    canary_bad: int
    champion_bad: int
    canary_repeated: int = 0
    """Further bad requests of units that are counted in `canary_bad`."""

    @classmethod
    def none(cls) -> Self:
        """Nothing seen: every e-value is 1."""
        zeros = (0.0,) * len(RATIO_GRID)
        return cls(worse=zeros, fine=zeros, absolute=0.0, canary_bad=0, champion_bad=0)

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        """The value that `dataclasses.asdict` or JSON made of it."""
        return cls(**{**content, "worse": tuple(content["worse"]), "fine": tuple(content["fine"])})


@dataclass(frozen=True)
class Evidence:
    """Everything a rollout has seen of its canary."""

    canary_requests: int
    champion_requests: int
    errors: MetricEvidence
    latency: MetricEvidence

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
        )


def fold(evidence: Evidence, block: Block, analysis: Analysis) -> Evidence:
    """Evidence with one more block. The order of blocks does not matter; an empty block changes nothing.

    >>> seen = fold(Evidence.none(Analysis()), Block(50, 950, 3, 1, 0, 0), Analysis())
    >>> seen.canary_requests, seen.errors.canary_bad, [round(x, 2) for x in seen.errors.worse]
    (50, 3, [0.27, 0.62, 1.12, 1.88, 2.91, 4.1, 5.42])
    """
    requests = evidence.canary_requests + block.canary_requests
    share = block.canary_share

    def folded(metric: MetricEvidence, canary_bad: int, champion_bad: int, repeated: int) -> MetricEvidence:
        worse = log_ratio_factors(canary_bad, champion_bad, share, null_ratio=analysis.tolerated_ratio, worse=True)
        all_bad = canary_bad + repeated
        fine = log_ratio_factors(all_bad, champion_bad, share, null_ratio=analysis.max_ratio, worse=False)
        bad = metric.canary_bad + metric.canary_repeated + all_bad
        return MetricEvidence(
            worse=tuple(a + b for a, b in zip(metric.worse, worse, strict=True)),
            fine=tuple(a + b for a, b in zip(metric.fine, fine, strict=True)),
            absolute=log_share_process(bad, requests, null_share=analysis.max_bad_share),
            canary_bad=metric.canary_bad + canary_bad,
            champion_bad=metric.champion_bad + champion_bad,
            canary_repeated=metric.canary_repeated + repeated,
        )

    return Evidence(
        canary_requests=requests,
        champion_requests=evidence.champion_requests + block.champion_requests,
        errors=folded(evidence.errors, block.canary_errors, block.champion_errors, block.canary_repeated_errors),
        latency=folded(evidence.latency, block.canary_slow, block.champion_slow, block.canary_repeated_slow),
    )
