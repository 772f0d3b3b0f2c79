"""`ray up` on this machine alone: nodes are processes on loopback addresses; no SSH, no docker, no cloud (Linux).

A cluster YAML has `provider: {type: external, module: mlops_ray.control.local_provider.LocalProcessProvider}`, as
cluster/local.yaml does. More settings of its `provider` section:

    state_dir   folder for the registry of nodes, `~/.mlops_ray_cluster/nodes` unless told
    network     first three numbers of the nodes' addresses, `127.0.10` unless told; another one per cluster

A node's commands see these variables: NODE_IP, NODE_HOME (the node's folder, with the files that Ray copies to it, as
ray_bootstrap_config.yaml), RAY_HEAD_IP on workers, and a PATH that begins with the folder of the Python that runs
`ray up`, so that `python` in a job is that very environment.
"""

# ruff: noqa: ARG002, PLR0917  # the signatures are Ray's; most of their arguments are about SSH and docker

from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from ray.autoscaler.command_runner import CommandRunnerInterface
from ray.autoscaler.node_provider import NodeProvider

from mlops_ray.control.local_command_runner import LocalCommandRunner
from mlops_ray.control.local_nodes import LocalNodes
from mlops_ray.control.marked_processes import stop_marked

__all__ = ["LocalProcessProvider"]

_STATE_DIR, _NETWORK = "~/.mlops_ray_cluster/nodes", "127.0.10"


class LocalProcessProvider(NodeProvider):
    """Ray's node provider over the processes of this machine.

    Ray calls it from several threads and processes; all state is in `LocalNodes`, which locks.
    """

    def __init__(self, provider_config: dict[str, Any], cluster_name: str) -> None:
        """Read `state_dir` and `network`; touches nothing."""
        super().__init__(provider_config, cluster_name)
        state_dir = Path(provider_config.get("state_dir", _STATE_DIR)).expanduser()
        self.nodes = LocalNodes(state_dir, cluster_name, network=provider_config.get("network", _NETWORK))

    def non_terminated_nodes(self, tag_filters: Mapping[str, str]) -> list[str]:
        """Ids of the nodes whose tags hold all of `tag_filters`."""
        return [node.id for node in self.nodes.all() if tag_filters.items() <= node.tags.items()]

    def is_running(self, node_id: str) -> bool:
        """Whether the node is registered: a local node has no booting phase."""
        return self.nodes.find(node_id) is not None

    def is_terminated(self, node_id: str) -> bool:
        """The opposite of `is_running`."""
        return not self.is_running(node_id)

    def node_tags(self, node_id: str) -> dict[str, str]:
        """Tags of the node; none when it is terminated, as Ray asks about those too."""
        node = self.nodes.find(node_id)
        return dict(node.tags) if node else {}

    def internal_ip(self, node_id: str) -> str:
        """The loopback address of the node."""
        return self.nodes.get(node_id).ip

    def external_ip(self, node_id: str) -> str:
        """The same as `internal_ip`: there is only this machine."""
        return self.internal_ip(node_id)

    def create_node(self, node_config: dict[str, Any], tags: dict[str, str], count: int) -> dict[str, Any]:
        """Register `count` nodes. Their processes are started afterwards, by the start commands of the YAML."""
        created = [self.nodes.add(tags) for _ in range(count)]
        return {node.id: {"ip": node.ip} for node in created}

    def set_node_tags(self, node_id: str, tags: dict[str, str]) -> None:
        """Add tags to the node."""
        self.nodes.tag(node_id, tags)

    def terminate_node(self, node_id: str) -> dict[str, Any] | None:
        """Stop the node's own processes, wait until they are gone, and forget it."""
        node = self.nodes.find(node_id)
        if node is None:
            return None
        stop_marked(node.mark)
        self.nodes.remove(node_id)
        return {node_id: {"ip": node.ip}}

    def get_command_runner(
        self,
        log_prefix: str,
        node_id: str,
        auth_config: dict[str, Any],
        cluster_name: str,
        process_runner: ModuleType,
        use_internal_ip: bool,
        docker_config: dict[str, Any] | None = None,
    ) -> CommandRunnerInterface:
        """A runner of commands on the node; everything but the id is for SSH and is not used."""
        return LocalCommandRunner(self.nodes, node_id)
