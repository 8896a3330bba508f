"""One request on its way through the server, and the shared parts that handlers use.

Owns: the two values that every handler takes. Refuses: behaviour.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import field
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakValueDictionary

from tiphys.apimachinery.clock import Clock
from tiphys.apimachinery.dataclass import dataclass
from tiphys.apimachinery.resource import Resource
from tiphys.apis.field_gates import FieldGates
from tiphys.apiserver.authn.user import User
from tiphys.apiserver.filters.requestinfo import RequestInfo
from tiphys.apiserver.flowcontrol.watches import Watches
from tiphys.apiserver.observe.certificate_counts import CertificateCounts
from tiphys.apiserver.observe.comparison_times import ComparisonTimes
from tiphys.apiserver.observe.issued_counts import IssuedCounts
from tiphys.apiserver.observe.metrics import Metrics, Source
from tiphys.apiserver.observe.stream_counts import StreamCounts
from tiphys.apiserver.options import ApiServerOptions
from tiphys.apiserver.registry.objects import ObjectStore
from tiphys.wire.kept import KeptConnections
from tiphys.wire.message import Request, Response

if TYPE_CHECKING:
    from tiphys.apiserver.admission.chain import AdmissionChain
    from tiphys.apiserver.authn.authenticator import Authenticator
    from tiphys.apiserver.authn.serviceaccount import TokenKeys
    from tiphys.apiserver.authz.authorizer import Authorizer
    from tiphys.apiserver.services import ServiceAllocator
    from tiphys.apiserver.shortcuts.molds import Molds

_MANY_WARNINGS: Final = 64
"""From so many on one may come twice: who writes them tells each once, and few of them."""
_PASSING = frozenset({("", "events"), ("events.k8s.io", "events")})


async def _nothing_wrong() -> tuple[None, ...]:
    return (None,)


@dataclass(slots=True)
class Backend:
    """What one server's handlers share."""

    store: ObjectStore
    options: ApiServerOptions
    clock: Clock
    table: Any
    """``apis.table.ResourceTable``."""
    keys: TokenKeys
    authenticator: Authenticator
    authorizer: Authorizer
    admission: AdmissionChain
    molds: Molds
    services: ServiceAllocator
    metrics: Metrics
    field_gates: FieldGates
    """What of objects is behind gates that are off."""
    look_at_stores: Callable[[], Awaitable[Sequence[str | None]]] = field(default=_nothing_wrong)
    """Returns what is wrong with each server of the stores."""
    custom: Backend | None = None
    """The same for custom resources: its store converts between their versions."""
    streams: StreamCounts = field(default_factory=StreamCounts)
    kept: KeptConnections = field(default_factory=KeptConnections)
    """To webhooks."""
    certificates: CertificateCounts = field(default_factory=CertificateCounts)
    comparisons: ComparisonTimes = field(default_factory=ComparisonTimes)
    issued: IssuedCounts = field(default_factory=IssuedCounts)
    watches: Watches = field(default_factory=Watches)
    queues: WeakValueDictionary[str, asyncio.Lock] = field(default_factory=WeakValueDictionary)
    """By object: who lost a race for it waits here for the next attempt."""

    @property
    def sources(self) -> list[Source]:
        """What is counted here."""
        return [
            self.streams.collect, self.certificates.collect, self.issued.collect, self.comparisons.collect
        ]  # fmt: skip

    def ttl_s(self, resource: Resource) -> int:
        """Return how long an object lives after each write of it; 0: until somebody deletes it."""
        return self.options.event_ttl_s if (resource.group, resource.plural) in _PASSING else 0


@dataclass(slots=True)
class Call:
    """One request: who asks, what for, and the warnings gathered on the way."""

    backend: Backend
    request: Request
    info: RequestInfo
    user: User
    resource: Resource
    query: Mapping[str, list[str]] = field(default_factory=dict)
    """Shared with other calls: read only."""
    warnings: list[str] = field(default_factory=list)
    live_size: int = 0
    """Bytes of the object that is to change, once that is known, or of what the body says in few."""

    @property
    def size(self) -> int:
        """Bytes of what is to be looked through."""
        sent, live = len(self.request.body), self.live_size
        return sent if sent > live else live

    @property
    def namespace(self) -> str:
        return self.info.namespace if self.resource.namespaced else ""

    @property
    def name(self) -> str:
        return self.info.name

    def param(self, name: str) -> str:
        """Return a query parameter's first value, empty when it is not given."""
        values = self.query.get(name)
        return values[0] if values else ""

    def warn(self, text: str) -> None:
        """Add a warning header to the answer; among many texts nobody looks whether one is there."""
        if text and (len(self.warnings) >= _MANY_WARNINGS or text not in self.warnings):
            self.warnings.append(text)


CallHandler = Callable[[Call], Awaitable[Response]]
