"""What each rule came to over a whole batch, and whether the batch is refused; pure."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Self

from mlops_ray.data.column import Column
from mlops_ray.data.rules import Broken
from mlops_ray.data.statistics import BatchStatistics
from mlops_ray.drift import DriftReport
from mlops_ray.spec import BatchRule, Checks, FeatureRule, Severity
from mlops_ray.verdict import Verdict

__all__ = ["Evidence", "RuleResult", "check_batch", "refusal"]


@dataclass(frozen=True)
class RuleResult:
    """One rule, as it was kept by one batch."""

    rule: str  # "column.rule", or the name of a check
    severity: Severity
    verdict: Verdict  # INCONCLUSIVE: there was too little to say, which refuses nothing
    message: str
    rows: int = 0  # that broke it, where rows do
    examples: tuple[str, ...] = ()

    @property
    def refuses(self) -> bool:
        """Whether the batch cannot be committed."""
        return self.severity == "block" and self.verdict is Verdict.FAIL

    def to_json(self) -> dict[str, Any]:
        """A JSON object."""
        return asdict(self) | {"verdict": self.verdict.value, "examples": list(self.examples)}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        """The inverse of `to_json`."""
        return cls(**{**content, "verdict": Verdict(content["verdict"]), "examples": tuple(content["examples"])})


@dataclass(frozen=True)
class Evidence:
    """What the rules need besides the statistics of the batch."""

    repeated: int = 0  # rows that repeat the unique columns of another
    previous: str | None = None  # the version before
    previous_rows: int = 0  # that it added
    drift: DriftReport | None = None  # from it
    label_power: Mapping[str, float | None] = field(default_factory=dict)  # by feature
    newest_s: float | None = None  # the newest data.timestamp
    now_s: float = 0.0


def check_batch(
    statistics: BatchStatistics, columns: Sequence[Column], checks: Checks, evidence: Evidence
) -> tuple[RuleResult, ...]:
    """Every rule that the spec asks for, those about columns first."""
    batch = _Batch(statistics, checks, evidence)
    results = [result for column in columns for result in _column_rules(column, statistics, checks)]
    found = [
        batch.quarantined_share(),
        batch.min_rows(),
        batch.unique(),
        batch.row_change(),
        batch.age(),
        batch.distribution(),
        batch.duplicates(),
        batch.leakage(),
    ]
    return (*results, *(result for result in found if result is not None))


def refusal(results: Sequence[RuleResult]) -> str | None:
    """Why the batch cannot be committed; None when it can."""
    refusing = [result for result in results if result.refuses]
    if not refusing:
        return None
    more = f" (and {len(refusing) - 1} more rules refuse it)" if len(refusing) > 1 else ""
    return refusing[0].message + more


def _column_rules(column: Column, statistics: BatchStatistics, checks: Checks) -> Iterator[RuleResult]:
    if column.feature:
        yield _null_share(column, statistics)
    rules: dict[FeatureRule, bool] = {
        "type": True,
        "null": not column.nullable,
        "min": column.min is not None,
        "max": column.max is not None,
        "categories": column.categories is not None,
        "regex": column.regex is not None,
    }
    for rule, asked in rules.items():
        if asked:
            yield _row_rule(f"{column.name}.{rule}", column.severity_of(rule), statistics)
    for key in checks.foreign_keys:
        if key.column == column.name:
            yield _row_rule(f"{column.name}.foreign_key", key.severity, statistics)


def _row_rule(name: str, severity: Severity, statistics: BatchStatistics) -> RuleResult:
    broken = statistics.broken.get(name, Broken())
    if not broken.rows:
        return RuleResult(name, severity, Verdict.PASS, "kept by every row")
    shown = f", such as {', '.join(repr(e) for e in broken.examples)}" if broken.examples else ""
    message = f"rule {name}: broken by {broken.rows:,} of {statistics.rows:,} rows{shown}"
    return RuleResult(name, severity, Verdict.FAIL, message, broken.rows, broken.examples)


def _null_share(column: Column, statistics: BatchStatistics) -> RuleResult:
    name, severity = f"{column.name}.null_share", column.severity_of("null_share")
    nulls, rows = statistics.nulls.get(column.name, 0), statistics.rows
    share = nulls / rows if rows else 0.0
    if rows and nulls == rows and column.max_null_share < 1:
        message = f"column {column.name!r}: expected values, found null in all {rows:,} rows of the batch"
        return RuleResult(name, severity, Verdict.FAIL, message, nulls)
    if column.nullable and nulls > column.max_null_share * rows:
        message = (
            f"column {column.name!r}: expected at most {column.max_null_share:.2%} nulls (max_null_share), found "
            f"{nulls:,} of {rows:,} ({share:.2%})"
        )
        return RuleResult(name, severity, Verdict.FAIL, message, nulls)
    return RuleResult(name, severity, Verdict.PASS, f"{share:.2%} null", nulls)


@dataclass(frozen=True)
class _Batch:
    """The checks on the batch as a whole; each is None where the spec does not ask for it."""

    statistics: BatchStatistics
    checks: Checks
    evidence: Evidence

    def quarantined_share(self) -> RuleResult:
        found, limit = self.statistics, self.checks.max_quarantined_share
        share = found.quarantined_rows / found.rows if found.rows else 0.0
        message = (
            f"expected at most {limit:.2%} bad rows (checks.max_quarantined_share), found "
            f"{found.quarantined_rows:,} of {found.rows:,} ({share:.2%})"
        ) + (f": {_worst(found.reasons)}" if found.reasons else "")
        return self._result("max_quarantined_share", share > limit, message, found.quarantined_rows)

    def min_rows(self) -> RuleResult:
        found = self.statistics
        message = (
            f"expected at least {self.checks.min_rows:,} good rows (checks.min_rows), found {found.good_rows:,} "
            f"among {found.rows:,}"
        ) + (f": {_worst(found.reasons)}" if found.reasons else "")
        return self._result("min_rows", found.good_rows < self.checks.min_rows, message)

    def unique(self) -> RuleResult | None:
        if not self.checks.unique:
            return None
        where = " of the table" if self.checks.unique_in == "table" else ""
        message = (
            f"expected {', '.join(self.checks.unique)} to name each row{where} once (checks.unique), found "
            f"{self.evidence.repeated:,} of {self.statistics.good_rows:,} rows that repeat another one"
        )
        return self._result("unique", self.evidence.repeated > 0, message, self.evidence.repeated)

    def row_change(self) -> RuleResult | None:
        if self.checks.row_change is None:
            return None
        before, rows = self.evidence.previous_rows, self.statistics.good_rows
        if not before:
            return self._too_little("row_change", "there is no version before to compare with")
        low, high = self.checks.row_change
        message = (
            f"expected {low:g} to {high:g} times the {before:,} rows that {self.evidence.previous} added "
            f"(checks.row_change), found {rows:,} ({rows / before:.2f} times)"
        )
        return self._result("row_change", not low <= rows / before <= high, message)

    def age(self) -> RuleResult | None:
        if self.checks.max_age_s is None:
            return None
        if self.evidence.newest_s is None:
            return self._too_little("max_age_s", "no row has a time")
        age_s = self.evidence.now_s - self.evidence.newest_s
        message = (
            f"expected the newest row to be at most {self.checks.max_age_s:,.0f} s old (checks.max_age_s), "
            f"found {age_s:,.0f} s"
        )
        return self._result("max_age_s", age_s > self.checks.max_age_s, message)

    def distribution(self) -> RuleResult | None:
        if self.checks.distribution is None:
            return None
        drift = self.evidence.drift
        if drift is None:
            return self._too_little("distribution", "the version before kept no statistics to compare with")
        if drift.verdict is Verdict.INCONCLUSIVE:
            return self._too_little("distribution", drift.message)
        message = f"against {self.evidence.previous} (checks.distribution): {drift.message}"
        return self._result("distribution", drift.verdict is Verdict.FAIL, message)

    def duplicates(self) -> RuleResult | None:
        if self.checks.max_duplicate_share is None:
            return None
        share = self.statistics.whole_rows.repeated_share()
        message = (
            f"expected at most {self.checks.max_duplicate_share:.2%} rows that repeat another one in every column "
            f"(checks.max_duplicate_share), found {'' if self.statistics.whole_rows.exact else 'about '}{share:.2%}"
        )
        rows = round(share * self.statistics.good_rows)
        return self._result("max_duplicate_share", share > self.checks.max_duplicate_share, message, rows)

    def leakage(self) -> RuleResult | None:
        limit = self.checks.max_leakage
        if limit is None:
            return None
        powers = {name: power for name, power in self.evidence.label_power.items() if power is not None}
        if not powers:
            return self._too_little("max_leakage", "too few rows have a label")
        order = sorted(powers, key=lambda name: (-powers[name], name))
        shown = ", ".join(f"{name} {powers[name]:.3f}" for name in order if powers[name] > limit)
        message = f"expected no feature to predict the label alone better than {limit:g} (checks.max_leakage), found "
        return self._result("max_leakage", bool(shown), message + (shown or f"{powers[order[0]]:.3f} ({order[0]})"))

    def _result(self, rule: BatchRule, broken: bool, message: str, rows: int = 0) -> RuleResult:
        verdict = Verdict.FAIL if broken else Verdict.PASS
        return RuleResult(f"checks.{rule}", self.checks.severity_of(rule), verdict, message, rows if broken else 0)

    def _too_little(self, rule: BatchRule, message: str) -> RuleResult:
        return RuleResult(f"checks.{rule}", self.checks.severity_of(rule), Verdict.INCONCLUSIVE, message)


def _worst(reasons: Mapping[str, int]) -> str:
    worst = sorted(reasons.items(), key=lambda item: (-item[1], item[0]))[:5]
    return ", ".join(f"{reason} ({count:,} rows)" for reason, count in worst)
