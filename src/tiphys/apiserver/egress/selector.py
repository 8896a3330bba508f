"""By which way this server reaches what it calls: one tunnel for each kind of destination, or none.

    cluster        kubelets, pods and services behind ``/proxy``, webhooks and API servers behind Services
    controlplane   webhooks by URL, services that are asked about tokens and rights, the audit webhook, spans
    etcd           the store

An issuer of tokens is reached through the one that its ``egressSelectorType`` names.

Owns: which there are, and their end. How they are made is ``tunnels``'s: servers without a file load nothing.
Source: KEP-1281.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import field
from typing import Final

from tiphys.apimachinery.dataclass import dataclass
from tiphys.apimachinery.families import Metric
from tiphys.wire.dial import Tunnel

CLUSTER: Final = "cluster"
CONTROL_PLANE: Final = "controlplane"
ETCD: Final = "etcd"
NAMES: Final = (CLUSTER, CONTROL_PLANE, ETCD)


async def _nothing() -> None:
    return


@dataclass(frozen=True, slots=True, eq=False)
class EgressSelector:
    """The tunnels of one server; None: calls take the network's own way."""

    cluster: Tunnel | None = None
    controlplane: Tunnel | None = None
    etcd: Tunnel | None = None
    collect: Callable[[], Iterable[Metric]] | None = field(default=None, repr=False)
    """What is counted of them."""
    close: Callable[[], Awaitable[None]] = field(default=_nothing, repr=False)
    """Ends every connection. Idempotent."""

    def named(self, name: str) -> Tunnel | None:
        """Return the tunnel of a selection; None for a name that is empty."""
        found: dict[str, Tunnel | None] = {
            CLUSTER: self.cluster, CONTROL_PLANE: self.controlplane, ETCD: self.etcd,
        }  # fmt: skip
        return found.get(name)


DIRECT: Final = EgressSelector()
"""Where there is no file."""
