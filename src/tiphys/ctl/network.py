"""The network of a cluster: one bridge, one namespace for each node, and the routes between them.

The plans are pure (commands as text); ``create`` and ``destroy`` run them (ip, nft, nsenter, and
``firewall``). The bridge carries the cluster's folder as its alias, so that nobody takes down a bridge
that is another's.

Nothing meant for a pod or a service can leave the machine: their ranges are unreachable in the root namespace
but through the cluster's bridge, and without outbound traffic the bridge forwards nowhere.
"""

from __future__ import annotations

import contextlib
import ipaddress
import json
import subprocess
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from tiphys.ctl import firewall
from tiphys.ctl.layout import MAX_CLUSTERS, Cluster, CtlError, Node

_LAST_RESORT = 4_000_000_000
"""Metric of the unreachable routes: any other route to the same range wins."""
_TRIES = 10
_FORWARD = Path("/proc/sys/net/ipv4/ip_forward")


def alias(cluster: Cluster) -> str:
    """Return what marks a bridge as this cluster's."""
    return f"tiphys {cluster.folder}"[:250]


def root_commands(cluster: Cluster) -> list[str]:
    """Return the ``ip -batch`` lines for the root namespace, once the bridge is there."""
    bridge = cluster.bridge
    lines = [
        f"addr add {cluster.host_ip}/24 dev {bridge}",
        f"link set {bridge} up",
        f"route replace unreachable {cluster.pod_cidr} metric {_LAST_RESORT}",
        f"route replace unreachable {cluster.service_cidr} metric {_LAST_RESORT}",
    ]
    for node in cluster.nodes:
        lines += [
            f"netns add {node.namespace}",
            f"link add {node.veth} type veth peer name eth0 netns {node.namespace}",
            f"link set {node.veth} master {bridge}",
            f"link set {node.veth} up",
            f"route replace {node.pod_cidr} via {node.ip} dev {bridge}",
        ]
    # The host (webhooks, aggregated APIs) reaches services through the first node's rules.
    lines.append(f"route replace {cluster.service_cidr} via {cluster.node(1).ip} dev {bridge}")
    return lines


def node_commands(cluster: Cluster, node: Node) -> list[str]:
    """Return the ``ip -batch`` lines for a node's namespace."""
    lines = [
        "link set lo up",
        f"addr add {node.ip}/24 dev eth0",
        "link set eth0 up",
        # Lets the node's own processes begin a connection to a service, which the proxy then redirects.
        f"route replace {cluster.service_cidr} dev eth0",
    ]
    lines += [f"route replace {item.pod_cidr} via {item.ip}" for item in cluster.nodes if item != node]
    if cluster.outbound:
        lines.append(f"route replace default via {cluster.host_ip}")
    return lines


def node_rules(cluster: Cluster, node: Node) -> str:
    """Return the nft script of a node: refuse services nobody translated, masquerade what goes outside."""
    inside = ", ".join((cluster.pod_cidr, cluster.service_cidr, cluster.node_cidr))
    return f"""\
add table ip tiphys-node
delete table ip tiphys-node
table ip tiphys-node {{
  chain forward {{
    type filter hook forward priority 10; policy accept;
    ip daddr {cluster.service_cidr} reject
  }}
  chain output {{
    type filter hook output priority 10; policy accept;
    ip daddr {cluster.service_cidr} reject
  }}
  chain postrouting {{
    type nat hook postrouting priority 110; policy accept;
    ip saddr {node.pod_cidr} ip daddr != {{ {inside}, 224.0.0.0/4 }} masquerade
  }}
}}
"""


