from typing import Any

import pytest
from pydantic import ValidationError

from mlops_ray.spec import Rollout

PRIMARY = {"name": "bought", "of": "label", "better": "higher", "max_harm": 0.01}
AB = {"primary": PRIMARY, "min_effect": 0.02}


def plan(**section: Any) -> list[tuple[float, float]]:
    """(share, mirror) of each step."""
    return [(step.share, step.mirror) for step in Rollout.model_validate(section).plan]


def test_every_strategy_has_its_plan() -> None:
    assert plan() == [(0.05, 0.0), (0.25, 0.0), (0.5, 0.0)]
    assert plan(strategy="blue-green") == [(1.0, 0.0)]
    assert plan(strategy="shadow", shadow={"mirror": 0.4}) == [(0.0, 0.4)]
    assert plan(strategy="ab", ab=AB | {"share": 0.3}) == [(0.3, 0.0)]
    assert plan(strategy="all-at-once") == []


def test_times_and_requests_of_a_section_are_those_of_its_step() -> None:
    times = {"min_s": 1.0, "max_s": 2.0, "min_requests": 3}
    step = Rollout.model_validate({"strategy": "blue-green", "bake": times}).plan[0]
    assert (step.min_s, step.max_s, step.min_requests) == (1.0, 2.0, 3)


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({"bake": {"min_s": 1}}, "bake is of strategy 'blue-green', but strategy is 'canary'"),
        ({"strategy": "ab"}, "needs a section `ab`"),
        ({"steps": [{"share": 0.5}, {"share": 0.1}]}, "must grow"),
        ({"steps": [{"share": 0.1}, {"share": 0.0, "mirror": 0.5}]}, "must grow"),
        ({"steps": [{"share": 0.0}]}, "shows nothing"),
        ({"steps": [{"share": 0.5, "min_s": 9, "max_s": 9}]}, "max_s (9) must be above min_s (9)"),
        ({"strategy": "shadow", "shadow": {"min_s": 9, "max_s": 9}}, "max_s (9) must be above min_s (9)"),
        ({"analysis": {"outcomes": [PRIMARY, PRIMARY]}}, "'bought' is used twice"),
        ({"analysis": {"outcomes": [PRIMARY | {"of": "error"}]}}, "lower is better"),
        ({"analysis": {"promql": [{"name": "q", "query": "up"}]}}, "set max, min or both"),
        ({"analysis": {"latency": {"quantiles": [0.9, 0.5]}}}, "must grow"),
        (
            {"strategy": "shadow", "analysis": {"outcomes": [PRIMARY | {"must_have_data": True}]}},
            "nobody to compare it with",
        ),
    ],
)
def test_what_makes_no_sense_is_refused_with_the_reason(section: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError) as refused:
        Rollout.model_validate(section)
    assert message in str(refused.value)


def test_a_canary_may_begin_in_the_dark() -> None:
    assert plan(steps=[{"share": 0.0, "mirror": 0.2}, {"share": 0.1}]) == [(0.0, 0.2), (0.1, 0.0)]


def test_a_rollout_survives_the_round_trip_with_all_its_defaults_written_out() -> None:
    rollout = Rollout.model_validate({"strategy": "ab", "ab": AB})
    assert Rollout.model_validate_json(rollout.model_dump_json()) == rollout
