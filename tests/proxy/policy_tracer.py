"""Follows one new connection through the table that ``policies`` plans, in pure Python.

Knows exactly the matches that ``policies`` writes and fails on any other.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass

from tiphys.proxy.ruleset import Table


@dataclass(frozen=True)
class Connection:
    src: str
    dst: str
    port: int = 80
    proto: str = "tcp"
    established: bool = False


def passes(table: Table, packet: Connection) -> bool:
    """Whether the node forwards it: each base chain by its priority, as the kernel does."""
    hooked = sorted(
        (int(re.search(r"priority (-?\d+)", chain.hook)[1]), name)
        for name, chain in table.chains.items()
        if chain.hook
    )
    return all(_run(table, name, packet) != "drop" for _, name in hooked)


def _run(table: Table, name: str, packet: Connection) -> str:
    for rule in table.chains[name].rules:
        verdict = _rule(table, rule, packet)
        if verdict in ("accept", "drop"):
            return verdict
        if verdict.startswith(("jump ", "goto ")):
            inner = _run(table, verdict[5:], packet)
            if inner or verdict.startswith("goto "):
                return inner
    return ""


def _rule(table: Table, rule: str, packet: Connection) -> str:
    text = rule
    while text:
        found = ((re.match(pattern, text), handle) for pattern, handle in _STEPS)
        match, handle = next(((match, handle) for match, handle in found if match), (None, None))
        assert match is not None, f"rule not understood: {text!r} in {rule!r}"
        text = text[match.end() :].lstrip()
        outcome = handle(table, match, packet)
        if outcome is False:
            return ""
        if isinstance(outcome, str):
            return outcome
    raise AssertionError(f"rule without verdict: {rule!r}")


def _elements(table: Table, name: str):
    assert name in table.containers, name
    return table.elements.get(name, {})


def _address(packet: Connection, side: str) -> str:
    return packet.src if side == "saddr" else packet.dst


def _within(address: str, ranges: str) -> bool:
    plain = ipaddress.ip_address(address)
    return any(plain in ipaddress.ip_network(item.strip()) for item in ranges.strip("{} ").split(","))


def _has_port(ports: str, port: int) -> bool:
    for item in ports.split(", "):
        first, _, last = item.partition("-")
        if int(first) <= port <= int(last or first):
            return True
    return False


def _lookup(table: Table, name: str, key: str):
    return _elements(table, name).get(key) or False


_STEPS = (
    (r"ct state established,related", lambda t, m, p: p.established),
    (
        r"(?:ip6?) saddr \. (?:ip6?) daddr @(\S+)",
        lambda t, m, p: f"{p.src} . {p.dst}" in _elements(t, m[1]),
    ),
    (r"(?:ip6?) (saddr|daddr) vmap @(\S+)", lambda t, m, p: _lookup(t, m[2], _address(p, m[1]))),
    (r"(?:ip6?) (saddr|daddr) @(\S+)", lambda t, m, p: _address(p, m[1]) in _elements(t, m[2])),
    (
        r"(?:ip6?) daddr \. meta l4proto \. th dport @(\S+)",
        lambda t, m, p: f"{p.dst} . {p.proto} . {p.port}" in _elements(t, m[1]),
    ),
    (r"(?:ip6?) (saddr|daddr) != \{(.*?)\}", lambda t, m, p: not _within(_address(p, m[1]), m[2])),
    (r"(?:ip6?) (saddr|daddr) ([0-9a-f.:]+/\d+)", lambda t, m, p: _within(_address(p, m[1]), m[2])),
    (r"meta l4proto (tcp|udp|sctp)", lambda t, m, p: p.proto == m[1]),
    (r"th dport \{ (.*?) \}", lambda t, m, p: _has_port(m[1], p.port)),
    (r"((?:jump|goto) \S+)", lambda t, m, p: m[1]),
    (r"(accept|drop)", lambda t, m, p: m[1]),
)
