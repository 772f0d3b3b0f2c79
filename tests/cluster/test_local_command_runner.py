"""Commands of a local node: their environment, their failures, and `ray stop` that stays at home."""

import os
import sys
from pathlib import Path

import click
import pytest

from mlops_ray.control.local_command_runner import LocalCommandRunner, without_ray_stop
from mlops_ray.control.local_nodes import LocalNode, LocalNodes
from mlops_ray.control.marked_processes import MARK_VARIABLE, find_marked, stop_marked


@pytest.fixture
def nodes(tmp_path: Path) -> LocalNodes:
    return LocalNodes(tmp_path / "state", "one", network="127.0.10")


@pytest.fixture
def node(nodes: LocalNodes) -> LocalNode:
    return nodes.add({})


@pytest.fixture
def runner(nodes: LocalNodes, node: LocalNode) -> LocalCommandRunner:
    return LocalCommandRunner(nodes, node.id)


def test_a_command_sees_its_node(runner: LocalCommandRunner, nodes: LocalNodes, node: LocalNode) -> None:
    seen = runner.run(f"echo $NODE_IP $NODE_HOME ${MARK_VARIABLE}", with_output=True).split()
    assert seen == [node.ip, str(nodes.home(node.id)), node.mark]


def test_python_is_the_one_that_runs_this(runner: LocalCommandRunner) -> None:
    found = runner.run("command -v python", with_output=True).strip()
    assert Path(found).parent == Path(sys.executable).parent


def test_values_of_ray_that_are_no_text_become_json(runner: LocalCommandRunner) -> None:
    seen = runner.run("echo $RESOURCES", with_output=True, environment_variables={"RESOURCES": {"CPU": 2}})
    assert seen.strip() == '{"CPU": 2}'


def test_the_address_of_another_cluster_is_not_inherited(
    runner: LocalCommandRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.1:6379")
    assert runner.run("echo found:$RAY_ADDRESS", with_output=True).strip() == "found:"


def test_a_command_that_fails_shows_its_output(runner: LocalCommandRunner) -> None:
    with pytest.raises(click.ClickException, match=r"exit code 3 of: echo port is taken(.|\n)*port is taken"):
        runner.run("echo port is taken >&2; exit 3")


def test_a_command_that_fails_ends_the_program_where_ray_asks_for_it(
    runner: LocalCommandRunner, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        runner.run("echo broken; exit 4", exit_on_fail=True)
    assert caught.value.code == 4
    assert "broken" in capsys.readouterr().err


def test_a_command_without_end_is_given_up(runner: LocalCommandRunner) -> None:
    with pytest.raises(click.ClickException, match="no end after 1 s of: sleep 30"):
        runner.run("sleep 30", timeout=1)


def test_a_daemon_left_behind_does_not_hold_the_command_up(
    runner: LocalCommandRunner, node: LocalNode, nodes: LocalNodes
) -> None:
    runner.run("sleep 60 & echo started", timeout=10)
    assert len(find_marked(node.mark)) == 1
    stop_marked(node.mark)


def test_ray_stop_stops_the_processes_of_this_node_only(
    runner: LocalCommandRunner, node: LocalNode, nodes: LocalNodes
) -> None:
    neighbour = nodes.add({})
    runner.run("sleep 60 &")
    LocalCommandRunner(nodes, neighbour.id).run("sleep 60 &")
    runner.run("ray stop")
    assert (len(find_marked(node.mark)), len(find_marked(neighbour.mark))) == (0, 1)
    stop_marked(neighbour.mark)


@pytest.mark.parametrize(
    ("command", "rest"),
    [
        ("ray stop", "true"),
        ("ray stop --force", "true"),
        ("export A=1; ray stop --force --grace-period=3; echo", "export A=1; true; echo"),
        ("ray stop && ray start --head", "true && ray start --head"),
    ],
)
def test_no_ray_stop_reaches_the_shell(command: str, rest: str) -> None:
    assert without_ray_stop(command) == (rest, True)


@pytest.mark.parametrize("command", ["ray start --head", "array stop", "ray stopwatch"])
def test_other_commands_are_left_alone(command: str) -> None:
    assert without_ray_stop(command) == (command, False)


def test_a_home_relative_target_lies_in_the_folder_of_the_node(
    runner: LocalCommandRunner, nodes: LocalNodes, node: LocalNode, tmp_path: Path
) -> None:
    source = tmp_path / "bootstrap"
    source.write_text("{}")
    runner.run_rsync_up(str(source), "~/deep/config.yaml")
    assert (nodes.home(node.id) / "deep" / "config.yaml").read_text() == "{}"
    runner.run_rsync_down("~/deep/config.yaml", str(tmp_path / "back"))
    assert (tmp_path / "back").read_text() == "{}"


def test_a_folder_is_copied_over_one_that_is_there(runner: LocalCommandRunner, tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "file").write_text("1")
    for _ in range(2):
        runner.run_rsync_up(str(tmp_path / "a"), str(tmp_path / "b"))
    assert os.listdir(tmp_path / "b") == ["file"]
