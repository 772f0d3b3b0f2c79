"""`retrain` is refused before it connects to anything, in this process and without a cluster."""

import json
from pathlib import Path
from unittest.mock import ANY

import pytest
from typer.testing import CliRunner, Result

from mlops_ray.cli.app import app
from mlops_ray.spec import Workspace
from mlops_ray.store import AlertRecord, Event
from tests.control.world import World


@pytest.fixture
def world(tmp_path: Path) -> World:
    """Champion 1 in the store of a home."""
    return World(tmp_path).champion(1)


def retrain(world: World, *arguments: str) -> Result:
    # `World` keeps its store where a home does.
    assert Workspace.at(world.folder).store == world.store.url
    command = ["retrain", "toy", *arguments, "--home", str(world.folder), "--json"]
    return CliRunner().invoke(app, command)


def refusal(done: Result) -> str:
    assert done.exit_code == 1, done.output
    answer = json.loads(done.stdout.splitlines()[-1])
    assert answer == {"error": ANY, "kind": "ConflictError"}
    assert done.stderr == f"error: {answer['error']}\n"
    return str(answer["error"])


def test_a_rollout_under_way_refuses_it_at_once(world: World) -> None:
    world.deploy(2)
    told = refusal(retrain(world, "--force"))
    assert told == "'toy' cannot be retrained now: a rollout is under way; wait for its end"


def test_an_open_data_quality_alert_refuses_it_and_names_columns_alert_and_option(world: World) -> None:
    alert = AlertRecord("q", "toy", 1, "data_quality", "critical", "zeros", ("tenure",), {}, "open", 1.0, 1.0)
    with world.store.change(Event("alert.test", "q", {}, "test", 1.0)) as change:
        change.put_alert(alert)
    told = refusal(retrain(world))
    assert "data_quality alert q is open (tenure): zeros" in told
    assert "--force" in told
    assert world.store.triggers("toy") == []
