"""`plan`, `analysis`, `assign` and `postmortem`, as a user calls them, on a store that a rollout has gone through."""

from pathlib import Path

import pytest

from mlops_ray.control.postmortem import PostMortems
from mlops_ray.rollout import Phase, on_canary
from mlops_ray.spec import Workspace
from mlops_ray.store import RolloutRecord
from tests.cli.command import mlops_ray
from tests.control.world import WORSE, World

SPEC = """
name: toy
data: {source: /nowhere, label: y, features: {a: float}}
rollout:
  strategy: ab
  ab:
    share: 0.5
    primary: {name: bought, of: label, better: higher, max_harm: 0.01}
    min_effect: 0.02
"""


@pytest.fixture
def told(tmp_path: Path) -> tuple[Path, RolloutRecord]:
    """A home whose only model had a version rolled back."""
    world = World(tmp_path).champion(1)
    world.traffic = WORSE
    rollout = world.run(world.deploy(2))
    assert rollout.phase == Phase.ROLLED_BACK
    PostMortems(Workspace.at(tmp_path), world.store, clock=lambda: world.now_s + 60).tick()
    world.store.close()
    return tmp_path, rollout


def test_plan_says_what_an_ab_test_needs_before_it_starts(tmp_path: Path) -> None:
    (tmp_path / "toy.yaml").write_text(SPEC)
    done = mlops_ray("plan", "toy.yaml", "--requests-per-s", "20", cwd=tmp_path, home=tmp_path / "home")
    assert done.answer["ab"]["canary_labels"] > 1000
    shown = mlops_ray("plan", "toy.yaml", cwd=tmp_path, home=tmp_path / "home", as_json=False)
    assert "labelled units on the new version half of the time" in shown.out


def test_analysis_shows_every_metric_with_its_evidence(told: tuple[Path, RolloutRecord]) -> None:
    home, rollout = told
    answer = mlops_ray("analysis", "toy", cwd=home, home=home).answer
    assert (answer["rollout"], answer["phase"], answer["verdict"]) == (rollout.id, "ROLLED_BACK", "FAIL")
    assert {"errors", "latency"} <= {metric["name"] for metric in answer["metrics"]}
    assert "FAIL" in mlops_ray("analysis", "toy", cwd=home, home=home, as_json=False).out


def test_assign_computes_what_every_replica_computes(told: tuple[Path, RolloutRecord]) -> None:
    home, rollout = told
    units = [f"u{i}" for i in range(40)]
    answer = mlops_ray("assign", "toy", *units, "--share", "0.5", cwd=home, home=home).answer
    expected = [2 if on_canary(unit, rollout.id, 0.5) else 1 for unit in units]
    assert [unit["version"] for unit in answer["units"]] == expected
    assert set(expected) == {1, 2}


def test_postmortem_says_why_and_where_the_rest_lies(told: tuple[Path, RolloutRecord]) -> None:
    home, rollout = told
    answer = mlops_ray("postmortem", "toy", cwd=home, home=home).answer
    assert (answer["rollout"], answer["version"]) == (rollout.id, 2)
    assert (home / "lake" / "postmortems" / "toy" / rollout.id / "README.md").is_file()
    assert "was rolled back" in mlops_ray("postmortem", "toy", cwd=home, home=home, as_json=False).out


def test_a_rollout_there_is_not_is_refused_with_those_there_are(told: tuple[Path, RolloutRecord]) -> None:
    home, rollout = told
    assert rollout.id in mlops_ray("analysis", "toy", "--rollout", "toy-v9", cwd=home, home=home).error
