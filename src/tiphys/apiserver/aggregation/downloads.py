"""What the API servers behind APIServices publish: their discovery, and their OpenAPI documents.

Owns: asking for it, anew only where it has changed (ETags, or what came was the same), and what is kept of
it. Refuses: whether a server is there (``availability``), and what is made of it all (``discovery``,
``apis.openapi``). Called by ``controller`` after each check that a server has passed.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Iterable, Mapping
from dataclasses import field, replace
from hashlib import sha256
from http import HTTPStatus
from typing import Any, Final

import orjson

from tiphys.apimachinery.dataclass import dataclass
from tiphys.apimachinery.meta import Object
from tiphys.apis.openapi.proto import readable
from tiphys.apiserver.aggregation.availability import SELF, Fetched, fetch, port_of
from tiphys.apiserver.aggregation.front_proxy import FrontProxy
from tiphys.apiserver.aggregation.objects import path_of
from tiphys.apiserver.aggregation.readable import are_readable
from tiphys.apiserver.authn.user import User
from tiphys.apiserver.outgoing.service_link import Endpoint
from tiphys.wire import client

_AGGREGATED: Final = "application/json;g=apidiscovery.k8s.io;v={};as=APIGroupDiscoveryList"
_ACCEPT: Final = ",".join(_AGGREGATED.format(version) for version in ("v2", "v2beta1"))
_VERSIONS: Final = ("v2", "v2beta1")
_READER: Final = User("system:aggregator")
_OWN: Final = "sha256:"
"""Begins the tags of documents that came without one."""
GroupVersion = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Published:
    """What one server says of one group version."""

    resources: list[Object] = field(default_factory=list)
    """As its list of resources has them; looked at without an entry."""
    entry: Object | None = None
    """As its aggregated discovery has them; empty where that does not name the group version."""
    openapi_v2: Object | None = None
    openapi_v3: str = ""
    """The URL of the group version's OpenAPI v3 document, with its hash."""
    others_v3: Mapping[str, str] = field(default_factory=dict)
    """Those of the other documents that the server lists."""
    fresh: bool = True
    """Whether its resources could be read."""


@dataclass(frozen=True, slots=True)
class _Document:
    """One download: its tag, and what was read in it (None: nothing that can be used)."""

    tag: str = ""
    content: Any = None
    at: float = -1.0
    """When it was asked for, on the clock of ``monotonic``."""
    failed: bool = False
    """It could not be had then: ``content`` is of before."""


_Read = Callable[[bytes], Any]
_Server = tuple[str, str, int]


