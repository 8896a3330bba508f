"""One POST to a webhook, as its ``clientConfig`` says: for admission and for conversion.

Owns: address, TLS, timeout, and upstream's texts for every way to get no answer. Refuses: what is asked.
"""

from __future__ import annotations

import asyncio
import posixpath
import ssl
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import field
from pathlib import Path
from typing import Final
from urllib.parse import quote, unquote, urljoin, urlsplit

from tiphys.apimachinery import tracing
from tiphys.apimachinery.dataclass import dataclass
from tiphys.apimachinery.errors import TiphysError
from tiphys.apimachinery.go_text import quoted
from tiphys.apimachinery.meta import Object
from tiphys.apimachinery.release import RELEASE
from tiphys.apiserver.endpoints.call import Backend
from tiphys.apiserver.observe.certificate_counts import WEBHOOKS, audit_notes
from tiphys.apiserver.outgoing.client_span import answered, asking
from tiphys.apiserver.outgoing.service_link import Endpoint, NoEndpoint, bundle_of, resolve, tls_context
from tiphys.apiserver.outgoing.webhook_answer import Unusable, Whole, cut_off, read_whole
from tiphys.client.call_counts import calls_to, resolved
from tiphys.wire import client
from tiphys.wire.kept import Place
from tiphys.wire.pki import KeyPair
from tiphys.wire.reasons import reason_of

_HTTPS: Final = 443
_MOST_RETRIES: Final = 10
_MOST_HOPS: Final = 10
_IN_PATHS: Final = "$&+,/:;=@"
_IN_TARGETS: Final = "%/?:@!$&'()*+,;=~[]"
_HEADERS: Final = {
    "Accept": "application/json, */*",
    "Accept-Encoding": "gzip",
    "User-Agent": f"kube-apiserver-admission/{RELEASE}",
}


class NoAnswer(TiphysError):
    """The webhook was not reached, or said nothing that counts.

    ``status`` is that of its answer, if any; ``audited`` what audit is told of its certificate.
    """

    def __init__(self, why: str, status: int = 0, audited: Iterable[tuple[str, str]] = ()) -> None:
        super().__init__(why)
        self.status = status
        self.audited = tuple(audited)


@dataclass(frozen=True, slots=True)
class Identity:
    """As whom this server shows itself."""

    authorization: str = field(default="", repr=False)
    token_file: Path | None = None
    """Read at each call: such tokens rotate."""
    client: KeyPair | None = field(default=None, repr=False)

    def header(self) -> dict[str, str]:
        """Raises OSError."""
        if self.token_file is not None:
            return {"Authorization": f"Bearer {self.token_file.read_text().strip()}"}
        return {"Authorization": self.authorization} if self.authorization else {}


ANONYMOUS: Final = Identity()


@dataclass(frozen=True, slots=True)
class _Address:
    """Where a webhook is: as messages name it, and as a connection is made."""

    url: str
    target: str
    authority: str
    endpoint: Endpoint
    host: str
    port: int


async def post(
    backend: Backend,
    config: Object,
    body: bytes,
    *,
    timeout_s: int,
    identify: Callable[[str, int], Identity] = lambda host, port: ANONYMOUS,
) -> bytes:
    """Return the body of a webhook's answer; ``identify`` says who asks, by the webhook's host and port.

    Raises:
        NoAnswer: there is none, or its status says that it is none.
    """
    address = await _address(backend, config, timeout_s)
    identity = identify(address.host, address.port)
    try:
        place = _place(address.endpoint, bundle_of(config), identity.client)
        authorization = identity.header()
    except ValueError as error:
        raise NoAnswer(f"unable to load root certificates: {error}") from error
    except OSError as error:
        raise NoAnswer(f"unable to read the token of this webhook: {error.strerror}") from error
    call = _Call(backend, address, place, {**_HEADERS, "Host": address.authority, **authorization}, timeout_s)
    try:
        async with asyncio.timeout(timeout_s):
            found = await call.answered(body)
        return found.counted()
    except TimeoutError as error:
        late = "context deadline exceeded"
        raise NoAnswer(str(cut_off(late)) if call.reading else f'Post "{address.url}": {late}') from error
    except Unusable as error:
        raise NoAnswer(str(error), call.refused_with) from error
    except client.ConnectFailed as error:
        told = audit_notes(backend.certificates.refused(WEBHOOKS, error), address.host)
        reason = reason_of(error, address.endpoint.authority, of_client=True)
        reason = reason.removeprefix(f"{call.method} {place.host}:{place.port}: ")
        raise NoAnswer(f'Post "{call.url}": {reason}', audited=told) from error


