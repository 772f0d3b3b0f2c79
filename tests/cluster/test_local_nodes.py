"""The registry of the nodes of a local cluster."""

from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pytest

from mlops_ray.control.local_nodes import LocalNodes
from mlops_ray.errors import ClusterError


def nodes_at(folder: Path, name: str = "one") -> LocalNodes:
    return LocalNodes(folder, name, network="127.0.10")


def _add_five(folder: Path) -> list[str]:
    return [nodes_at(folder).add({}).ip for _ in range(5)]


def test_nothing_is_written_before_the_first_node(tmp_path: Path) -> None:
    assert nodes_at(tmp_path).all() == ()
    assert list(tmp_path.iterdir()) == []


def test_nodes_get_addresses_of_their_own_from_the_lowest_on(tmp_path: Path) -> None:
    nodes = nodes_at(tmp_path)
    assert [nodes.add({}).ip for _ in range(3)] == ["127.0.10.1", "127.0.10.2", "127.0.10.3"]


def test_the_address_of_a_removed_node_is_used_again_but_not_its_id_or_mark(tmp_path: Path) -> None:
    nodes = nodes_at(tmp_path)
    first, _ = nodes.add({}), nodes.add({})
    nodes.remove(first.id)
    again = nodes.add({})
    assert again.ip == first.ip
    assert {again.id, again.mark}.isdisjoint({first.id, first.mark})


def test_another_process_sees_the_same_nodes(tmp_path: Path) -> None:
    node = nodes_at(tmp_path).add({"kind": "head"})
    assert nodes_at(tmp_path).all() == (node,)


def test_two_clusters_in_one_folder_do_not_see_each_other(tmp_path: Path) -> None:
    nodes_at(tmp_path, "one").add({})
    assert nodes_at(tmp_path, "two").all() == ()


def test_tags_are_added_to_those_there(tmp_path: Path) -> None:
    nodes = nodes_at(tmp_path)
    node = nodes.add({"kind": "head", "status": "new"})
    nodes.tag(node.id, {"status": "up"})
    assert nodes.get(node.id).tags == {"kind": "head", "status": "up"}


def test_tagging_a_removed_node_brings_nothing_back(tmp_path: Path) -> None:
    nodes = nodes_at(tmp_path)
    first, second = nodes.add({}), nodes.add({})
    nodes.remove(first.id)
    nodes.tag(first.id, {"status": "up"})
    assert nodes.all() == (second,)


def test_with_the_last_node_the_folder_of_the_cluster_goes(tmp_path: Path) -> None:
    nodes = nodes_at(tmp_path)
    node = nodes.add({})
    nodes.home(node.id).mkdir()
    nodes.remove(node.id)
    assert not nodes.folder.exists()


def test_an_unknown_node_is_named_with_those_there_are(tmp_path: Path) -> None:
    nodes = nodes_at(tmp_path)
    node = nodes.add({})
    with pytest.raises(ClusterError, match=rf"'local-7'.*{node.id}"):
        nodes.get("local-7")


def test_a_network_that_is_full_is_said_to_be(tmp_path: Path) -> None:
    nodes = nodes_at(tmp_path)
    for _ in range(254):
        nodes.add({})
    with pytest.raises(ClusterError, match="all are taken"):
        nodes.add({})


def test_processes_adding_at_the_same_time_lose_no_node(tmp_path: Path) -> None:
    with ProcessPoolExecutor(4, mp_context=get_context("spawn")) as pool:
        ips = [ip for part in pool.map(_add_five, [tmp_path] * 4) for ip in part]
    assert len(set(ips)) == 20 == len(nodes_at(tmp_path).all())