def root_rules(cluster: Cluster) -> str:
    """Return the nft script of the root namespace: what may pass between the bridge and the world."""
    bridge = cluster.bridge
    if cluster.outbound:
        passing = f'''iifname "{bridge}" oifname "tiphys*" oifname != "{bridge}" drop
    oifname "{bridge}" iifname != "{bridge}" ct state new drop'''
        nat = f"""  chain postrouting {{
    type nat hook postrouting priority 100; policy accept;
    ip saddr {cluster.node_cidr} oifname != "{bridge}" masquerade
  }}
"""
    else:
        passing = f'''iifname "{bridge}" oifname != "{bridge}" drop
    oifname "{bridge}" iifname != "{bridge}" drop'''
        nat = ""
    return f"""\
add table ip {bridge}
delete table ip {bridge}
table ip {bridge} {{
  chain forward {{
    type filter hook forward priority 0; policy accept;
    {passing}
  }}
{nat}}}
"""


def cni_conf(node: Node) -> str:
    """Return the CNI configuration of a node's pods.

    Every pod has a routed link of its own (ptp), not a port of a bridge: replies of services then always
    pass the node's rules, with no need for bridge netfilter or hairpin ports.
    """
    ipam = {
        "type": "host-local",
        "dataDir": str(node.folder / "ipam"),
        "ranges": [[{"subnet": node.pod_cidr}]],
        "routes": [{"dst": "0.0.0.0/0"}],
    }
    plugins = [
        {"type": "ptp", "ipMasq": False, "mtu": 1500, "ipam": ipam},
        {"type": "portmap", "capabilities": {"portMappings": True}, "snat": True},
    ]
    conf = {"cniVersion": "0.4.0", "name": node.namespace, "plugins": plugins}
    return json.dumps(conf, indent=2)


_NODE_SYSCTLS = {
    "net/ipv4/ip_forward": "1",
    "net/ipv4/conf/all/rp_filter": "0",
    "net/ipv4/conf/default/rp_filter": "0",
    "net/ipv4/conf/all/send_redirects": "0",
    "net/ipv4/conf/default/send_redirects": "0",
    # A redirect would use up the rate at which refusals may be sent.
    "net/ipv4/conf/eth0/send_redirects": "0",
}


def run(argv: Sequence[str], stdin: str = "") -> str:
    """Run a command and return its output. Raises CtlError with what it said."""
    try:
        done = subprocess.run(argv, input=stdin, capture_output=True, text=True, check=False, timeout=60)
    except FileNotFoundError as error:
        raise CtlError(f"{argv[0]} is not installed") from error
    except subprocess.TimeoutExpired as error:
        raise CtlError(f"{argv[0]} did not finish within a minute") from error
    if done.returncode:
        raise CtlError(f"{' '.join(argv)}: {done.stderr.strip()}")
    return done.stdout


def _links() -> dict[str, str]:
    """Return the root namespace's links and their aliases."""
    return {item["ifname"]: item.get("ifalias", "") for item in json.loads(run(["ip", "-j", "link", "show"]))}


def claim_index(folder: Path, name: str) -> int:
    """Take the first index whose bridge and ranges are free, by making its bridge. Raises CtlError."""
    taken = _links()
    routes = json.loads(run(["ip", "-j", "route", "show", "table", "main"]) or "[]")
    used = [ipaddress.ip_network(item["dst"]) for item in routes if _is_range(item.get("dst", ""))]
    for index in range(MAX_CLUSTERS):
        cluster = Cluster(name, index, folder)
        ranges = [ipaddress.ip_network(text) for text in _ranges(cluster)]
        if cluster.bridge in taken or any(mine.overlaps(other) for mine in ranges for other in used):
            continue
        with contextlib.suppress(CtlError):  # somebody was faster: try the next
            _make_bridge(cluster)
            return index
    raise CtlError(
        f"no free index: this machine has {MAX_CLUSTERS} clusters, or other networks use their ranges"
    )


def _is_range(text: str) -> bool:
    try:
        ipaddress.ip_network(text)
    except ValueError:
        return False
    return True


def _ranges(cluster: Cluster) -> tuple[str, ...]:
    return cluster.node_cidr, cluster.pod_cidr, cluster.service_cidr


