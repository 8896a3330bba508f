"""Names and ranges: fixed by the contract, so spelled out here."""

from __future__ import annotations

from pathlib import Path

import pytest

from tiphys.ctl.layout import Cluster, CtlError, check_request


def test_default_cluster() -> None:
    cluster = Cluster("default", 0, Path("/var/lib/tiphys/default"), 2)
    first, second = cluster.nodes
    assert (cluster.bridge, cluster.host_ip, cluster.node_cidr) == ("tiphys0", "172.29.0.1", "172.29.0.0/24")
    assert (cluster.service_cidr, cluster.kubernetes_ip, cluster.dns_ip) == (
        "10.64.0.0/16",
        "10.64.0.1",
        "10.64.0.10",
    )
    assert (cluster.pod_cidr, cluster.api_port) == ("10.128.0.0/16", 6443)
    assert (first.name, first.ip, first.pod_cidr) == ("node-1", "172.29.0.2", "10.128.1.0/24")
    assert (second.name, second.ip, second.namespace) == ("node-2", "172.29.0.3", "tiphys0-n2")


def test_another_cluster() -> None:
    cluster = Cluster("dev", 3, Path("/x/dev"))
    assert cluster.node(1).name == "dev-node-1"
    assert (cluster.api_url, cluster.node_api_url) == ("https://127.0.0.1:6446", "https://172.29.3.1:6446")
    assert (cluster.pod_cidr, cluster.service_cidr) == ("10.131.0.0/16", "10.67.0.0/16")


def test_clusters_never_overlap() -> None:
    seen = set()
    for index in range(64):
        cluster = Cluster("c", index, Path("/x"))
        seen |= {cluster.pod_cidr, cluster.service_cidr, cluster.node_cidr, str(cluster.api_port)}
        assert len(cluster.node(250).veth) <= 15
        assert len(cluster.bridge) <= 15
    assert len(seen) == 64 * 4


@pytest.mark.parametrize(
    ("name", "nodes", "folder", "words"),
    [
        ("Dev", 1, "/x", "not usable"),
        ("-a", 1, "/x", "not usable"),
        ("a" * 31, 1, "/x", "not usable"),
        ("a", 0, "/x", "1 to 250"),
        ("a", 251, "/x", "1 to 250"),
        ("a", 1, "/x" * 50, "too deep"),
    ],
)
def test_refused(name: str, nodes: int, folder: str, words: str) -> None:
    with pytest.raises(CtlError, match=words):
        check_request(name, nodes, Path(folder))
