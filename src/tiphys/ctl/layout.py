"""Where everything of a cluster is: names, address ranges, folders.

Pure. All of it follows from the cluster's name, its index on this machine and its folder, so nothing needs to
be remembered beyond ``cluster.json``.
"""

from __future__ import annotations

import re
from pathlib import Path

from tiphys.apimachinery.dataclass import dataclass
from tiphys.apimachinery.errors import TiphysError

MAX_CLUSTERS = 64
MAX_NODES = 250
DEFAULT_NAME = "default"
DOMAIN = "cluster.local"
_API_PORT = 6443
_ETCD_PORT = 12379
_NAME = re.compile(r"^[a-z0-9]([a-z0-9-]{0,28}[a-z0-9])?$")
_SOCKET_PATH_LIMIT = 104  # containerd refuses longer ones, although Linux allows 107


class CtlError(TiphysError):
    """Something the person at the terminal must know, in words meant for them."""


@dataclass(frozen=True, slots=True)
class Node:
    """One node; ``number`` counts from 1."""

    number: int
    name: str
    namespace: str
    """Of its network."""
    veth: str
    """The host's end of its cable; the node's own end is eth0."""
    ip: str
    pod_cidr: str
    folder: Path

    @property
    def namespace_path(self) -> Path:
        return Path("/run/netns", self.namespace)

    @property
    def containerd_socket(self) -> Path:
        return self.folder / "containerd.sock"


@dataclass(frozen=True, slots=True)
class Cluster:
    """One cluster on this machine."""

    name: str
    index: int
    folder: Path
    node_count: int = 1
    outbound: bool = True
    store: str = "sqlite"
    extra: tuple[str, ...] = ()
    """Flags that its maker added to its components; see ``extra_config``."""

    @property
    def bridge(self) -> str:
        return f"tiphys{self.index}"

    @property
    def host_ip(self) -> str:
        """The host's address on the bridge, where the API server listens for the nodes."""
        return f"172.29.{self.index}.1"

    @property
    def node_cidr(self) -> str:
        return f"172.29.{self.index}.0/24"

    @property
    def pod_cidr(self) -> str:
        return f"10.{128 + self.index}.0.0/16"

    @property
    def service_cidr(self) -> str:
        return f"10.{64 + self.index}.0.0/16"

    @property
    def kubernetes_ip(self) -> str:
        return f"10.{64 + self.index}.0.1"

    @property
    def dns_ip(self) -> str:
        return f"10.{64 + self.index}.0.10"

    def component_port(self, name: str) -> int:
        """Where a part of the control plane serves health and metrics: ten ports on for each cluster."""
        return {"controller-manager": 10257, "scheduler": 10259}[name] + 10 * self.index

    @property
    def api_port(self) -> int:
        return _API_PORT + self.index

    @property
    def api_url(self) -> str:
        """For people and processes on the host."""
        return f"https://127.0.0.1:{self.api_port}"

    @property
    def node_api_url(self) -> str:
        """For what runs in a node's namespace."""
        return f"https://{self.host_ip}:{self.api_port}"

    @property
    def etcd_url(self) -> str:
        """Of its own etcd, with ``store`` etcd: on loopback only."""
        return f"http://127.0.0.1:{_ETCD_PORT + 2 * self.index}"

    @property
    def staged_snapshot(self) -> Path:
        """What an API server on etcd puts back before it serves, if it is there."""
        return self.folder / "etcd.restore"

    @property
    def etcd_peer_url(self) -> str:
        return f"http://127.0.0.1:{_ETCD_PORT + 2 * self.index + 1}"

    @property
    def cgroup(self) -> str:
        """Where the control groups of all its pods are."""
        return f"/tiphys/{self.bridge}"

    @property
    def kubeconfig(self) -> Path:
        return self.folder / "kubeconfig"

    @property
    def pki(self) -> Path:
        return self.folder / "pki"

    @property
    def logs(self) -> Path:
        return self.folder / "logs"

    @property
    def control_socket(self) -> Path:
        return self.folder / "supervisor.sock"

    @property
    def nodes(self) -> tuple[Node, ...]:
        return tuple(self.node(number) for number in range(1, self.node_count + 1))

    def node(self, number: int) -> Node:
        """Return node ``number`` (from 1)."""
        prefix = "" if self.name == DEFAULT_NAME else f"{self.name}-"
        name = f"{prefix}node-{number}"
        return Node(
            number=number,
            name=name,
            namespace=f"{self.bridge}-n{number}",
            veth=f"t{self.index}n{number}",
            ip=f"172.29.{self.index}.{number + 1}",
            pod_cidr=f"10.{128 + self.index}.{number}.0/24",
            folder=self.folder / "nodes" / name,
        )


def check_request(name: str, nodes: int, folder: Path) -> None:
    """Refuse names, counts and folders that cannot work. Raises CtlError."""
    if not _NAME.match(name):
        raise CtlError(
            f"cluster name {name!r} is not usable: up to 30 lower-case letters, digits and dashes, "
            "with a letter or digit at both ends"
        )
    if not 1 <= nodes <= MAX_NODES:
        raise CtlError(f"{nodes} nodes asked for: a cluster on one machine has 1 to {MAX_NODES}")
    longest = Cluster(name, 0, folder, nodes).node(nodes).containerd_socket
    if len(f"{longest}.ttrpc") > _SOCKET_PATH_LIMIT:
        raise CtlError(f"the folder {folder} is too deep: {longest} is longer than a socket's path may be")