class Downloads:
    """Keeps what was downloaded last. Several APIServices of one server share its discovery."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._discovery: dict[_Server, _Document] = {}
        self._locks: dict[_Server, asyncio.Lock] = {}
        self._openapi: dict[tuple[str, str], _Document] = {}

    async def update(
        self, service: Object, endpoint: Endpoint, proxy: FrontProxy, body: bytes, *, since: float
    ) -> Published:
        """Return what is published now. ``body`` is the list of resources of the group version, just read.

        Discovery that was asked for after ``since`` is good enough.
        """
        ask = _Asking(service, endpoint, proxy)
        found = await self._discover(ask, since)
        entry = listed = None
        if found.content is None:
            listed = None if found.failed else _resources(body)
        elif not found.failed:
            spec = service["spec"]
            entry, listed = found.content.get((spec.get("group") or "", spec["version"]), {}), []
        name = service["metadata"]["name"]
        v2 = await self._document(ask, name, "/openapi/v2", _swagger)
        v3 = await self._document(ask, name, "/openapi/v3", _index)
        others = dict(v3 or {})
        url = others.pop(path_of(service).removeprefix("/"), "")
        return Published(listed or [], entry, v2, url, others, fresh=listed is not None)

    def keep(self, services: Iterable[Object]) -> None:
        """Forget what is of no APIService any more."""
        known = list(services)
        names = {service["metadata"]["name"] for service in known}
        servers = {_server(service) for service in known}
        self._openapi = {key: value for key, value in self._openapi.items() if key[0] in names}
        self._discovery = {key: value for key, value in self._discovery.items() if key in servers}
        self._locks = {key: value for key, value in self._locks.items() if key in servers}

    async def _discover(self, ask: _Asking, since: float) -> _Document:
        """Return aggregated discovery by group version; of a server that has none, its lists have to do.

        It has failed where the server is not there, or says what cannot be read.
        """
        server = _server(ask.service)
        async with self._locks.setdefault(server, asyncio.Lock()):
            known = self._discovery.get(server, _Document())
            if known.at < since:
                now = self._monotonic()
                answer = await ask("/apis", known.tag, user=SELF, accept=_ACCEPT)
                if answer is None or answer.status == HTTPStatus.SERVICE_UNAVAILABLE:
                    known = replace(known, at=now, failed=True)
                elif answer.status == HTTPStatus.NOT_MODIFIED:
                    known = replace(known, at=now, failed=False)
                elif not _is_aggregated(answer):
                    known = _Document(at=now)
                elif (read := _versions(answer.body)) is not None:
                    known = _Document(answer.header("etag"), read, now)
                else:
                    known = replace(known, at=now, failed=True)
                self._discovery[server] = known
            return known

    async def _document(self, ask: _Asking, name: str, path: str, read: _Read) -> Any:
        """Return what a document says; while it cannot be had, what it said last."""
        known = self._openapi.get((name, path), _Document())
        answer = await ask(path, "" if known.tag.startswith(_OWN) else known.tag, user=_READER)
        if answer is None or answer.status != HTTPStatus.OK:
            return known.content
        tag = answer.header("etag") or _OWN + sha256(answer.body).hexdigest()
        if tag != known.tag:
            known = self._openapi[name, path] = _Document(tag, read(answer.body))
        return known.content


@dataclass(frozen=True, slots=True)
class _Asking:
    """Asks one server."""

    service: Object
    endpoint: Endpoint
    proxy: FrontProxy

    async def __call__(
        self, path: str, tag: str, *, user: User, accept: str = "application/json"
    ) -> Fetched | None:
        headers = [("Accept", accept), *([("If-None-Match", tag)] if tag else ())]
        try:
            return await fetch(self.service, self.endpoint, self.proxy, path, headers=headers, user=user)
        except (client.ConnectFailed, TimeoutError, ssl.SSLError, ValueError):
            return None


def _server(service: Object) -> _Server:
    reference = service["spec"]["service"]
    return reference["namespace"], reference["name"], port_of(service)


def _is_aggregated(answer: Fetched) -> bool:
    """Tell whether an answer is what was asked for: some servers answer everything with a list of groups."""
    said = answer.header("content-type").replace(" ", "").lower().split(";")
    pairs = [part.partition("=") for part in said[1:]]
    parameters = {key: value for key, _, value in pairs}
    return (
        answer.status == HTTPStatus.OK
        and said[0] == "application/json"
        and (parameters.get("g"), parameters.get("as")) == ("apidiscovery.k8s.io", "apigroupdiscoverylist")
        and parameters.get("v") in _VERSIONS
    )


def _parsed(body: bytes) -> Any:
    try:
        return orjson.loads(body)
    except ValueError:
        return None


def _objects(value: Any) -> list[Object]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def _versions(body: bytes) -> dict[GroupVersion, Object] | None:
    """Return the entry of each group version, None of a document that cannot be read."""
    found = _parsed(body)
    if not isinstance(found, dict):
        return None
    versions: dict[GroupVersion, Object] = {}
    for group in _objects(found.get("items")):
        meta = group.get("metadata")
        name = meta.get("name") if isinstance(meta, dict) else None
        for version in _objects(group.get("versions")):
            if not are_readable(version.get("resources")):
                return None
            versions[str(name or ""), str(version.get("version") or "")] = version
    return versions


def _resources(body: bytes) -> list[Object] | None:
    """Return what a list of resources has, None of one that cannot be read."""
    found = _parsed(body)
    if not isinstance(found, dict):
        return None
    listed = found.get("resources")
    if not are_readable(listed):
        return None
    return [one for one in _objects(listed) if one.get("name")]


def _swagger(body: bytes) -> Object | None:
    """Return an OpenAPI v2 document that can be joined with ours; one that cannot spoils nothing."""
    v2 = _parsed(body)
    if not isinstance(v2, dict):
        return None
    parts = [v2.get(key) or {} for key in ("paths", "definitions")]
    fits = bool(v2.get("swagger")) and all(isinstance(one, dict) for one in parts) and readable(*parts)
    return v2 if fits else None


def _index(body: bytes) -> dict[str, str]:
    """Return the URLs in an index of OpenAPI v3."""
    v3 = _parsed(body)
    paths = v3.get("paths") if isinstance(v3, dict) else None
    if not isinstance(paths, dict):
        return {}
    urls = {path: one.get("serverRelativeURL") for path, one in paths.items() if isinstance(one, dict)}
    return {path: url for path, url in urls.items() if isinstance(url, str)}
