"""Lets a cluster's bridge through the packet filter that the machine has already, and takes that back.

Docker and ufw drop what is forwarded, and where ``br_netfilter`` is on, what passes between two ports of
a bridge counts as forwarded: the nodes of a cluster would not reach each other. A verdict of our own
table does not help, as a packet must pass every filter. So where iptables keeps things back, rules for
the bridge stand before its others. Our own table still says what may come in and go out
(``network.root_rules``). The plans are pure.
"""

from __future__ import annotations

import subprocess

from tiphys.ctl.layout import Cluster, CtlError

_CHAINS = ("FORWARD", "INPUT")
_DNS = ("udp", "tcp")
_REFUSALS = ("-j DROP", "-j REJECT")
Rule = tuple[str, ...]


def rules(bridge: str, api_port: int, *, outbound: bool) -> list[Rule]:
    """Return what a cluster needs, each after its chain: among nodes, to the API server, out and back."""
    found: list[Rule] = [
        ("FORWARD", "-i", bridge, "-o", bridge, "-j", "ACCEPT"),
        ("INPUT", "-i", bridge, "-p", "tcp", "-m", "tcp", "--dport", str(api_port), "-j", "ACCEPT"),
    ]
    if outbound:
        established = ("-m", "conntrack", "--ctstate", "RELATED,ESTABLISHED")
        found += [
            ("FORWARD", "-i", bridge, "!", "-o", bridge, "-j", "ACCEPT"),
            ("FORWARD", "!", "-i", bridge, "-o", bridge, *established, "-j", "ACCEPT"),
            *(("INPUT", "-i", bridge, "-p", way, "-m", way, "--dport", "53", "-j", "ACCEPT") for way in _DNS),
        ]
    return found


def guarded(listing: str) -> set[str]:
    """Return the chains of an ``iptables -S`` that keep something back, by policy or by an own rule."""
    found = set()
    for line in listing.splitlines():
        words = line.split()
        if len(words) < 3 or words[1] not in _CHAINS:
            continue
        by_policy = words[0] == "-P" and words[2] != "ACCEPT"
        if by_policy or (words[0] == "-A" and any(line.find(refusal) > 0 for refusal in _REFUSALS)):
            found.add(words[1])
    return found


def plan_opening(listing: str, cluster: Cluster) -> list[Rule]:
    """Return the rules that are missing where they are needed."""
    chains, there = guarded(listing), set(listing.splitlines())
    return [
        rule
        for rule in rules(cluster.bridge, cluster.api_port, outbound=cluster.outbound)
        if rule[0] in chains and f"-A {' '.join(rule)}" not in there
    ]


def plan_closing(listing: str, cluster: Cluster) -> list[Rule]:
    """Return the rules of a cluster that are there."""
    there = set(listing.splitlines())
    return [
        rule
        for rule in rules(cluster.bridge, cluster.api_port, outbound=True)
        if f"-A {' '.join(rule)}" in there
    ]


def let_through(cluster: Cluster) -> None:
    """Put rules for the bridge before those that keep something back. Raises CtlError."""
    for rule in plan_opening(_listing(), cluster):
        chain, *rest = rule
        done = _iptables("-I", chain, "1", *rest)
        if done.returncode:
            raise CtlError(f"iptables does not let {cluster.bridge} through: {done.stderr.strip()}")


def take_back(cluster: Cluster) -> None:
    """Remove the rules of a cluster; what is not there is fine."""
    for rule in plan_closing(_listing(), cluster):
        _iptables("-D", *rule)


def _listing() -> str:
    """Return the filter's rules; nothing where there is no iptables, or the kernel knows none."""
    done = _iptables("-S")
    return done.stdout if done.returncode == 0 else ""


def _iptables(*argv: str) -> subprocess.CompletedProcess[str]:
    command = ["iptables", "-w", "5", *argv]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    except (OSError, subprocess.TimeoutExpired) as error:
        return subprocess.CompletedProcess(command, 1, "", str(error))
