"""Verdicts on outcomes, which come with the labels, and on the workspace's own queries."""

from collections.abc import Sequence

from mlops_ray.rollout.budget import Budget, outcomes_of
from mlops_ray.rollout.evidence import Evidence
from mlops_ray.rollout.harm import Harm, harm, pooled
from mlops_ray.rollout.measured import Measured
from mlops_ray.rollout.metric_assessment import MetricAssessment
from mlops_ray.rollout.stratum import Moments, Stratum
from mlops_ray.spec import AB, Outcome, PromQL, Rollout
from mlops_ray.verdict import Verdict

__all__ = ["outcome_metrics"]


def outcome_metrics(evidence: Evidence, rollout: Rollout, budget: Budget) -> list[MetricAssessment]:
    """One assessment for each outcome and query of the spec, the primary outcome of an AB test first."""
    metrics = []
    if rollout.ab is not None:
        metrics.append(_primary(evidence, rollout.ab, budget))
    metrics += [_guardrail(outcome, evidence, rollout, budget) for outcome in outcomes_of(rollout)]
    metrics += [_query(query, evidence.measurements.get(query.name, Measured())) for query in rollout.analysis.promql]
    return metrics


def _primary(evidence: Evidence, ab: AB, budget: Budget) -> MetricAssessment:
    """PASS: better, the upper limit of the harm below 0. FAIL: worse, the lower limit above 0."""
    outcome = ab.primary
    sides = _sides(evidence, outcome)
    found = _harm(evidence, outcome, scale=ab.min_effect, level=budget.critical, beta=budget.beta)
    verdict = Verdict.INCONCLUSIVE
    if found is not None:
        verdict = Verdict.FAIL if found.lower > 0.0 else Verdict.PASS if found.upper < 0.0 else verdict
    word = {Verdict.FAIL: "worse", Verdict.PASS: "better", Verdict.INCONCLUSIVE: "undecided"}[verdict]
    return MetricAssessment(
        name=outcome.name,
        kind="outcome",
        critical=True,
        holds=verdict is not Verdict.PASS,
        verdict=verdict,
        message=f"{_said(outcome, sides, found)}: {word}",
        estimate=_estimate(sides, found),
        must_have_data=True,
    )


def _guardrail(outcome: Outcome, evidence: Evidence, rollout: Rollout, budget: Budget) -> MetricAssessment:
    """PASS: the upper limit of the harm below max_harm. FAIL: the lower limit above 0, and max_harm estimated."""
    sides = _sides(evidence, outcome)
    level = budget.critical if outcome.critical else budget.reported
    found = _harm(evidence, outcome, scale=outcome.max_harm, level=level, beta=budget.beta)
    verdict = Verdict.INCONCLUSIVE
    if found is not None and found.lower > 0.0 and found.estimate >= outcome.max_harm:
        verdict = Verdict.FAIL
    elif found is not None and found.upper < outcome.max_harm:
        verdict = Verdict.PASS
    word = {Verdict.FAIL: "worse", Verdict.PASS: "fine", Verdict.INCONCLUSIVE: "undecided"}[verdict]
    must_pass = outcome.critical and rollout.strategy != "ab" and found is not None
    return MetricAssessment(
        name=outcome.name,
        kind="outcome",
        critical=outcome.critical,
        holds=_holds(outcome, found is not None, verdict) or (must_pass and verdict is not Verdict.PASS),
        verdict=verdict,
        message=f"{_said(outcome, sides, found)}, {outcome.max_harm:g} is too much: {word}",
        estimate=_estimate(sides, found),
        must_have_data=outcome.must_have_data,
    )


def _query(query: PromQL, measured: Measured) -> MetricAssessment:
    """FAIL: the newest `failures` values outside of the bounds. PASS: the newest one inside."""
    verdict, word = Verdict.INCONCLUSIVE, "not measured yet"
    if measured.outside >= query.failures:
        verdict, word = Verdict.FAIL, f"outside {measured.outside:,} times in a row"
    elif measured.outside:
        word = f"outside {measured.outside:,} of {query.failures:,} times in a row"
    elif measured.taken:
        verdict, word = Verdict.PASS, "inside"
    missed = f", {measured.missed:,} not taken" if measured.missed else ""
    last = "" if measured.last is None else f" {measured.last:g},"
    return MetricAssessment(
        name=query.name,
        kind="promql",
        critical=query.critical,
        holds=_holds(query, measured.taken > 0, verdict)
        or (query.critical and measured.taken > 0 and verdict is not Verdict.PASS),
        verdict=verdict,
        message=f"{query.name}:{last} {_bounds(query)}, {measured.taken:,} measurements{missed}: {word}",
        estimate={} if measured.last is None else {"last": measured.last},
        must_have_data=query.must_have_data,
    )


def _holds(metric: Outcome | PromQL, has_data: bool, verdict: Verdict) -> bool:
    """A metric that must have data holds until it has; one that is only reported needs no more than that."""
    if not metric.must_have_data:
        return False
    return not has_data or (metric.critical and verdict is not Verdict.PASS)


def _sides(evidence: Evidence, outcome: Outcome) -> tuple[Moments, Moments]:
    strata = evidence.outcomes.get(outcome.name, ())
    return pooled([stratum.canary for stratum in strata]), pooled([stratum.champion for stratum in strata])


def _harm(evidence: Evidence, outcome: Outcome, *, scale: float, level: float, beta: float) -> Harm | None:
    strata: Sequence[Stratum] = evidence.outcomes.get(outcome.name, ())
    both = [stratum for stratum in strata if stratum.canary.n and stratum.champion.n]
    labels = min(sum(stratum.canary.n for stratum in both), sum(stratum.champion.n for stratum in both))
    if labels < outcome.min_labels:
        return None
    within = (0.0, 1.0) if outcome.of == "error" else None
    return harm(both, better=outcome.better, scale=scale, lower_level=level, upper_level=beta, within=within)


def _said(outcome: Outcome, sides: tuple[Moments, Moments], found: Harm | None) -> str:
    canary, champion = sides
    means = (
        f"{outcome.name}: {canary.mean:.4g} over {canary.n:,} units on the canary, {champion.mean:.4g} over "
        f"{champion.n:,} on the champion"
    )
    if found is None:
        return f"{means}, at least {outcome.min_labels:,} that differ are needed on each side"
    return f"{means}, harm {found.estimate:.3g} between {found.lower:.3g} and {found.upper:.3g}"


def _estimate(sides: tuple[Moments, Moments], found: Harm | None) -> dict[str, float]:
    canary, champion = sides
    known: dict[str, float] = {"canary_units": canary.n, "champion_units": champion.n}
    if found is not None:
        known |= {"harm": found.estimate, "lower": found.lower, "upper": found.upper}
    return known


def _bounds(query: PromQL) -> str:
    bounds = ([f"at least {query.min:g}"] if query.min is not None else []) + (
        [f"at most {query.max:g}"] if query.max is not None else []
    )
    return " and ".join(bounds)
