"""The peers of one server: what each serves, and requests that are passed on to them.

Owns: when peers are asked anew what they serve (one comes, goes or has been started again, and after what
failed), and whom a request for a resource goes to that is not served here. Refuses: requests that came from a
peer, which are answered here whatever comes of it. Called by the server's chain (``answer``), its discovery
(``groups``) and its tasks (``feeds``, ``run``).
"""

from __future__ import annotations

import asyncio
import logging
import random
import ssl
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

import orjson

from tiphys.apimachinery.errors import ServiceUnavailable
from tiphys.apimachinery.meta import GVK, Object
from tiphys.apimachinery.resource import Resource as Row
from tiphys.apiserver.authn.user import APISERVER, AUTHENTICATED, User
from tiphys.apiserver.controlplane.identity import COMPONENT, LABEL, NAMESPACE
from tiphys.apiserver.endpoints.call import Backend
from tiphys.apiserver.endpoints.respond import plain_text
from tiphys.apiserver.filters.requestinfo import RequestInfo
from tiphys.apiserver.outgoing.forwarding import Target, Unreached, send_on
from tiphys.apiserver.outgoing.service_link import tls_context
from tiphys.apiserver.peers import counts, serving
from tiphys.apiserver.peers.addresses import Addresses, NoAddress
from tiphys.apiserver.registry.feed import Feed
from tiphys.apiserver.registry.objects import Cached
from tiphys.apiserver.subresources.proxy import pass_on, passed_upgrade
from tiphys.storage.base import StoreError
from tiphys.wire import client
from tiphys.wire.message import Request, Response

if TYPE_CHECKING:
    from tiphys.apiserver.aggregation.controller import Aggregation

log = logging.getLogger(__name__)
PROXIED: Final = "x-kubernetes-peer-proxied"
_SERVER_NAME: Final = "kubernetes.default.svc"
_DISCOVERY: Final = ("/api", "/apis")
_FETCH_S: Final = 5.0
_FORM: Final = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
_ACCEPT: Final = f"{_FORM};profile=nopeer,{_FORM},application/json"
_SELF: Final = User(APISERVER, uid=APISERVER, groups=(AUTHENTICATED,))
_NOWHERE: Final = "Error getting ip and port info of the remote server while proxying"


class NotLearned(Exception):
    """It was not found out what a peer serves."""