@dataclass(slots=True)
class _Call:
    """The requests that it takes to get one answer."""

    backend: Backend
    address: _Address
    place: Place
    headers: dict[str, str]
    timeout_s: int
    method: str = "POST"
    url: str = ""
    """What was asked last."""
    reading: bool = False
    """The head of an answer is here, its end is not."""
    refused_with: int = 0

    async def answered(self, body: bytes) -> Whole:
        """Return the answer that things end with. Raises Unusable, ConnectFailed."""
        retries, hops, sent = 0, 0, body
        self.url, target = self.address.url, self.address.target
        while True:
            found = await self._asked(target, sent)
            self.refused_with = 0 if found.counts else found.status
            if found.leads_on:
                hops += 1
                self.url, target = self._next(found.location, target, hops)
                if found.turns_into_get:
                    self.method, sent = "GET", b""
            elif found.wait_s is not None and retries < _MOST_RETRIES:
                retries, hops, sent = retries + 1, 0, body
                self.method, self.url, target = "POST", self.address.url, self.address.target
                await asyncio.sleep(found.wait_s)
            else:
                return found

    def _next(self, location: str, target: str, hops: int) -> tuple[str, str]:
        """Return the URL and target that an answer leads to. Raises Unusable.

        Only to the same host: what a webhook names is no place to send reviews and credentials to.
        """
        self.refused_with = 0
        try:
            parts = urlsplit(urljoin(f"https://{self.address.authority}{target}", location))
        except ValueError as error:
            raise Unusable(f"failed to parse Location header {quoted(location)}: {error}") from error
        if hops >= _MOST_HOPS:
            raise Unusable(f'Post "{location}": stopped after {_MOST_HOPS} redirects')
        if (parts.scheme, parts.netloc) != ("https", self.address.authority):
            raise Unusable(f'Post "{location}": redirects to other hosts are not followed')
        found = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        return f"https://{parts.netloc}{found}", quote(found, safe=_IN_TARGETS)

    async def _asked(self, target: str, body: bytes) -> Whole:
        self.reading = False
        kind = {"Content-Type": "application/json"} if self.method == "POST" else {}
        with (
            asking(self.method, self.url) as span,
            _counting(self.backend, self.address.authority, self.method, body) as outcome,
        ):
            headers = {**self.headers, **kind, **tracing.headers()}
            answer = await self.backend.kept.send(
                self.place, self.method, target, headers, body=body, connect_timeout_s=self.timeout_s + 1
            )
            outcome.status = answer.status
            answered(span, answer.status)
            self.reading = True
            try:
                found = await read_whole(answer)
            finally:
                await answer.close()
            outcome.received = len(found.body)
            self.reading = False
            return found


def _place(endpoint: Endpoint, bundle: bytes, shown: KeyPair | None) -> Place:
    def context() -> ssl.SSLContext:
        try:
            return tls_context(bundle, client=shown)
        except (ssl.SSLError, ValueError) as error:
            raise NoAnswer(f"unable to load root certificates: {error}") from error

    return Place(
        endpoint.host, endpoint.port, endpoint.server_name, (bundle, shown), context, endpoint.through,
        resolved,
    )  # fmt: skip


async def _address(backend: Backend, config: Object, timeout_s: int) -> _Address:
    """Raises NoAnswer."""
    service = config.get("service")
    if service:
        port = int(service.get("port") or _HTTPS)
        host = f"{service['name']}.{service['namespace']}.svc"
        authority, target = f"{host}:{port}", _target(service.get("path") or "", timeout_s)
        url = f"https://{authority}{target}"
        try:
            endpoint = await resolve(backend, service["namespace"], service["name"], port)
        except NoEndpoint as error:
            raise NoAnswer(f'Post "{url}": {error}') from error
        return _Address(url, target, authority, endpoint, host, port)
    parts = urlsplit(config.get("url") or "")
    target = _target(unquote(parts.path), timeout_s)
    url = f"https://{parts.netloc}{target}"
    try:
        port = _HTTPS if parts.port is None else parts.port
    except ValueError as error:
        wrong = parts.netloc.rpartition(":")[2]
        raise NoAnswer(f'Post "{url}": dial tcp: address {wrong}: invalid port') from error
    host, through = parts.hostname or "", backend.options.egress.controlplane
    return _Address(url, target, parts.netloc, Endpoint(host, port, host, through), host, port)


def _target(path: str, timeout_s: int) -> str:
    """Return what is asked for: a path in its shortest form, without a slash at its end."""
    shortest = posixpath.normpath(f"/{path.lstrip('/')}")
    return f"{quote(shortest, safe=_IN_PATHS)}?timeout={timeout_s}s"


@dataclass(slots=True)
class _Outcome:
    """What came of a call."""

    status: int = 0
    received: int = 0
    """Bytes of the answer's body."""


@contextmanager
def _counting(backend: Backend, authority: str, method: str, body: bytes) -> Iterator[_Outcome]:
    """Count a call to a webhook among those of this server's clients."""
    began, found = backend.clock.monotonic(), _Outcome()
    try:
        yield found
    finally:
        counts, took_s = calls_to(authority), backend.clock.monotonic() - began
        if found.status:
            counts.answered(method, str(found.status), took_s, len(body), found.received)
        else:
            counts.failed(method, took_s, len(body))
