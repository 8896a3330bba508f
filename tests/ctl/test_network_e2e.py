"""A network for real: what reaches whom, and that nothing is left behind."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tiphys.ctl import network
from tiphys.ctl.layout import Cluster, CtlError

pytestmark = pytest.mark.e2e

CONNECT = """
import socket, sys
try:
    socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=3)
except OSError as error:
    print(error.errno)
"""
REFUSED, NET_UNREACHABLE, HOST_UNREACHABLE = 111, 101, 113


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    index = network.claim_index(tmp_path, "net-test")
    made = Cluster("net-test", index, tmp_path, 2, outbound=False)
    try:
        network.create(made)
        yield made
    finally:
        network.destroy(made)


def connect(address: str, namespace: str = "", port: int = 9) -> int:
    """Return the errno of connecting to a port where nobody listens: refused means that it was reached."""
    enter = ["nsenter", f"--net=/run/netns/{namespace}"] if namespace else []
    done = subprocess.run(
        [*enter, sys.executable, "-c", CONNECT, address, str(port)],
        capture_output=True,
        text=True,
        check=True,
    )
    return int(done.stdout)


def test_reach(cluster: Cluster) -> None:
    one, two = cluster.nodes
    assert connect(two.ip, one.namespace) == REFUSED
    assert connect(cluster.host_ip, one.namespace) == REFUSED
    assert connect(one.ip) == REFUSED
    # No service is there, and no way outside.
    assert connect(cluster.dns_ip, one.namespace) == REFUSED
    assert connect(cluster.dns_ip) == REFUSED
    assert connect("192.0.2.200", one.namespace) == NET_UNREACHABLE
    assert connect(cluster.pod_cidr.replace("0.0/16", "99.9")) in (NET_UNREACHABLE, HOST_UNREACHABLE)


def test_again_changes_nothing_and_repairs(cluster: Cluster) -> None:

    def routes() -> str:
        return network.run(["ip", "route"]).replace(" linkdown", "")

    before = routes()
    network.create(cluster)
    assert routes() == before
    network.run(["ip", "netns", "del", cluster.node(2).namespace])
    network.create(cluster)
    assert connect(cluster.node(2).ip) == REFUSED


def test_nothing_is_left(cluster: Cluster) -> None:
    network.destroy(cluster)
    network.destroy(cluster)
    for command in (["ip", "link"], ["ip", "route"], ["ip", "netns"], ["nft", "list", "tables"]):
        assert cluster.bridge not in network.run(command)
    assert cluster.pod_cidr not in network.run(["ip", "route"])


def test_bridge_of_another_cluster_is_left_alone(cluster: Cluster, tmp_path: Path) -> None:
    other = Cluster("other", cluster.index, tmp_path / "other", 1, outbound=False)
    with pytest.raises(CtlError, match="another cluster"):
        network.create(other)
    network.destroy(other)
    assert network.is_ours(cluster)


@pytest.mark.parametrize("outbound", [True, False])
def test_rules_are_accepted(outbound: bool) -> None:
    made = Cluster("rules", 60, Path("/x"), 2, outbound=outbound)
    for script in (network.root_rules(made), network.node_rules(made, made.node(1))):
        network.run(["unshare", "--net", "nft", "-f", "-"], script)


def test_a_filter_that_drops_what_is_forwarded(tmp_path: Path) -> None:
    """As Docker and ufw leave a machine: nodes reach each other, the host, and a world outside all the same.

    That world knows no way back to the nodes: it sees the machine's own address.
    """
    (tmp_path / "story.py").write_text(
        "import sys; from pathlib import Path\n"
        "sys.path.insert(0, sys.argv[1])\n"
        "from test_network_e2e import connect; from tiphys.ctl import network\n"
        "from tiphys.ctl.layout import Cluster\n"
        "made = Cluster('net-test', 0, Path(sys.argv[2]), 2, outbound=True)\n"
        "before = network.run(['iptables', '-S'])\n"
        "network.create(made); network.create(made)\n"
        "one, two = made.nodes\n"
        "assert connect(two.ip, one.namespace) == connect(made.host_ip, one.namespace, 6443) == 111\n"
        "assert connect('192.0.2.1', one.namespace) == 111\n"
        "assert network.run(['iptables', '-S']).count(made.bridge) == 9\n"
        "network.destroy(made)\n"
        "assert network.run(['iptables', '-S']) == before\n"
    )
    setup = (
        "mount -t tmpfs none /run/netns && mount --make-shared /run/netns && ip link set lo up\n"
        "sysctl -qw net.bridge.bridge-nf-call-iptables=1 || true\n"
        "ip netns add world && ip link add w0 type veth peer name eth0 netns world\n"
        "ip addr add 192.0.2.254/24 dev w0 && ip link set w0 up\n"
        "ip -n world addr add 192.0.2.1/24 dev eth0 && ip -n world link set eth0 up\n"
        "iptables -P FORWARD DROP && iptables -P INPUT DROP && iptables -A INPUT -i lo -j ACCEPT\n"
        "iptables -A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT\n"
        'exec "$@"\n'
    )
    story = [sys.executable, str(tmp_path / "story.py"), str(Path(__file__).parent), str(tmp_path)]
    network.run(
        ["unshare", "-n", "-m", "--propagation", "private", "sh", "-ec", setup, "sh", *story],
    )
