"""A desired nftables table as plain values: chains, sets, maps and their elements.

Pure. ``rules`` makes these, ``diff`` compares two of them, ``nft`` writes the result to the kernel. Rules and
elements are kept in nft's own notation, so that a golden file reads like ``nft list ruleset``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import field

from tiphys.apimachinery.dataclass import dataclass

Elements = Mapping[str, str]
"""Key to verdict for a map; key to the empty string for a set."""


@dataclass(frozen=True, slots=True)
class Container:
    """A named set or map: ``kind`` is ``set`` or ``map``, ``spec`` what stands between its braces.

    The kernel fills a ``dynamic`` one itself: its elements are never written, compared or flushed.
    """

    kind: str
    spec: str
    dynamic: bool = False


@dataclass(frozen=True, slots=True)
class Chain:
    """Rules in order; ``hook`` is the ``type ... hook ...`` text of a base chain, else empty."""

    rules: tuple[str, ...] = ()
    hook: str = ""


@dataclass(slots=True)
class Fragment:
    """What one service adds to the table."""

    chains: dict[str, Chain] = field(default_factory=dict)
    containers: dict[str, Container] = field(default_factory=dict)
    elements: dict[str, dict[str, str]] = field(default_factory=dict)
    """Container name to its elements."""
    udp_flows: dict[tuple[str, int], frozenset[str]] = field(default_factory=dict)
    """UDP (virtual address, port) to the endpoint addresses behind it; a NodePort has the empty address."""

    no_local_internal: int = 0
    """Ports whose traffic from inside is to stay on the node, where none of their endpoints is."""
    no_local_external: int = 0
    """The same of traffic from outside."""

    def put(self, container: str, key: str, value: str = "") -> None:
        """Add one element; the first writer of a key wins."""
        self.elements.setdefault(container, {}).setdefault(key, value)


@dataclass(frozen=True, slots=True)
class Table:
    """One whole table: ``family`` is ``ip`` or ``ip6``."""

    family: str
    name: str
    chains: Mapping[str, Chain]
    containers: Mapping[str, Container]
    elements: Mapping[str, Elements]

    @property
    def ref(self) -> str:
        """``ip kube-proxy``: how commands name it."""
        return f"{self.family} {self.name}"


def merge(family: str, name: str, fragments: Iterable[Fragment]) -> Table:
    """Join fragments into a table; where two claim one element (a shared external IP) the first keeps it."""
    chains: dict[str, Chain] = {}
    containers: dict[str, Container] = {}
    elements: dict[str, dict[str, str]] = {}
    for fragment in fragments:
        chains.update(fragment.chains)
        containers.update(fragment.containers)
        for container, entries in fragment.elements.items():
            held = elements.setdefault(container, {})
            for key, value in entries.items():
                held.setdefault(key, value)
    return Table(family, name, chains, containers, elements)


def render(table: Table) -> str:
    """Write a table the way ``nft list`` shows one: for people, golden files and logs."""
    lines = [f"table {table.ref} {{"]
    for name, container in table.containers.items():
        lines.append(f"  {container.kind} {name} {{ {container.spec} }}")
        for key, value in table.elements.get(name, {}).items():
            lines.append(f"    {key} : {value}" if value else f"    {key}")
    for name, chain in table.chains.items():
        lines.append(f"  chain {name} {{")
        if chain.hook:
            lines.append(f"    {chain.hook}")
        lines.extend(f"    {rule}" for rule in chain.rules)
        lines.append("  }")
    lines.append("}")
    return "\n".join(lines) + "\n"
