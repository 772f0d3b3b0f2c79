"""The simulation of rollouts runs, its committed result keeps what is promised, and its rules do what they say."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks.rollout_judging import OURS, Ended, judge, row_of, upper_limit
from benchmarks.rollout_rules import RULES
from benchmarks.rollout_traffic import LOOKS, Traffic, clustered, mirrored, ramp, requests_of_units, steady
from mlops_ray.spec import Rollout

ROOT = Path(__file__).parents[2]
COMMITTED = json.loads((ROOT / "benchmarks" / "results" / "rollout_statistics.json").read_text())


@pytest.fixture(scope="module")
def quick(tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    """The result of three simulated rollouts of each kind, as printed and as written."""
    file = tmp_path_factory.mktemp("result") / "result.json"
    command = [sys.executable, "benchmarks/rollout_statistics.py", "--json", "--runs", "3", "--output", str(file)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    printed: dict[str, object] = json.loads(done.stdout.splitlines()[-1])
    assert printed == json.loads(file.read_text())
    return printed


def test_the_script_prints_and_writes_what_is_committed_but_for_the_numbers(quick: dict[str, object]) -> None:
    assert set(quick) == set(COMMITTED)
    assert set(quick["ratios"]) == set(COMMITTED["ratios"])  # type: ignore[call-overload]

    def cases(result: dict[str, object]) -> list[tuple[str, str]]:
        return [(row["scenario"], row["rule"]) for row in result["rows"]]  # type: ignore[attr-defined]

    assert cases(quick) == cases(COMMITTED)


@pytest.mark.parametrize(
    "name",
    [
        "aa_false_rollback_max",
        "aa_joint_false_rollback",
        "aa_joint_false_warning",
        "aa_all_critical_false_rollback",
        "ab_false_rollback",
    ],
)
def test_the_committed_result_rolls_equal_versions_back_no_more_often_than_alpha(name: str) -> None:
    assert COMMITTED["runs"] >= 1000
    assert COMMITTED["ratios"][name] <= upper_limit(COMMITTED["alpha"], COMMITTED["runs"])


@pytest.mark.parametrize(
    "name",
    ["false_promotion_1_5x", "false_promotion_1_5x_defaults", "false_promotion_1_5x_retries", "ab_false_promotion"],
)
def test_the_committed_result_promotes_what_is_too_bad_no_more_often_than_beta(name: str) -> None:
    assert COMMITTED["ratios"][name] <= upper_limit(COMMITTED["beta"], COMMITTED["runs"])


def test_the_committed_result_finds_five_percent_of_errors_within_three_minutes() -> None:
    assert COMMITTED["ratios"]["detect_5pct_found"] >= 0.99
    assert COMMITTED["ratios"]["detect_5pct_median_min"] <= 3.0


def test_the_committed_result_promotes_equal_versions_whatever_their_traffic() -> None:
    assert COMMITTED["ratios"]["aa_promoted_min"] >= 0.9


def test_units_of_clustered_traffic_fail_first_once_and_the_rest_are_repeated() -> None:
    traffic = clustered(np.random.default_rng(1), ramp(), requests=2_000.0)
    assert traffic.first_bad.sum() <= 1_000
    assert (traffic.first_bad <= traffic.bad).all()
    assert 0.005 < traffic.bad.sum() / traffic.requests.sum() < 0.02
    assert traffic.bad.sum() > 3 * traffic.first_bad.sum()


def test_copies_are_a_share_of_requests_and_fail_as_often_as_their_originals() -> None:
    traffic = mirrored(np.random.default_rng(1), 0.3, requests=2_000.0)
    copies, originals = traffic.requests.sum(axis=0)
    assert copies / originals == pytest.approx(0.3, rel=0.02)
    assert traffic.bad[:, 0].sum() / copies == pytest.approx(traffic.bad[:, 1].sum() / originals, rel=0.1)
    assert {block.share for block in traffic.blocks()} == {0.0}


def test_the_share_of_requests_follows_the_share_of_units() -> None:
    traffic = requests_of_units(np.random.default_rng(1), ramp(), steady(0.01), requests=steady(2_000.0))
    realised = traffic.requests[:, 0] / traffic.requests.sum(axis=1)
    assert np.abs(realised - ramp()).max() < 0.06
    assert sorted(set(ramp().tolist())) == [0.05, 0.25, 0.5]


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize(("canary", "rolls_back"), [(0.0, False), (0.3, True)])
def test_every_other_rule_sees_what_cannot_be_missed(rule: str, canary: float, rolls_back: bool) -> None:
    bad = np.tile(np.array([[int(canary * 200), 18]]), (LOOKS, 1))
    traffic = Traffic(steady(0.1), np.tile(np.array([[200, 1_800]]), (LOOKS, 1)), bad, bad)
    assert (RULES[rule](traffic) is not None) is rolls_back


def test_a_rollout_is_judged_until_its_first_fail() -> None:
    bad = np.array([[0, 2], [0, 2], [60, 2], [0, 2]])
    traffic = Traffic(steady(0.5, 4), np.full((4, 2), 300), bad, bad)
    assert judge(traffic.blocks(), Rollout()) == Ended(failed=3, passed=1)


def test_a_row_counts_a_promotion_only_before_the_rollback() -> None:
    ended = [Ended(failed=3, passed=1), Ended(failed=2), Ended(passed=2, warned=1), Ended()]
    row = row_of("some", OURS, ended, requests=[np.array([5, 10, 15])] * 4, look_s=30.0)
    assert (row.rolled_back, row.promoted, row.warned) == (0.5, 0.5, 0.25)
    assert (row.median_canary_requests, row.median_minutes) == (12.5, 1.25)
