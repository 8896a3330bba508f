"""A remote service that is asked by posting one object, found through a kubeconfig file.

Owns: the connection, its retries and what its failures are called. Called by the webhooks of authentication
and authorization. It is told how long it has, in the query, which is in the texts of failures too.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, MutableMapping
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import orjson

from tiphys.apimachinery.duration import go_duration
from tiphys.apimachinery.errors import TiphysError
from tiphys.apimachinery.meta import Object, gvk_of
from tiphys.apimachinery.schema.node import Schema
from tiphys.apiserver.observe.certificate_counts import WEBHOOKS, CertificateCounts, audit_notes
from tiphys.apiserver.outgoing.foreign_answers import MOST_BYTES, is_passing, is_refused, refusal, silence
from tiphys.apiserver.outgoing.typed_answers import Undecodable, read
from tiphys.client import kubeconfig
from tiphys.client.transport import Call, Transport, TransportError
from tiphys.wire.dial import Tunnel
from tiphys.wire.reasons import certificate_reason

_VERSIONS = ("v1", "v1beta1")
_ATTEMPTS = 5
_FIRST_WAIT_S = 0.5
_FACTOR = 1.5


def check_version(what: str, version: str) -> None:
    """Raises kubeconfig.ConfigError for a version in which such a service cannot be asked."""
    if version not in _VERSIONS:
        shown = ", ".join(f'"{one}"' for one in _VERSIONS)
        text = f'unsupported {what} version "{version}", supported versions are {shown}'
        raise kubeconfig.ConfigError(text)


def not_posted(url: str, query: str, cause: BaseException) -> str:
    """Say in Go's words why nothing could be posted, or no answer came."""
    return f'Post "{url}?{query}": {go_reason(url, cause)}'


def go_reason(url: str, cause: BaseException) -> str:
    """Say in Go's words what was in the way of an answer."""
    if isinstance(cause, ConnectionRefusedError):
        where = urlsplit(url)
        port = where.port or (443 if where.scheme == "https" else 80)
        return f"dial tcp {where.hostname}:{port}: connect: connection refused"
    if isinstance(cause, TimeoutError):
        return "context deadline exceeded (Client.Timeout exceeded while awaiting headers)"
    return certificate_reason(cause) or str(cause)


class RemoteFailed(TiphysError):
    """No usable answer came."""

    def __init__(self, text: str, *, timed_out: bool = False) -> None:
        super().__init__(text)
        self.timed_out = timed_out


class Remote:
    """One service. ``timeout_s`` is for one attempt; a failure that soon passes is tried again.

    In ``certificates`` those are counted that go by old rules.
    """

    def __init__(
        self,
        transport: Transport,
        *,
        url: str = "",
        timeout_s: float = 30.0,
        attempts: int = _ATTEMPTS,
        first_wait_s: float = _FIRST_WAIT_S,
        certificates: CertificateCounts | None = None,
    ) -> None:
        self._transport = transport
        self._url, self._query = url, f"timeout={go_duration(timeout_s)}"
        self._timeout_s = timeout_s
        self._attempts = attempts
        self._first_wait_s = first_wait_s
        self.certificates = certificates

    @classmethod
    def from_kubeconfig(
        cls,
        path: Path,
        *,
        timeout_s: float = 30.0,
        first_wait_s: float = _FIRST_WAIT_S,
        through: Tunnel | None = None,
        certificates: CertificateCounts | None = None,
    ) -> Remote:
        """Raises kubeconfig.ConfigError."""
        config = replace(kubeconfig.load(path), through=through)
        return cls(
            config.transport(), url=config.server, timeout_s=timeout_s, first_wait_s=first_wait_s,
            certificates=certificates,
        )  # fmt: skip

    async def post(
        self, review: Object, shapes: Mapping[str, Schema], notes: MutableMapping[str, str] | None = None
    ) -> Object:
        """Send a review and return the one in the answer, in a shape of its kind.

        ``notes`` take what audit is told. Raises RemoteFailed.
        """
        call = Call(
            "POST",
            "" if urlsplit(self._url).path else "/",
            query=self._query,
            headers={"Content-Type": "application/json", "Accept": "application/json, */*"},
            body=orjson.dumps(review),
            timeout_s=self._timeout_s,
            most_bytes=MOST_BYTES,
        )
        wait_s, attempt = self._first_wait_s, 1
        while True:
            try:
                answer = await self._once(call, notes)
            except _Passing as error:
                if attempt >= self._attempts:
                    raise RemoteFailed(str(error)) from error
            else:
                break
            await asyncio.sleep(wait_s)
            wait_s, attempt = wait_s * _FACTOR, attempt + 1
        try:
            return read(answer, gvk_of(review), shapes)
        except Undecodable as error:
            raise RemoteFailed(str(error)) from error

    async def close(self) -> None:
        """Close every connection. Idempotent."""
        await self._transport.close()

    def _note(self, found: tuple[str, ...], notes: MutableMapping[str, str] | None) -> None:
        if notes is not None:
            for key, value in audit_notes(found, urlsplit(self._url).hostname or ""):
                notes.setdefault(key, value)

    async def _once(self, call: Call, notes: MutableMapping[str, str] | None) -> bytes:
        try:
            answer = await self._transport.send(call)
        except TransportError as error:
            cause = error.__cause__ or error
            if self.certificates is not None:
                self._note(self.certificates.refused(WEBHOOKS, error), notes)
            # Who is away or slow is not waited for again: somebody waits for the answer meanwhile.
            failure = _Passing if isinstance(cause, ConnectionResetError) else RemoteFailed
            text = not_posted(self._url, self._query, cause)
            raise failure(text, timed_out=isinstance(cause, TimeoutError)) from error
        if self.certificates is not None and answer.certificate is not None:
            self._note(self.certificates.shown(WEBHOOKS, answer.certificate), notes)
        if is_refused(answer.status):
            passing = is_passing(answer.status, answer.headers)
            text = refusal(answer.status, answer.headers, answer.body)
            raise _Passing(text) if passing else RemoteFailed(text)
        if not answer.body:
            raise RemoteFailed(silence(answer.status, answer.headers))
        return answer.body


class _Passing(RemoteFailed):
    """A failure that another attempt may mend."""
