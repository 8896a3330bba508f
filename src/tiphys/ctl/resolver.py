"""How this machine resolves names, and how nodes can, whose network namespaces are others.

Programs of a node (containerd pulling an image) read the machine's ``/etc/resolv.conf`` like everybody. A
server on loopback that stands there, systemd-resolved's above all, is none in the namespace of a node:
its own DNS answers on that address there, and asks servers that can be reached from everywhere. Pure but
for ``read``.
"""

from __future__ import annotations

import contextlib
import ipaddress
from collections.abc import Sequence
from pathlib import Path

from tiphys.apimachinery.dataclass import dataclass

RESOLV_CONF = Path("/etc/resolv.conf")
RESOLV_CONFS = (RESOLV_CONF, Path("/run/systemd/resolve/resolv.conf"))
"""What programs read; what systemd-resolved, where that file names it alone, has itself."""


@dataclass(frozen=True, slots=True)
class Resolver:
    """``servers`` can be reached from nodes; ``stubs`` are IPv4 addresses of loopback that programs ask."""

    servers: tuple[str, ...] = ()
    stubs: tuple[str, ...] = ()
    path: Path = RESOLV_CONF
    """The file that has the servers: for pods that resolve as their node does."""


def read(paths: Sequence[Path] = RESOLV_CONFS) -> Resolver:
    """Return how this machine resolves names; files that are not there say nothing."""
    from tiphys.dns.upstream import nameservers

    stubs: tuple[str, ...] = ()
    for path in paths:
        with contextlib.suppress(OSError):
            text = path.read_text()
            if path == paths[0]:
                stubs = loopbacks(text)
            if found := nameservers(text):
                return Resolver(tuple(found), stubs, path)
    return Resolver((), stubs, paths[0])


def loopbacks(resolv_conf: str) -> tuple[str, ...]:
    """Return the servers of a resolv.conf text that are IPv4 addresses of loopback."""
    found = []
    for line in resolv_conf.splitlines():
        words = line.split()
        if len(words) > 1 and words[0] == "nameserver":
            with contextlib.suppress(ValueError):
                if ipaddress.IPv4Address(words[1]).is_loopback:
                    found.append(words[1])
    return tuple(dict.fromkeys(found))
