"""Which processes make up a cluster, and with which flags.

Pure: a ``Cluster`` in, ``Component`` rows out. ``supervisor`` runs them.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from tiphys.apimachinery.dataclass import dataclass
from tiphys.ctl.extra_config import by_component, with_flags
from tiphys.ctl.layout import DOMAIN, Cluster, Node
from tiphys.ctl.resolver import Resolver

_SHARED_DISK = {
    # The machine's disk is not the node's alone: a full one is no reason to drop imported images or pods.
    "eviction-hard": "memory.available<100Mi,nodefs.available<1%,nodefs.inodesFree<1%",
    "image-gc-high-threshold": "100",
    "image-gc-low-threshold": "99",
}
_DNS_QUESTION = b"\0\x11\0\1\1\0\0\1\0\0\0\0\0\0\0\0\2\0\1"
"""Over TCP: the name servers of the root."""


@dataclass(frozen=True, slots=True)
class Probe:
    """How to find out whether a component still answers: any answer but HTTP's 5xx will do."""

    host: str
    port: int
    request: bytes
    tls: bool = False


@dataclass(frozen=True, slots=True)
class Component:
    """One process. ``argv`` are flags of ``tiphys <command>``; with ``external`` a whole command line."""

    name: str
    """Unique in the cluster: ``apiserver``, ``kubelet-node-1``."""
    command: str
    argv: tuple[str, ...]
    log: Path
    namespace: Path | None = None
    """Network namespace to run in; None is the host's."""
    external: bool = False
    needs_api: bool = False
    """Start it only once the API server answers."""
    outlives: bool = False
    """It goes on when the supervisor dies, and is found again by the next one."""
    probe: Probe | None = None


def components(cluster: Cluster, resolver: Resolver | None = None) -> list[Component]:
    """Return every component of a cluster in the order of starting."""
    rows = [_etcd(cluster)] if cluster.store == "etcd" else []
    rows.append(_apiserver(cluster))
    rows += [_containerd(cluster, node) for node in cluster.nodes]
    for name in ("controller-manager", "scheduler"):
        rows.append(
            Component(
                name=name,
                command=name,
                argv=(
                    *_flags(
                        {
                            "kubeconfig": str(cluster.pki / f"{name}.conf"),
                            "bind-address": "127.0.0.1",
                            "secure-port": str(cluster.component_port(name)),
                            # There is one of each: one that was killed need not wait for its own lease.
                            "leader-elect": "false",
                        }
                    ),
                    *_manager_flags(cluster, name),
                ),
                log=cluster.logs / f"{name}.log",
                needs_api=True,
                probe=Probe("127.0.0.1", cluster.component_port(name), _get("/livez"), tls=True),
            )
        )
    resolver = resolver or Resolver()
    if cluster.outbound and resolver.stubs and not resolver.servers:
        rows.append(_host_dns(cluster, resolver))
        resolver = Resolver((cluster.host_ip,), resolver.stubs, resolver.path)
    for node in cluster.nodes:
        rows += _node(cluster, node, resolver)
    extra = by_component(cluster.extra)
    return [replace(row, argv=with_flags(row.argv, extra.get(row.command, ()))) for row in rows]


def _etcd(cluster: Cluster) -> Component:
    flags = {
        "name": cluster.name,
        "data-dir": str(cluster.folder / "etcd"),
        "listen-client-urls": cluster.etcd_url,
        "advertise-client-urls": cluster.etcd_url,
        "listen-peer-urls": cluster.etcd_peer_url,
        "initial-advertise-peer-urls": cluster.etcd_peer_url,
        "initial-cluster": f"{cluster.name}={cluster.etcd_peer_url}",
        "logger": "zap",
    }
    host, _, port = cluster.etcd_url.rpartition("//")[2].rpartition(":")
    return Component(
        "etcd",
        "etcd",
        ("etcd", *_flags(flags)),
        cluster.logs / "etcd.log",
        external=True,
        # Says 503 while it has no leader, which starting it anew does not mend: an answer is enough.
        probe=Probe(host, int(port), _get("/version")),
    )


def _apiserver(cluster: Cluster) -> Component:
    pki = cluster.pki
    own_etcd = cluster.store == "etcd"
    flags = {
        "store": f"etcd:{cluster.etcd_url}" if own_etcd else f"sqlite:{cluster.folder / 'store.db'}",
        "bind-address": f"127.0.0.1,{cluster.host_ip}",
        "secure-port": str(cluster.api_port),
        "advertise-address": cluster.host_ip,
        "client-ca-file": str(pki / "ca.crt"),
        "tls-cert-file": str(pki / "apiserver.crt"),
        "tls-private-key-file": str(pki / "apiserver.key"),
        "service-account-key-file": str(pki / "sa.pub"),
        "service-account-signing-key-file": str(pki / "sa.key"),
        "service-account-issuer": f"https://kubernetes.default.svc.{DOMAIN}",
        "authorization-mode": "Node,RBAC",
        "service-cluster-ip-range": cluster.service_cidr,
        "kubelet-client-certificate": str(pki / "apiserver-kubelet-client.crt"),
        "kubelet-client-key": str(pki / "apiserver-kubelet-client.key"),
        "kubelet-certificate-authority": str(pki / "ca.crt"),
        # Whoever watches or follows logs holds ``down`` up no longer than two seconds.
        "shutdown-send-retry-after": "true",
        "shutdown-watch-termination-grace-period": "1s",
        "component-ports": ",".join(
            f"{name}={cluster.component_port(name)}" for name in ("controller-manager", "scheduler")
        ),
    }
    if own_etcd:
        flags["etcd-staged-snapshot"] = str(cluster.staged_snapshot)
    probe = Probe("127.0.0.1", cluster.api_port, _get("/livez"), tls=True)
    return Component("apiserver", "apiserver", _flags(flags), cluster.logs / "apiserver.log", probe=probe)


