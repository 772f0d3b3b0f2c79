"""What the cluster that this process is connected to has, and may start."""

import ray
from ray._private.state import state

from mlops_ray.train.admission import NodeGroup

__all__ = ["cluster_nodes"]

# an autoscaler without an upper end says -1
_MANY = 100_000


def cluster_nodes() -> tuple[NodeGroup, ...]:
    """The nodes alive, and those the autoscaler may start, a node that is both counted once."""
    alive = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    now = tuple(NodeGroup(1, float(has.get("CPU", 0)), float(has.get("GPU", 0))) for has in alive)
    # the only place that has the groups; Ray's public interface knows their sum, which says nothing of one node
    config = state.get_cluster_config()
    groups = [] if config is None else config.node_group_configs
    later = tuple(
        NodeGroup(
            _MANY if group.max_count < 0 else int(group.max_count),
            float(group.resources.get("CPU", 0)),
            float(group.resources.get("GPU", 0)),
        )
        for group in groups
    )
    # the groups describe every node such a cluster ever has, but a cluster joined by hand may have others
    return later if _cpus(later) >= _cpus(now) else now


def _cpus(nodes: tuple[NodeGroup, ...]) -> float:
    return sum(group.count * group.cpus for group in nodes)
