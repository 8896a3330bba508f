"""The flags that each component of a cluster gets."""

from __future__ import annotations

from pathlib import Path

from tiphys.ctl.components import components
from tiphys.ctl.layout import Cluster
from tiphys.ctl.resolver import Resolver

CLUSTER = Cluster("default", 0, Path("/x"), 2)
CLUSTER_2 = Cluster("dev", 2, Path("/x"))


def test_names_in_the_order_of_starting() -> None:
    assert [row.name for row in components(CLUSTER)] == [
        "apiserver", "containerd-node-1", "containerd-node-2", "controller-manager", "scheduler",
        "kubelet-node-1", "proxy-node-1", "dns-node-1", "kubelet-node-2", "proxy-node-2", "dns-node-2",
    ]  # fmt: skip


def test_a_cluster_on_etcd_has_one_of_its_own() -> None:
    rows = components(Cluster("dev", 2, Path("/x"), store="etcd"))
    assert rows[0].argv[0] == "etcd"
    assert "--listen-client-urls=http://127.0.0.1:12383" in rows[0].argv
    assert "--store=etcd:http://127.0.0.1:12383" in rows[1].argv


def test_only_containerd_outlives_the_supervisor() -> None:
    rows = components(CLUSTER)
    assert {row.command for row in rows if row.outlives} == {"containerd"}
    assert {row.command for row in rows if row.external} == {"containerd"}


def test_whoever_serves_something_is_asked_whether_it_lives() -> None:
    asked = {
        row.name: (row.probe.host, row.probe.port, row.probe.tls)
        for row in components(Cluster("dev", 2, Path("/x"), 1, store="etcd"))
        if row.probe is not None
    }
    assert asked == {
        "etcd": ("127.0.0.1", 12383, False),
        "apiserver": ("127.0.0.1", 6445, True),
        "controller-manager": ("127.0.0.1", CLUSTER_2.component_port("controller-manager"), True),
        "scheduler": ("127.0.0.1", CLUSTER_2.component_port("scheduler"), True),
        "kubelet-dev-node-1": ("172.29.2.2", 10250, True),
        "proxy-dev-node-1": ("172.29.2.2", 10256, False),
        "dns-dev-node-1": ("172.29.2.2", 53, False),
    }


def test_folders_for_claims_lie_in_the_cluster_s_own() -> None:
    (manager,) = (row for row in components(CLUSTER) if row.name == "controller-manager")
    assert {"--enable-hostpath-provisioner=true", "--hostpath-provisioner-dir=/x/volumes"} <= set(
        manager.argv
    )


def test_nodes_know_that_they_share_a_machine() -> None:
    (kubelet,) = (row for row in components(CLUSTER) if row.name == "kubelet-node-2")
    assert "--shared-machine=true" in kubelet.argv


def test_node_processes_run_in_their_namespace() -> None:
    for row in components(CLUSTER):
        node = row.name.rpartition("-")[2]
        assert row.namespace == (Path(f"/run/netns/tiphys0-n{node}") if "-node-" in row.name else None)


def test_upstream_servers_only_with_outbound_traffic() -> None:
    def upstream(cluster: Cluster, servers: list[str]) -> str:
        resolver = Resolver(tuple(servers))
        row = next(row for row in components(cluster, resolver) if row.command == "dns")
        return next(flag for flag in row.argv if flag.startswith("--upstream"))

    assert upstream(CLUSTER, ["192.0.2.1", "192.0.2.2"]) == "--upstream=192.0.2.1,192.0.2.2"
    assert upstream(CLUSTER, []) == "--upstream=none"
    assert upstream(Cluster("d", 0, Path("/x"), 1, outbound=False), ["192.0.2.1"]) == "--upstream=none"


def test_a_nodes_dns_answers_where_the_machines_resolver_stands() -> None:
    """And pods that resolve as their node does are given servers that they can reach."""
    resolver = Resolver(("192.0.2.1",), ("127.0.0.53",), Path("/run/systemd/resolve/resolv.conf"))
    flags = {row.command: row.argv for row in components(CLUSTER, resolver)}
    assert "--stub-addresses=127.0.0.53" in flags["dns"]
    assert "--resolv-conf=/run/systemd/resolve/resolv.conf" in flags["kubelet"]


def test_servers_that_only_the_machine_itself_reaches_are_asked_for_the_nodes() -> None:
    rows = components(CLUSTER, Resolver((), ("127.0.0.11",)))
    (own,) = (row for row in rows if row.name == "dns")
    assert own.namespace is None
    assert {"--bind-address=172.29.0.1", "--upstream=127.0.0.11", "--health-address="} <= set(own.argv)
    nodes = [row for row in rows if row.name.startswith("dns-")]
    assert all({"--upstream=172.29.0.1", "--stub-addresses=127.0.0.11"} <= set(row.argv) for row in nodes)
    closed = components(Cluster("d", 0, Path("/x"), 1, outbound=False), Resolver((), ("127.0.0.11",)))
    assert [row.name for row in closed if row.command == "dns"] == ["dns-d-node-1"]
