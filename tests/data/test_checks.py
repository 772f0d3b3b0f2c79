"""The checks that warn of a batch or refuse all of it."""

from typing import Any

import numpy as np
import pytest

from mlops_ray.data.checks import Evidence, RuleResult, check_batch, refusal
from mlops_ray.data.column import Column
from mlops_ray.data.hash_counts import HashCounter
from mlops_ray.data.hashing import mixed
from mlops_ray.data.rules import Broken
from mlops_ray.data.statistics import BatchStatistics
from mlops_ray.drift import DriftReport
from mlops_ray.spec import Checks, Distribution, ForeignKey
from mlops_ray.verdict import Verdict

COLUMNS = (
    Column("age", "float", nullable=False, max_null_share=0.0, max=120, severity={"max": "warn"}),
    Column("income", "float", nullable=True, max_null_share=0.25),
    Column("zip", "category", nullable=False, regex="^[0-9]+$", severity={"regex": "block"}),
    Column("label", "flag", nullable=True, feature=False),
)


def found(statistics: BatchStatistics, checks: Checks | None = None, **evidence: Any) -> dict[str, RuleResult]:
    results = check_batch(statistics, COLUMNS, checks or Checks(), Evidence(**evidence))
    return {result.rule: result for result in results}


def refused(statistics: BatchStatistics, checks: Checks | None = None, **evidence: Any) -> str | None:
    return refusal(check_batch(statistics, COLUMNS, checks or Checks(), Evidence(**evidence)))


def test_a_batch_within_its_bounds_passes() -> None:
    statistics = BatchStatistics(100, 90, {"age: null": 10}, {"income": 25, "label": 100})
    assert refused(statistics) is None
    assert {result.verdict for result in found(statistics).values()} == {Verdict.PASS}


@pytest.mark.parametrize(
    ("statistics", "message"),
    [
        (
            BatchStatistics(100, 89, {"age: null": 11}),
            "expected at most 10.00% bad rows (checks.max_quarantined_share), found 11 of 100 (11.00%): "
            "age: null (11 rows)",
        ),
        (BatchStatistics(20, 19, {}), "expected at least 20 good rows (checks.min_rows), found 19 among 20"),
        (
            BatchStatistics(50, 50, {}, {"income": 13}),
            "column 'income': expected at most 25.00% nulls (max_null_share), found 13 of 50 (26.00%)",
        ),
        (
            BatchStatistics(50, 50, {}, {"income": 50}),
            "column 'income': expected values, found null in all 50 rows of the batch",
        ),
        (
            BatchStatistics(50, 0, {"age: null": 50}, {"age": 50}),
            "column 'age': expected values, found null in all 50 rows of the batch (and 2 more rules refuse it)",
        ),
        (
            BatchStatistics(50, 50, broken={"zip.regex": Broken(2, ("x", "y"))}),
            "rule zip.regex: broken by 2 of 50 rows, such as 'x', 'y'",
        ),
    ],
)
def test_a_broken_check_says_what_was_expected_and_found(statistics: BatchStatistics, message: str) -> None:
    assert refused(statistics, Checks(min_rows=20)) == message


def test_rows_that_repeat_a_unique_key_refuse_the_batch() -> None:
    message = refused(BatchStatistics(30, 30), Checks(unique=("id", "day")), repeated=2)
    assert message is not None
    assert "expected id, day to name each row once (checks.unique), found 2 of 30 rows" in message


def test_a_rule_that_warns_refuses_nothing() -> None:
    result = found(BatchStatistics(50, 50, broken={"age.max": Broken(3, ("130.0",))}))["age.max"]
    assert (result.verdict, result.severity, result.rows, result.refuses) == (Verdict.FAIL, "warn", 3, False)
    assert refused(BatchStatistics(5, 5), Checks(min_rows=9, severity={"min_rows": "warn"})) is None


def test_a_foreign_key_has_the_severity_of_its_own() -> None:
    checks = Checks(foreign_keys=(ForeignKey(column="zip", dataset="m.zips@latest", key="zip", severity="block"),))
    assert refused(BatchStatistics(9, 9, broken={"zip.foreign_key": Broken(1)}), checks) is not None
    assert refused(BatchStatistics(9, 9), checks) is None


@pytest.mark.parametrize(("rows", "verdict"), [(49, Verdict.FAIL), (50, Verdict.PASS), (201, Verdict.FAIL)])
def test_the_number_of_rows_is_held_against_the_version_before(rows: int, verdict: Verdict) -> None:
    checks = Checks(row_change=(0.5, 2.0))
    result = found(BatchStatistics(rows, rows), checks, previous="m.t@v3", previous_rows=100)["checks.row_change"]
    assert result.verdict is verdict
    assert "the 100 rows that m.t@v3 added" in result.message


def test_without_a_version_before_nothing_is_said_of_change() -> None:
    checks = Checks(row_change=(0.5, 2.0), distribution=Distribution())
    results = found(BatchStatistics(9, 9), checks)
    assert results["checks.row_change"].verdict is Verdict.INCONCLUSIVE
    assert results["checks.distribution"].verdict is Verdict.INCONCLUSIVE
    assert refused(BatchStatistics(9, 9), checks) is None


def test_rows_that_are_too_old_refuse_the_batch() -> None:
    checks = Checks(max_age_s=60)
    assert refused(BatchStatistics(9, 9), checks, newest_s=1000.0, now_s=1060.0) is None
    assert "found 61 s" in str(refused(BatchStatistics(9, 9), checks, newest_s=1000.0, now_s=1061.0))
    assert found(BatchStatistics(9, 9), checks)["checks.max_age_s"].verdict is Verdict.INCONCLUSIVE


def test_a_drifted_column_refuses_the_batch_where_the_spec_asks_for_it() -> None:
    drift = DriftReport(Verdict.FAIL, 900, (), "1 of 3 features drifted over 900 rows: age")
    evidence: dict[str, Any] = {"drift": drift, "previous": "m.t@v3"}
    assert refused(BatchStatistics(9, 9), **evidence) is None
    message = refused(BatchStatistics(9, 9), Checks(distribution=Distribution()), **evidence)
    assert message == "against m.t@v3 (checks.distribution): 1 of 3 features drifted over 900 rows: age"


def test_too_many_duplicates_refuse_the_batch() -> None:
    counter = HashCounter(100)
    counter.add(mixed(np.arange(10, dtype=np.uint64).repeat(2)))
    statistics = BatchStatistics(20, 20, whole_rows=counter.result())
    assert "found 50.00%" in str(refused(statistics, Checks(max_duplicate_share=0.4)))
    assert refused(statistics, Checks(max_duplicate_share=0.5)) is None


def test_a_feature_that_is_the_label_refuses_the_batch() -> None:
    power = {"age": 0.7, "zip": 0.999, "income": None}
    assert "found zip 0.999" in str(refused(BatchStatistics(9, 9), Checks(max_leakage=0.99), label_power=power))
    assert refused(BatchStatistics(9, 9), Checks(max_leakage=0.9995), label_power=power) is None
    assert found(BatchStatistics(9, 9), Checks(max_leakage=0.9))["checks.max_leakage"].verdict is Verdict.INCONCLUSIVE


def test_a_result_survives_json() -> None:
    result = RuleResult("age.max", "warn", Verdict.FAIL, "x", 3, ("a",))
    assert RuleResult.from_json(result.to_json()) == result
