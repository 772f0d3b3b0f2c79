"""The node provider, as Ray's autoscaler uses it."""

import subprocess
from pathlib import Path
from typing import Any

import pytest
from ray.autoscaler._private.providers import _get_node_provider

from mlops_ray.control.local_provider import LocalProcessProvider
from mlops_ray.control.marked_processes import find_marked


@pytest.fixture
def provider(tmp_path: Path) -> LocalProcessProvider:
    settings: dict[str, Any] = {"state_dir": str(tmp_path), "network": "127.0.20"}
    return LocalProcessProvider(settings, "one")


def test_ray_finds_it_by_the_name_in_the_yaml(tmp_path: Path) -> None:
    named = {"type": "external", "module": "mlops_ray.control.local_provider.LocalProcessProvider"}
    found = _get_node_provider(named | {"state_dir": str(tmp_path)}, "one", use_cache=False)
    assert isinstance(found, LocalProcessProvider)


def test_looking_at_a_cluster_that_is_not_there_creates_nothing(provider: LocalProcessProvider, tmp_path: Path) -> None:
    assert provider.non_terminated_nodes({}) == []
    assert list(tmp_path.iterdir()) == []


def test_nodes_are_found_by_all_of_their_tags(provider: LocalProcessProvider) -> None:
    provider.create_node({}, {"kind": "head"}, 1)
    provider.create_node({}, {"kind": "worker", "status": "new"}, 2)
    assert len(provider.non_terminated_nodes({"kind": "worker"})) == 2
    assert len(provider.non_terminated_nodes({"kind": "worker", "status": "up"})) == 0
    assert len(provider.non_terminated_nodes({})) == 3


def test_a_created_node_runs_and_has_one_address(provider: LocalProcessProvider) -> None:
    (node_id,) = provider.create_node({}, {"kind": "head"}, 1)
    assert provider.is_running(node_id)
    assert not provider.is_terminated(node_id)
    assert provider.internal_ip(node_id) == provider.external_ip(node_id) == "127.0.20.1"
    assert provider.get_node_id("127.0.20.1") == node_id


def test_tags_are_kept(provider: LocalProcessProvider) -> None:
    (node_id,) = provider.create_node({}, {"kind": "head"}, 1)
    provider.set_node_tags(node_id, {"status": "up"})
    assert provider.node_tags(node_id) == {"kind": "head", "status": "up"}


def test_a_terminated_node_is_gone_with_its_processes(provider: LocalProcessProvider) -> None:
    node_id, other_id = provider.create_node({}, {}, 2)
    mark, other_mark = provider.nodes.get(node_id).mark, provider.nodes.get(other_id).mark
    for each in (node_id, other_id):
        runner = provider.get_command_runner("", each, {}, "one", subprocess, use_internal_ip=True)
        runner.run("sleep 60 &")
    assert provider.terminate_node(node_id) == {node_id: {"ip": "127.0.20.1"}}
    assert (provider.is_terminated(node_id), provider.node_tags(node_id)) == (True, {})
    assert (find_marked(mark), len(find_marked(other_mark))) == ([], 1)
    provider.terminate_node(other_id)


def test_terminating_twice_is_fine(provider: LocalProcessProvider) -> None:
    (node_id,) = provider.create_node({}, {}, 1)
    provider.terminate_node(node_id)
    assert provider.terminate_node(node_id) is None