def _make_bridge(cluster: Cluster) -> None:
    run(["ip", "link", "add", cluster.bridge, "type", "bridge"])
    run(["ip", "link", "set", cluster.bridge, "alias", alias(cluster)])


def is_ours(cluster: Cluster) -> bool | None:
    """True when the bridge is this cluster's, False when another has it, None when there is none."""
    found = _links().get(cluster.bridge)
    return None if found is None else found == alias(cluster)


def create(cluster: Cluster) -> None:
    """Make the whole network, or what is missing of it. Raises CtlError."""
    ours = is_ours(cluster)
    if ours is False:
        raise CtlError(
            f"network {cluster.bridge} of {cluster.name!r} belongs to another cluster of this machine: "
            "stop that one first"
        )
    if ours is None:
        _make_bridge(cluster)
    for attempt in range(_TRIES):
        try:
            _create_rest(cluster)
            return
        except CtlError:
            # A namespace that was just deleted takes its cable along a moment later.
            if attempt == _TRIES - 1:
                raise
            time.sleep(0.1)


def _create_rest(cluster: Cluster) -> None:
    # Each line says what should be; what is there already is no failure, a real one shows in the check below.
    subprocess.run(
        ["ip", "-force", "-batch", "-"], input=_text(root_commands(cluster)), text=True, capture_output=True,
        check=False,
    )  # fmt: skip
    run(["nft", "-f", "-"], root_rules(cluster))
    firewall.let_through(cluster)
    if cluster.outbound and _FORWARD.read_text().strip() == "0":
        _forward_record(cluster).touch()
        _FORWARD.write_text("1\n")
    for node in cluster.nodes:
        _create_node(cluster, node)


def _create_node(cluster: Cluster, node: Node) -> None:
    if not node.namespace_path.exists():
        raise CtlError(f"network namespace {node.namespace} could not be made")
    subprocess.run(
        ["ip", "-force", "-n", node.namespace, "-batch", "-"], input=_text(node_commands(cluster, node)),
        text=True, capture_output=True, check=False,
    )  # fmt: skip
    addresses = run(["ip", "-n", node.namespace, "addr", "show", "dev", "eth0"])
    if f"{node.ip}/24" not in addresses:
        raise CtlError(f"node {node.name} did not get its address {node.ip}")
    enter = ["nsenter", f"--net={node.namespace_path}"]
    run([*enter, "nft", "-f", "-"], node_rules(cluster, node))
    sysctls = "".join(f"echo {value} > /proc/sys/{name}\n" for name, value in _NODE_SYSCTLS.items())
    run([*enter, "sh", "-e"], sysctls)
    conf = node.folder / "cni" / "10-tiphys.conflist"
    conf.parent.mkdir(parents=True, exist_ok=True)
    conf.write_text(cni_conf(node))


def _forward_record(cluster: Cluster) -> Path:
    """Return the file whose being there says that this cluster switched the machine's forwarding on."""
    return cluster.folder / "forwarding-was-off"


def _text(lines: Iterable[str]) -> str:
    return "\n".join(lines) + "\n"


def destroy(cluster: Cluster) -> None:
    """Remove the network. What is not there is fine; another cluster's bridge is left alone."""
    if is_ours(cluster) is False:
        return
    lines = [f"netns del {node.namespace}" for node in cluster.nodes]
    lines += [f"link del {cluster.bridge}"]
    lines += [f"link del {node.veth}" for node in cluster.nodes]
    for cidr in (cluster.pod_cidr, cluster.service_cidr):
        lines.append(f"route del unreachable {cidr} metric {_LAST_RESORT}")
    subprocess.run(
        ["ip", "-force", "-batch", "-"], input=_text(lines), text=True, capture_output=True, check=False
    )
    subprocess.run(["nft", "delete", "table", "ip", cluster.bridge], capture_output=True, check=False)
    firewall.take_back(cluster)
    if _forward_record(cluster).exists():
        if not any(name.startswith("tiphys") for name in _links()):
            _FORWARD.write_text("0\n")
        _forward_record(cluster).unlink()
