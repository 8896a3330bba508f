"""The flags that each component of a cluster gets."""

from __future__ import annotations

from pathlib import Path

from tiphys.ctl.components import components
from tiphys.ctl.layout import Cluster

CLUSTER = Cluster("default", 0, Path("/x"), 2)


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


def test_node_processes_run_in_their_namespace() -> None:
    for row in components(CLUSTER):
        node = row.name.rpartition("-")[2]
        assert row.namespace == (Path(f"/run/netns/tiphys0-n{node}") if "-node-" in row.name else None)


def test_upstream_servers_only_with_outbound_traffic() -> None:
    def upstream(cluster: Cluster, servers: list[str]) -> str:
        row = next(row for row in components(cluster, servers) if row.command == "dns")
        return next(flag for flag in row.argv if flag.startswith("--upstream"))

    assert upstream(CLUSTER, ["192.0.2.1", "192.0.2.2"]) == "--upstream=192.0.2.1,192.0.2.2"
    assert upstream(CLUSTER, []) == "--upstream=none"
    assert upstream(Cluster("d", 0, Path("/x"), 1, outbound=False), ["192.0.2.1"]) == "--upstream=none"
