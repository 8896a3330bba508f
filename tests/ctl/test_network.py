# ruff: noqa: E501
"""The network's plans, by how they read."""

from __future__ import annotations

import json
from pathlib import Path

from tiphys.ctl.layout import Cluster
from tiphys.ctl.network import cni_conf, node_commands, node_rules, root_commands, root_rules

CLUSTER = Cluster("default", 0, Path("/x"), 2, outbound=False)
OPEN = Cluster("default", 0, Path("/x"), 2, outbound=True)


def test_root_namespace() -> None:
    assert root_commands(CLUSTER) == [
        "addr add 172.29.0.1/24 dev tiphys0",
        "link set tiphys0 up",
        "route replace unreachable 10.128.0.0/16 metric 4000000000",
        "route replace unreachable 10.64.0.0/16 metric 4000000000",
        "netns add tiphys0-n1",
        "link add t0n1 type veth peer name eth0 netns tiphys0-n1",
        "link set t0n1 master tiphys0",
        "link set t0n1 up",
        "route replace 10.128.1.0/24 via 172.29.0.2 dev tiphys0",
        "netns add tiphys0-n2",
        "link add t0n2 type veth peer name eth0 netns tiphys0-n2",
        "link set t0n2 master tiphys0",
        "link set t0n2 up",
        "route replace 10.128.2.0/24 via 172.29.0.3 dev tiphys0",
        "route replace 10.64.0.0/16 via 172.29.0.2 dev tiphys0",
    ]


def test_node_without_and_with_outbound_traffic() -> None:
    closed = node_commands(CLUSTER, CLUSTER.node(1))
    assert closed == [
        "link set lo up",
        "addr add 172.29.0.2/24 dev eth0",
        "link set eth0 up",
        "route replace 10.64.0.0/16 dev eth0",
        "route replace 10.128.2.0/24 via 172.29.0.3",
    ]
    assert node_commands(OPEN, OPEN.node(1)) == [*closed, "route replace default via 172.29.0.1"]


def test_nothing_passes_the_bridge_without_outbound_traffic() -> None:
    rules = root_rules(CLUSTER)
    assert 'iifname "tiphys0" oifname != "tiphys0" drop' in rules
    assert "masquerade" not in rules
    opened = root_rules(OPEN)
    assert 'ip saddr 172.29.0.0/24 oifname != "tiphys0" masquerade' in opened
    assert 'iifname "tiphys0" oifname "tiphys*" oifname != "tiphys0" drop' in opened


def test_masquerade_spares_the_cluster() -> None:
    assert (
        "ip saddr 10.128.1.0/24 ip daddr != { 10.128.0.0/16, 10.64.0.0/16, 172.29.0.0/24, 224.0.0.0/4 } masquerade"
    ) in node_rules(CLUSTER, CLUSTER.node(1))


def test_cni() -> None:
    conf = json.loads(cni_conf(CLUSTER.node(2)))
    assert [plugin["type"] for plugin in conf["plugins"]] == ["ptp", "portmap"]
    assert conf["plugins"][0]["ipam"]["ranges"] == [[{"subnet": "10.128.2.0/24"}]]
    assert conf["plugins"][0]["ipam"]["dataDir"] == "/x/nodes/node-2/ipam"
