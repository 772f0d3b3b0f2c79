"""Whether a candidate may become a model version that is delivered: each gate of the spec, on the holdout rows."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from mlops_ray.errors import SpecError
from mlops_ray.evaluation.bootstrap import paired_difference
from mlops_ray.evaluation.fairness import FairnessResult
from mlops_ray.evaluation.metrics import scores
from mlops_ray.spec import METRICS, Fairness, Gate, Metric, Task
from mlops_ray.verdict import Verdict

__all__ = ["GateKind", "GateReport", "GateResult", "evaluate_gates", "with_golden"]

GateKind = Literal["min", "max", "not_worse_by", "fairness"]
Array = NDArray[np.float64]


@dataclass(frozen=True)
class GateResult:
    """One condition and what came of it."""

    metric: str
    """A metric of the task, or of fairness with its attribute."""
    kind: GateKind
    threshold: float
    value: float | None
    """The metric (min, max, fairness), or how much better than the champion (not_worse_by; None without a champion)."""
    low: float | None
    """Bounds of the interval of a comparison or of a fairness metric; None otherwise."""
    high: float | None
    verdict: Verdict
    message: str
    on: Literal["holdout", "golden"] = "holdout"


@dataclass(frozen=True)
class GateReport:
    """All conditions, and every metric of the task on the holdout."""

    verdict: Verdict
    results: tuple[GateResult, ...]
    metrics: Mapping[str, float]
    champion_metrics: Mapping[str, float] | None
    golden_metrics: Mapping[str, float] | None = None
    """Every metric on the golden set, where there is one."""

    def and_fairness(self, limits: Sequence[Fairness], found: Sequence[FairnessResult]) -> "GateReport":
        """The report with these limits as conditions too, each with what came of it.

        >>> GateReport(Verdict.PASS, (), {}, None).and_fairness([], []).verdict.value
        'PASS'
        """
        results = (*self.results, *(_fairness(limit, result) for limit, result in zip(limits, found, strict=True)))
        return replace(self, verdict=_overall(results), results=results)

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        """The inverse of `to_json`."""
        results = tuple(
            GateResult(**{**result, "verdict": Verdict(result["verdict"])}) for result in content["results"]
        )
        return cls(**{**content, "verdict": Verdict(content["verdict"]), "results": results})


def evaluate_gates(
    gates: Sequence[Gate], task: Task, labels: Array, candidate: Array, champion: Array | None, *, seed: int
) -> GateReport:
    """Judge the candidate on holdout rows.

    Args:
        gates: of the spec; one gate may hold several conditions, each gets a result.
        task: decides which metrics are reported.
        labels: (n,).
        candidate: predictions (n,), or (n, classes) of a multiclass task.
        champion: predictions of the champion for the same rows, or None when there is none.
        seed: of the bootstrap.

    Only gates on the holdout are looked at, see `with_golden` for the others. Any FAIL makes the report FAIL; all PASS,
    or no gates, make it PASS; otherwise it is INCONCLUSIVE.

    Raises:
        SpecError: a gate on a metric that the task does not have.
        ValidationError: rows that cannot be scored.

    >>> y = np.array([0.0, 0.0, 1.0, 1.0])
    >>> p = np.array([0.2, 0.4, 0.3, 0.9])
    >>> report = evaluate_gates([Gate(metric="auc", min=0.8)], "binary", y, p, None, seed=0)
    >>> report.verdict.value, report.results[0].message
    ('FAIL', 'auc is 0.75, needs at least 0.8')
    """
    for gate in gates:
        if gate.metric not in METRICS[task]:
            raise SpecError(
                f"gates: expected a metric of task {task} ({', '.join(METRICS[task])}), found {gate.metric}"
            )
    metrics = scores(task, labels, candidate)
    results = _results(gates, "holdout", metrics, labels=labels, candidate=candidate, champion=champion, seed=seed)
    champion_metrics = None if champion is None else scores(task, labels, champion)
    return GateReport(_overall(results), tuple(results), metrics, champion_metrics)


def with_golden(
    report: GateReport,
    *,
    gates: Sequence[Gate],
    task: Task,
    labels: Array,
    candidate: Array,
    champion: Array | None,
    seed: int,
) -> GateReport:
    """The report with the gates on the golden set added; arguments as those of `evaluate_gates`, of the golden rows.

    Raises:
        ValidationError: rows that cannot be scored.
    """
    metrics = scores(task, labels, candidate)
    own = _results(gates, "golden", metrics, labels=labels, candidate=candidate, champion=champion, seed=seed)
    results = (*report.results, *own)
    return replace(report, verdict=_overall(results), results=results, golden_metrics=metrics)


def _results(
    gates: Sequence[Gate],
    on: Literal["holdout", "golden"],
    metrics: Mapping[str, float],
    *,
    labels: Array,
    candidate: Array,
    champion: Array | None,
    seed: int,
) -> list[GateResult]:
    results: list[GateResult] = []
    for gate in (gate for gate in gates if gate.on == on):
        if gate.min is not None:
            results.append(_bound(gate.metric, "min", gate.min, metrics[gate.metric]))
        if gate.max is not None:
            results.append(_bound(gate.metric, "max", gate.max, metrics[gate.metric]))
        if gate.not_worse_by is not None:
            results.append(_comparison(gate.metric, gate.not_worse_by, labels, candidate, champion, seed=seed))
    if on == "golden":
        return [replace(result, on=on, message=f"golden set: {result.message}") for result in results]
    return results


def _overall(results: Sequence[GateResult]) -> Verdict:
    verdicts = {result.verdict for result in results}
    if Verdict.FAIL in verdicts:
        return Verdict.FAIL
    return Verdict.INCONCLUSIVE if Verdict.INCONCLUSIVE in verdicts else Verdict.PASS


def _fairness(limit: Fairness, found: FairnessResult) -> GateResult:
    threshold = limit.max if limit.max is not None else limit.min
    assert threshold is not None, "the spec has one of both"
    return GateResult(
        limit.name, "fairness", threshold, found.value, found.low, found.high, found.verdict, found.message
    )


def _bound(metric: Metric, kind: Literal["min", "max"], threshold: float, value: float) -> GateResult:
    met = value >= threshold if kind == "min" else value <= threshold
    wanted = "at least" if kind == "min" else "at most"
    message = f"{metric} is {value:.4g}, {'meets' if met else 'needs'} {wanted} {threshold:g}"
    return GateResult(metric, kind, threshold, value, None, None, Verdict.PASS if met else Verdict.FAIL, message)


def _comparison(
    metric: Metric, margin: float, labels: Array, candidate: Array, champion: Array | None, *, seed: int
) -> GateResult:
    if champion is None:
        message = f"{metric}: no champion to compare with"
        return GateResult(metric, "not_worse_by", margin, None, None, None, Verdict.PASS, message)
    found = paired_difference(metric, labels, candidate, champion, seed=seed)
    if found.low >= -margin:
        verdict, says = Verdict.PASS, "not worse"
    elif found.high < -margin:
        verdict, says = Verdict.FAIL, "worse"
    else:
        verdict, says = Verdict.INCONCLUSIVE, "undecided"
    message = (
        f"{metric} against the champion: {found.difference:+.4g}, 95 % interval {found.low:+.4g} to {found.high:+.4g} "
        f"(positive is better), {says} by the margin of {margin:g}"
    )
    return GateResult(metric, "not_worse_by", margin, found.difference, found.low, found.high, verdict, message)