class Peers:
    """Other API servers, as one server sees them."""

    def __init__(
        self, backend: Backend, addresses: Addresses, identity: str, authorities: bytes,
        aggregation: Aggregation,
    ) -> None:  # fmt: skip
        self._backend = backend
        self._addresses = addresses
        self._identity = identity
        self._authorities = authorities
        self._aggregation = aggregation
        self._holders: dict[str, str] = {}
        self._peers: dict[str, serving.Peer] = {}
        self._shown: dict[str, serving.Peer] | None = None
        """The same without what is excluded; None: to be found out."""
        self._defined: dict[tuple[str, str], frozenset[serving.GroupVersion]] = {}
        self._exclusions = serving.Exclusions()
        self._stale = asyncio.Event()
        self.counts = counts.Counts()
        self.on_change: Callable[[], None] = lambda: None
        """Called when what peers serve is something else."""

    # -- what is followed

    def feeds(self) -> list[Feed]:
        """Return what must be followed while the server runs."""
        store = self._backend.store
        services = self._row("apiregistration.k8s.io", "APIService")
        definitions = self._row("apiextensions.k8s.io", "CustomResourceDefinition")
        return [
            Feed(store, self._row("coordination.k8s.io", "Lease"), self._see_lease),
            Feed(store, definitions, lambda _old, new: self._define("crd", _old, new, serving.defined)),
            Feed(store, services, lambda _old, new: self._define("api", _old, new, serving.aggregated)),
        ]

    def _row(self, group: str, kind: str) -> Row:
        row: Row | None = self._backend.table.by_kind(GVK(group, "v1", kind))
        assert row is not None
        return row

    def _see_lease(self, old: Cached | None, new: Cached | None) -> None:
        cached = new or old
        assert cached is not None
        if cached.namespace != NAMESPACE or cached.name == self._identity:
            return
        holder = ""
        if new is not None and new.labels.get(LABEL) == COMPONENT:
            holder = (new.object.get("spec") or {}).get("holderIdentity") or ""
        if holder != self._holders.get(cached.name, ""):
            if holder:
                self._holders[cached.name] = holder
            else:
                del self._holders[cached.name]
            self._stale.set()

    def _define(
        self, source: str, old: Cached | None, new: Cached | None,
        read: Callable[[Object], frozenset[serving.GroupVersion]],
    ) -> None:  # fmt: skip
        cached = new or old
        assert cached is not None
        key = (source, cached.name)
        # Definitions are large and looked at once: decoded here, not by the cache, which would keep them.
        found = read(orjson.loads(new.raw)) if new is not None else frozenset()
        if found == self._defined.get(key, frozenset()):
            return
        self._defined[key] = found
        if not found:
            del self._defined[key]
        active = frozenset().union(*self._defined.values())
        self._exclude(self._exclusions.followed(active, self._backend.clock.monotonic()))

    def _exclude(self, exclusions: serving.Exclusions) -> None:
        if exclusions is not self._exclusions:
            self._exclusions = exclusions
            self._forget()

    def _forget(self) -> None:
        self._shown = None
        self.on_change()

    async def run(self) -> None:
        """Find out what peers serve whenever they are others, for ever."""
        failures = 0
        while True:
            pause_s = serving.pause_s(failures) if failures else None
            await self._wait(pause_s)
            if self._stale.is_set() or pause_s is not None:
                self._stale.clear()
                failures = 0 if await self.learn() else failures + 1

    async def _wait(self, pause_s: float | None) -> None:
        """Wait until peers are to be asked, or something that was excluded is so no more."""
        now, end = self._backend.clock.monotonic(), self._exclusions.next_end()
        waits = [
            one for one in (pause_s, None if end is None else max(0.0, end - now) + 1.0) if one is not None
        ]
        try:
            async with asyncio.timeout(min(waits, default=None)):
                await self._stale.wait()
        except TimeoutError:
            self._exclude(self._exclusions.reaped(self._backend.clock.monotonic()))

    # -- what peers serve

    async def learn(self) -> bool:
        """Ask every peer what it serves; tell whether all of them have said it."""
        names = sorted(self._holders)
        answers = await asyncio.gather(*(self._ask(name) for name in names))
        # A peer that does not answer for once still serves what it served: 503 is true of it, 404 is not.
        found = {
            name: peer if complete else self._peers.get(name, peer)
            for name, (peer, complete) in zip(names, answers, strict=True)
        }
        peers = {name: peer for name, peer in found.items() if peer}
        if peers != self._peers:
            self._peers = peers
            self._forget()
        return all(complete for _, complete in answers)

    async def _ask(self, name: str) -> tuple[serving.Peer, bool]:
        """Return what one peer serves, as far as it says it, and whether it has said all."""
        try:
            target = await self._target(name)
        except (NoAddress, StoreError, ssl.SSLError) as error:
            self.counts.not_learned(counts.HOSTPORT_RESOLUTION)
            log.info("peer is not asked what it serves peer=%s error=%s", name, error)
            return serving.Peer(), False
        documents = []
        for path in _DISCOVERY:
            try:
                documents.append(await self._fetch(target, path))
            except NotLearned as error:
                self.counts.not_learned(counts.FETCH_DISCOVERY)
                log.info("peer did not say what it serves peer=%s path=%s error=%s", name, path, error)
        try:
            return serving.read(documents), len(documents) == len(_DISCOVERY)
        except (KeyError, TypeError, AttributeError) as error:
            log.info("peer says what nobody understands peer=%s error=%r", name, error)
            return serving.Peer(), False

    async def _fetch(self, target: Target, path: str) -> Object:
        """Return one discovery document of a peer. Raises NotLearned."""
        request = Request("GET", path, "", {"accept": _ACCEPT})
        status = HTTPStatus.SERVICE_UNAVAILABLE
        try:
            async with asyncio.timeout(_FETCH_S):
                answer = await self._send(target, request, _SELF)
                status = HTTPStatus(answer.status)
                try:
                    body = await answer.read()
                finally:
                    await answer.close()
            found = orjson.loads(body) if status == HTTPStatus.OK else None
        except (client.ConnectFailed, TimeoutError, OSError, ValueError) as error:
            raise NotLearned(str(error) or "no answer in time") from error
        finally:
            self.counts.rerouted(status, counts.DISCOVERY)
        if status != HTTPStatus.OK:
            raise NotLearned(f"discovery request failed with status: {status.value}")
        if not isinstance(found, dict) or found.get("kind") != "APIGroupDiscoveryList":
            raise NotLearned("error decoding discovery response")
        return found

    def _known(self) -> Mapping[str, serving.Peer]:
        if self._shown is None:
            excluded = self._exclusions.all
            self._shown = {name: serving.without(peer, excluded) for name, peer in self._peers.items()}
        return self._shown

    def groups(self) -> dict[str, tuple[Object, ...]]:
        """Return what of each peer discovery shows."""
        return {name: peer.groups for name, peer in self._known().items()}

    # -- requests

    async def answer(self, request: Request, info: RequestInfo, user: User) -> Response | None:
        """Return a peer's answer to a request for what is not served here; None where none serves it.

        Raises ServiceUnavailable: it is not known where a peer is that does.
        """
        wanted = (info.group, info.version, info.resource)
        if not info.is_resource or self._is_local(wanted) or request.headers.get(PROXIED) == "true":
            return None
        names = serving.able(self._known(), wanted)
        if not names:
            return None
        target = await self._any(names, wanted)
        try:
            found = await self._send(target, request, user)
        except Unreached as error:
            log.warning("peer was not reached address=%s error=%s", target.address, error)
            response = plain_text(503, str(error))
        else:
            response = await passed_upgrade(found) if found.status == 101 else pass_on(found)
        self.counts.rerouted(response.status, wanted)
        return response

    def _is_local(self, wanted: serving.Resource) -> bool:
        group, version, _ = wanted
        return self._backend.table.served_at(*wanted) is not None or self._aggregation.answers(group, version)

    async def _any(self, names: list[str], wanted: serving.Resource) -> Target:
        """Return one of several peers of which it is known where they are."""
        found = await asyncio.gather(*(self._target(name) for name in names), return_exceptions=True)
        targets = [one for one in found if isinstance(one, Target)]
        if not targets:
            self.counts.failed(counts.ENDPOINT_RESOLUTION, wanted)
            log.warning("peers have no address peers=%s error=%s", ",".join(names), found[0])
            raise ServiceUnavailable(_NOWHERE)
        return random.choice(targets)

    async def _target(self, name: str) -> Target:
        """Return where a peer is. Raises NoAddress, StoreError, ssl.SSLError."""
        host, port = await self._addresses.find(name)
        context = tls_context(self._authorities, client=self._aggregation.front_proxy.client)
        return Target(host, port, _SERVER_NAME, context)

    async def _send(self, target: Target, request: Request, user: User) -> client.Answer:
        return await send_on(target, request, user, self._aggregation.front_proxy.header, (PROXIED, "true"))
