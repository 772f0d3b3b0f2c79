"""The nodes of one local cluster, kept in a JSON file that several processes read and change."""

import fcntl
import json
import shutil
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from mlops_ray.errors import ClusterError

__all__ = ["LocalNode", "LocalNodes"]

_FILE, _LAST_HOST = "nodes.json", 254


@dataclass(frozen=True)
class LocalNode:
    """One Ray node that is only processes on this machine."""

    id: str  # unique in the cluster, never used again
    ip: str  # loopback address of its own
    mark: str  # random; every process of the node carries it in its environment
    tags: Mapping[str, str]  # Ray's autoscaler keeps its state here


class LocalNodes:
    """The registry of the nodes of one cluster, in the folder `state_dir/cluster_name`.

    `ray up`, `ray down` and the autoscaler on the head are different processes: every call locks the file.
    """

    def __init__(self, state_dir: Path, cluster_name: str, *, network: str) -> None:
        """`network`: the first three numbers of the nodes' addresses, as in 127.0.10."""
        self.folder = state_dir / cluster_name
        self._lock_file = state_dir / f"{cluster_name}.lock"
        self._network = network

    def all(self) -> tuple[LocalNode, ...]:
        """Every node that is not terminated, oldest first; empty when there is no cluster."""
        if not self._lock_file.exists():
            return ()
        with self._locked():
            return self._read()

    def find(self, node_id: str) -> LocalNode | None:
        """The node, or None when it is terminated."""
        return next((node for node in self.all() if node.id == node_id), None)

    def get(self, node_id: str) -> LocalNode:
        """The node.

        Raises:
            ClusterError: there is no such node (any more).
        """
        node = self.find(node_id)
        if node is None:
            known = ", ".join(n.id for n in self.all()) or "none"
            raise ClusterError(f"local node {node_id!r} is not in {self.folder}; nodes there: {known}")
        return node

    def add(self, tags: Mapping[str, str]) -> LocalNode:
        """Register a node on the lowest free address.

        Raises:
            ClusterError: the 254 addresses of the network are taken.
        """
        with self._locked():
            nodes = self._read()
            taken = {node.ip for node in nodes}
            ips = (f"{self._network}.{host}" for host in range(1, _LAST_HOST + 1))
            ip = next((ip for ip in ips if ip not in taken), None)
            if ip is None:
                raise ClusterError(f"expected a free address in {self._network}.1-{_LAST_HOST}, all are taken")
            mark = uuid.uuid4().hex
            node = LocalNode(id=f"local-{mark[:8]}", ip=ip, mark=mark, tags=dict(tags))
            self._write((*nodes, node))
            return node

    def tag(self, node_id: str, tags: Mapping[str, str]) -> None:
        """Add tags to a node; nothing happens when it is terminated."""
        with self._locked():
            nodes = self._read()
            self._write(tuple(replace(n, tags={**n.tags, **tags}) if n.id == node_id else n for n in nodes))

    def remove(self, node_id: str) -> None:
        """Forget a node and its folder; with the last one the folder of the cluster goes as well."""
        with self._locked():
            left = tuple(node for node in self._read() if node.id != node_id)
            shutil.rmtree(self.home(node_id), ignore_errors=True)
            if left:
                self._write(left)
            else:
                shutil.rmtree(self.folder, ignore_errors=True)

    def home(self, node_id: str) -> Path:
        """The folder of a node, for files that are copied to it; made by whoever writes there."""
        return self.folder / node_id

    @contextmanager
    def _locked(self) -> Iterator[None]:
        # The lock file outlives the folder: unlinking a file that others wait on would let two of them in.
        self._lock_file.parent.mkdir(parents=True, exist_ok=True)
        with self._lock_file.open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _read(self) -> tuple[LocalNode, ...]:
        file = self.folder / _FILE
        if not file.exists():
            return ()
        return tuple(LocalNode(**entry) for entry in json.loads(file.read_text(encoding="utf-8")))

    def _write(self, nodes: tuple[LocalNode, ...]) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        new = self.folder / f"{_FILE}.new"
        new.write_text(json.dumps([asdict(node) for node in nodes], indent=2), encoding="utf-8")
        new.replace(self.folder / _FILE)