def _manager_flags(cluster: Cluster, name: str) -> tuple[str, ...]:
    if name != "controller-manager":
        return ()
    pki = cluster.pki
    # No ranges for nodes: a node's is fixed by its number, before there is a Node object.
    return _flags(
        {
            "service-account-private-key-file": str(pki / "sa.key"),
            "root-ca-file": str(pki / "ca.crt"),
            "cluster-signing-cert-file": str(pki / "ca.crt"),
            "cluster-signing-key-file": str(pki / "ca.key"),
            # The nodes are namespaces of one machine: a folder of it is there on each of them.
            "enable-hostpath-provisioner": "true",
            "hostpath-provisioner-dir": str(cluster.folder / "volumes"),
        }
    )


def _containerd(cluster: Cluster, node: Node) -> Component:
    return Component(
        name=f"containerd-{node.name}",
        command="containerd",
        argv=("containerd", "--config", str(node.folder / "containerd.toml")),
        log=cluster.logs / f"containerd-{node.name}.log",
        namespace=node.namespace_path,
        external=True,
        outlives=True,
    )


def _host_dns(cluster: Cluster, resolver: Resolver) -> Component:
    """Asks, for the nodes, the servers that only this machine's own namespace can reach."""
    flags = {
        "kubeconfig": str(cluster.node(1).folder / "pki" / "dns.conf"),
        "bind-address": cluster.host_ip,
        "cluster-domain": DOMAIN,
        "upstream": ",".join(resolver.stubs),
        "health-address": "",
    }
    return Component("dns", "dns", _flags(flags), cluster.logs / "dns.log", needs_api=True)


def _node(cluster: Cluster, node: Node, resolver: Resolver) -> list[Component]:
    pki = node.folder / "pki"
    kubelet = {
        "kubeconfig": str(pki / "kubelet.conf"),
        "hostname-override": node.name,
        "node-ip": node.ip,
        "root-dir": str(node.folder / "kubelet"),
        "log-root": str(node.folder / "pods"),
        "system-logs-dir": str(node.folder / "pods"),
        "container-runtime-endpoint": f"unix://{node.containerd_socket}",
        "cgroup-root": f"{cluster.cgroup}/{node.name}",
        "shared-machine": "true",
        "cluster-dns": cluster.dns_ip,
        "cluster-domain": DOMAIN,
        "port": "10250",
        "tls-cert-file": str(pki / "kubelet.crt"),
        "tls-private-key-file": str(pki / "kubelet.key"),
        "client-ca-file": str(cluster.pki / "ca.crt"),
        "resolv-conf": str(resolver.path),
        **_SHARED_DISK,
    }
    proxy = {
        "kubeconfig": str(pki / "proxy.conf"),
        "node-name": node.name,
        "cluster-cidr": cluster.pod_cidr,
        "nodeport-addresses": node.ip,
        "network-policies": "true",
    }
    dns = {
        "kubeconfig": str(pki / "dns.conf"),
        "node-name": node.name,
        "bind-address": node.ip,
        "cluster-dns": cluster.dns_ip,
        "cluster-domain": DOMAIN,
        "upstream": ",".join(resolver.servers) if cluster.outbound and resolver.servers else "none",
        "stub-addresses": ",".join(resolver.stubs),
    }
    probes = {
        "kubelet": Probe(node.ip, 10250, _get("/healthz"), tls=True),  # refuses us, which is an answer
        "proxy": Probe(node.ip, 10256, _get("/livez")),
        "dns": Probe(node.ip, 53, _DNS_QUESTION),
    }
    return [
        Component(
            name=f"{command}-{node.name}",
            command=command,
            argv=_flags(flags),
            log=cluster.logs / f"{command}-{node.name}.log",
            namespace=node.namespace_path,
            needs_api=True,
            probe=probes[command],
        )
        for command, flags in (("kubelet", kubelet), ("proxy", proxy), ("dns", dns))
    ]


def _get(path: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: probe\r\nConnection: close\r\n\r\n".encode()


def _flags(values: dict[str, str]) -> tuple[str, ...]:
    return tuple(f"--{name}={value}" for name, value in values.items())
