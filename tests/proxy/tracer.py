# ruff: noqa: E501 (tables of cases read better with one line each)
"""A small evaluator of the nft rules that the proxy makes: follows one packet through a table, in pure Python.

Knows exactly the matches and statements that ``rules`` uses and fails on any other, so a typing error in a rule
fails the test that meets it.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass, field, replace

from tiphys.proxy.ruleset import Table


@dataclass(frozen=True)
class Packet:
    src: str
    dst: str
    port: int
    proto: str = "tcp"


@dataclass
class Trace:
    packet: Packet
    verdict: str = "accept"
    masqueraded: bool = False
    translated: bool = False
    mark: int = 0
    chains: list[str] = field(default_factory=list)

    @property
    def target(self) -> str:
        return f"{self.packet.dst}:{self.packet.port}"


class Tracer:
    """``pick`` answers every ``numgen random``; ``affinity`` is what dynamic sets remember."""

    def __init__(self, table: Table, node_ip: str, pick: int = 0) -> None:
        self.table, self.node_ip, self.pick = table, node_ip, pick
        self.affinity: dict[str, set[str]] = {}

    def from_outside(self, packet: Packet) -> Trace:
        """A packet that arrives at the node (from a pod or another machine)."""
        trace = Trace(packet)
        for chain in ("filter-prerouting-pre-dnat", "nat-prerouting"):
            if self.done(chain, trace):
                return trace
        hook = "filter-input" if trace.packet.dst == self.node_ip else "filter-forward"
        if self.done(hook, trace):
            return trace
        if hook == "filter-forward":
            self.run("nat-postrouting", trace)
        return trace

    def from_node(self, packet: Packet) -> Trace:
        """A packet that a process of the node's own network sends."""
        trace = Trace(packet)
        for chain in ("filter-output-pre-dnat", "nat-output", "filter-output"):
            if self.done(chain, trace):
                return trace
        self.run("nat-postrouting", trace)
        return trace

    def done(self, chain: str, trace: Trace) -> bool:
        self.run(chain, trace)
        return trace.verdict != "accept"

    def run(self, name: str, trace: Trace) -> bool:
        """True when a terminal statement was met (accepted translation, drop, reject)."""
        trace.chains.append(name)
        for rule in self.table.chains[name].rules:
            outcome = self.rule(rule, trace)
            if outcome == "return":
                return False
            if outcome == "stop":
                return True
            if outcome.startswith("jump "):
                if self.run(outcome.split()[1], trace):
                    return True
            elif outcome.startswith("goto "):
                return self.run(outcome.split()[1], trace)
        return False

    def rule(self, rule: str, trace: Trace) -> str:
        rest = rule
        while rest:
            rest, outcome = self.step(rest, trace)
            if outcome is not None:
                return outcome
        return ""

    def step(self, text: str, trace: Trace) -> tuple[str, str | None]:
        """Consume one match (outcome "" ends the rule unmatched) or one statement."""
        packet = trace.packet
        for pattern, handle in (
            (r"ct state new ?", lambda m: None),
            (r"ct status dnat ", lambda m: self.yes(trace.translated)),
            (r"(?:ip|ip6) saddr != (\{.*?\}|\S+) ", lambda m: self.no(self.within(packet.src, m[1]))),
            (r"(?:ip|ip6) saddr @(affinity-\S+) ", lambda m: self.yes(packet.src in self.affinity.get(m[1], ()))),
            (r"(?:ip|ip6) saddr \. (?:ip|ip6) daddr @hairpin-endpoints ", lambda m: self.yes(
                f"{packet.src} . {packet.dst}" in self.table.elements.get("hairpin-endpoints", {}))),
            (r"(?:ip|ip6) saddr (\{.*?\}|\d\S+|[0-9a-f:]+/\d+) ", lambda m: self.yes(self.within(packet.src, m[1]))),
            (r"(?:ip|ip6) daddr @([a-z-]+) ", lambda m: self.yes(
                packet.dst in self.table.elements.get(m[1], {}))),
            (r"(?:ip|ip6) daddr \. meta l4proto \. th dport vmap @([a-z-]+)", lambda m: self.lookup(
                m[1], f"{packet.dst} . {packet.proto} . {packet.port}")),
            (r"meta l4proto \. th dport vmap @([a-z-]+)", lambda m: self.lookup(
                m[1], f"{packet.proto} . {packet.port}")),
            (r"meta l4proto (tcp|udp|sctp) ", lambda m: self.yes(packet.proto == m[1])),
            (r"fib saddr type local ", lambda m: self.yes(packet.src == self.node_ip)),
            (r"meta mark and 0x4000 == 0 ", lambda m: self.yes(not trace.mark & 0x4000)),
            (r"meta mark set meta mark (or|xor) 0x4000", lambda m: self.set_mark(trace, m[1])),
            (r"update @(\S+) \{ (?:ip|ip6) saddr \}", lambda m: self.remember(m[1], packet.src)),
            (r"dnat (?:ip|ip6) to numgen random mod (\d+) map \{ (.*) \}", lambda m: self.spread(trace, m)),
            (r"dnat to \[?([0-9a-f.:]+?)\]?:(\d+)$", lambda m: self.dnat(trace, m[1], int(m[2]))),
            (r"numgen random mod (\d+) vmap \{ (.*) \}", lambda m: self.choice(m)),
            (r"masquerade fully-random", lambda m: self.masquerade(trace)),
            (r"(jump|goto) (\S+)", lambda m: f"{m[1]} {m[2]}"),
            (r"return", lambda m: "return"),
            (r"(drop|reject)", lambda m: self.refuse(trace, m[1])),
        ):  # fmt: skip
            match = re.match(pattern, text)
            if match:
                outcome = handle(match)
                if outcome in ("drop",):
                    outcome = self.refuse(trace, "drop")
                return text[match.end() :].lstrip(), outcome
        raise AssertionError(f"rule not understood: {text!r}")

    @staticmethod
    def yes(matched: bool) -> str | None:
        return None if matched else ""

    @staticmethod
    def no(matched: bool) -> str | None:
        return "" if matched else None

    @staticmethod
    def within(address: str, ranges: str) -> bool:
        plain = ipaddress.ip_address(address)
        return any(plain in ipaddress.ip_network(item.strip()) for item in ranges.strip("{} ").split(","))

    def lookup(self, name: str, key: str) -> str:
        return self.table.elements.get(name, {}).get(key, "")

    def set_mark(self, trace: Trace, how: str) -> None:
        trace.mark = trace.mark | 0x4000 if how == "or" else trace.mark ^ 0x4000

    def remember(self, name: str, client: str) -> None:
        self.affinity.setdefault(name, set()).add(client)

    def entry(self, match: re.Match[str]) -> str:
        entries = dict(item.split(" : ") for item in match[2].split(", "))
        assert len(entries) == int(match[1])
        return entries[str(self.pick % int(match[1]))]

    def spread(self, trace: Trace, match: re.Match[str]) -> str:
        address, port = self.entry(match).split(" . ")
        return self.dnat(trace, address, int(port))

    def choice(self, match: re.Match[str]) -> str:
        return self.entry(match)

    def dnat(self, trace: Trace, address: str, port: int) -> str:
        trace.packet = replace(trace.packet, dst=address, port=port)
        trace.translated = True
        return "stop"

    def masquerade(self, trace: Trace) -> str:
        trace.masqueraded = True
        return "stop"

    def refuse(self, trace: Trace, verdict: str) -> str:
        trace.verdict = verdict
        return "stop"
