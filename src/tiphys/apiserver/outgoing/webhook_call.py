"""One POST to a webhook, as its ``clientConfig`` says: for admission and for conversion.

Owns: address, TLS, timeout, and upstream's texts for every way to get no answer. Refuses: what is asked.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import field
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from tiphys.apimachinery import tracing
from tiphys.apimachinery.dataclass import dataclass
from tiphys.apimachinery.errors import TiphysError
from tiphys.apimachinery.meta import Object
from tiphys.apimachinery.release import RELEASE
from tiphys.apiserver.endpoints.call import Backend
from tiphys.apiserver.observe.certificate_counts import WEBHOOKS, audit_notes
from tiphys.apiserver.outgoing.client_span import answered, asking
from tiphys.apiserver.outgoing.foreign_answers import refusal
from tiphys.apiserver.outgoing.service_link import Endpoint, NoEndpoint, bundle_of, resolve, tls_context
from tiphys.client.call_counts import calls_to, resolved
from tiphys.wire import client
from tiphys.wire.kept import Place
from tiphys.wire.pki import KeyPair
from tiphys.wire.reasons import reason_of

_HTTPS: Final = 443
_MAX_ANSWER_BYTES: Final = 16 << 20


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
    headers = {
        "Host": address.authority,
        "Accept": "application/json, */*",
        "Content-Type": "application/json",
        "User-Agent": f"kube-apiserver-admission/{RELEASE}",
        **authorization,
    }
    try:
        with (
            asking("POST", address.url) as span,
            _counting(backend, address.authority, body) as call,
        ):
            headers |= tracing.headers()
            async with asyncio.timeout(timeout_s):
                answer = await backend.kept.send(
                    place, "POST", address.target, headers, body=body, connect_timeout_s=timeout_s + 1
                )
                call.status = answer.status
                answered(span, answer.status)
                try:
                    return await _read(answer, call)
                finally:
                    await answer.close()
    except TimeoutError as error:
        raise NoAnswer(f'Post "{address.url}": context deadline exceeded') from error
    except client.ConnectFailed as error:
        found = backend.certificates.refused(WEBHOOKS, error)
        told = audit_notes(found, address.host)
        reason = reason_of(error, address.endpoint.authority, of_client=True)
        raise NoAnswer(f'Post "{address.url}": {reason}', audited=told) from error


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
    timeout = f"timeout={timeout_s}s"
    service = config.get("service")
    if service:
        port = int(service.get("port") or _HTTPS)
        host = f"{service['name']}.{service['namespace']}.svc"
        authority = f"{host}:{port}"
        path = service.get("path") or "/"
        target = f"{path if path.startswith('/') else '/' + path}?{timeout}"
        url = f"https://{authority}{target}"
        try:
            endpoint = await resolve(backend, service["namespace"], service["name"], port)
        except NoEndpoint as error:
            raise NoAnswer(f'Post "{url}": {error}') from error
        return _Address(url, target, authority, endpoint, host, port)
    parts = urlsplit(config.get("url") or "")
    target = f"{parts.path}?{f'{parts.query}&' if parts.query else ''}{timeout}"
    if not parts.path:
        target = f"/{target}"
    host, through = parts.hostname or "", backend.options.egress.controlplane
    endpoint = Endpoint(host, parts.port or _HTTPS, host, through)
    shown = target if parts.path else target[1:]
    return _Address(
        f"https://{parts.netloc}{shown}", target, parts.netloc, endpoint, endpoint.host, endpoint.port
    )


@dataclass(slots=True)
class _Outcome:
    """What came of a call."""

    status: int = 0
    received: int = 0
    """Bytes of the answer's body."""


@contextmanager
def _counting(backend: Backend, authority: str, body: bytes) -> Iterator[_Outcome]:
    """Count a call to a webhook among those of this server's clients."""
    began, found = backend.clock.monotonic(), _Outcome()
    try:
        yield found
    finally:
        counts, took_s = calls_to(authority), backend.clock.monotonic() - began
        if found.status:
            counts.answered("POST", str(found.status), took_s, len(body), found.received)
        else:
            counts.failed("POST", took_s, len(body))


async def _read(answer: client.Answer, call: _Outcome) -> bytes:
    parts, size = [], 0
    try:
        async for chunk in answer.body():
            parts.append(chunk)
            size += len(chunk)
            if size > _MAX_ANSWER_BYTES:
                raise NoAnswer(f"the response is larger than {_MAX_ANSWER_BYTES} bytes")
    except client.CutOff as error:
        text = f"unexpected error when reading response body. Please retry. Original error: {error}"
        raise NoAnswer(text) from error
    body, call.received = b"".join(parts), size
    if 200 <= answer.status < 300:
        return body
    told = {"content-type": answer.header("content-type")}
    raise NoAnswer(refusal(answer.status, told, body), answer.status)
