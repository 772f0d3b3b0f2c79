from pathlib import Path
from typing import Any

import pytest

from mlops_ray.control.plan import Baseline, baseline_of, delivery_plan, plan_text
from mlops_ray.lake import Lake
from mlops_ray.records import RecordLog
from mlops_ray.spec import ModelSpec, Workspace
from tests.control.test_postmortem import served
from tests.control.world import toy_spec

QUIET = Baseline(requests_per_s=20.0, error_rate=0.01, labels_per_s=None, label_sd=None)
PRIMARY = {"name": "bought", "of": "label", "better": "higher", "max_harm": 0.01}


def ab(**changes: Any) -> ModelSpec:
    section = {"share": 0.5, "primary": PRIMARY, "min_effect": 0.02, "min_s": 60, "max_s": 86_400}
    return toy_spec(rollout={"strategy": "ab", "ab": section | changes})


def test_a_step_takes_as_long_as_its_requests_need() -> None:
    step = {"share": 0.1, "min_s": 10, "max_s": 3600, "min_requests": 600}
    content = delivery_plan(toy_spec(rollout={"steps": [step]}), QUIET)
    assert content["steps"][0]["shortest_s"] == 300.0
    assert "step 1: share 0.1, 5 min to 60 min" in plan_text(content)


def test_what_a_step_would_find_and_when_follows_from_the_champions_errors() -> None:
    found = delivery_plan(toy_spec(), QUIET)["steps"][0]
    assert (found["champion_error_rate"], found["worse_error_rate"]) == (0.01, 0.03)
    assert found["found_after_s"] == pytest.approx(found["found_after_requests"] / 2.0)


def test_without_traffic_the_plan_says_so_and_names_no_times() -> None:
    content = delivery_plan(toy_spec(), Baseline(None, 0.0, None, None))
    assert content["steps"][0]["found_after_s"] is None
    assert "--requests-per-s" in plan_text(content)


def test_the_power_of_an_ab_test_is_said_with_the_labels_it_needs() -> None:
    content = delivery_plan(ab(), QUIET)
    assert (content["ab"]["sd"], content["ab"]["sd_was_seen"]) == (0.5, False)
    assert content["ab"]["canary_labels"] > 1000
    assert f"{content['ab']['canary_labels']:,} labelled units" in plan_text(content)


def test_a_test_that_will_not_be_decided_in_its_time_is_called_so() -> None:
    slow = Baseline(requests_per_s=20.0, error_rate=0.0, labels_per_s=0.001, label_sd=0.4)
    assert "probably end undecided" in plan_text(delivery_plan(ab(), slow))


def test_half_the_effect_needs_about_four_times_the_labels() -> None:
    large, small = (delivery_plan(ab(min_effect=effect), QUIET)["ab"]["canary_labels"] for effect in (0.04, 0.02))
    assert 3.5 < small / large < 4.6


def test_all_at_once_compares_nothing() -> None:
    assert "nothing is compared" in plan_text(delivery_plan(toy_spec(rollout={"strategy": "all-at-once"}), QUIET))


def test_the_baseline_is_what_was_served_in_the_last_hour(tmp_path: Path) -> None:
    workspace = Workspace.at(tmp_path)
    log = RecordLog(Lake(workspace.lake), "toy")
    canarys = served(2, ["boom", "boom", None, None], 9900.0)
    champions = served(2, ["boom", None, None, None], 9900.0).set_column(
        canarys.schema.get_field_index("assigned"), "assigned", [["champion"] * 4]
    )
    for name, table in (("a-00000001", canarys), ("a-00000002", champions)):
        log.append_served(name, table, 9900.0)
    found = baseline_of(toy_spec(), workspace, now_s=10_000.0, requests_per_s=None)
    assert (found.requests_per_s, found.error_rate) == (0.08, 0.25), "errors of a canary are not the champion's"
    assert baseline_of(toy_spec(), workspace, now_s=10_000.0, requests_per_s=7.0).requests_per_s == 7.0


def test_where_nothing_was_served_nothing_is_assumed(tmp_path: Path) -> None:
    found = baseline_of(toy_spec(), Workspace.at(tmp_path), now_s=10_000.0, requests_per_s=None)
    assert found == Baseline(None, 0.0, None, None)
