"""The keys of an OpenID Connect issuer, found through its discovery document, fetched anew as they change.

Source: OpenID Connect Discovery 1.0; RFC 7517.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any, Final

import jwt

from tiphys.apimachinery.clock import Clock
from tiphys.apimachinery.errors import TiphysError
from tiphys.apimachinery.schema.mismatch import json_kind
from tiphys.apiserver.authn.issuer_calls import IssuerUnavailable, fetch, read_object, shown, status_line
from tiphys.apiserver.authn.jwt_counts import KeyFetches
from tiphys.client.transport import Answer
from tiphys.wire.dial import Tunnel

log = logging.getLogger(__name__)
_WELL_KNOWN = "/.well-known/openid-configuration"
ASKED_AGAIN_S: Final = 10.0
"""Where the keys of an issuer lie that has not told is asked for no more often than this."""
_FETCHED_AGAIN_S = 1.0
"""An issuer is asked for keys no more often than this, whatever tokens come."""


class KeysUnavailable(TiphysError):
    """An issuer has told where its keys lie, and they cannot be had there."""


class IssuerKeys:
    """The keys of one issuer. ``discovery_url`` replaces the address of its discovery document."""

    def __init__(
        self,
        issuer: str,
        clock: Clock,
        *,
        discovery_url: str = "",
        certificate_authority: str = "",
        fetches: KeyFetches | None = None,
        through: Tunnel | None = None,
    ) -> None:
        self._issuer = issuer
        self._discovery_url = discovery_url or issuer.rstrip("/") + _WELL_KNOWN
        self._authority = certificate_authority
        self._through = through
        self._fetches = fetches or KeyFetches(issuer, clock)
        self._keys_url = ""
        self._keys: list[jwt.PyJWK] = []
        self._discovery = Attempts(self._discover, clock, ASKED_AGAIN_S)
        self._fetching = Attempts(self._fetch_keys, clock, _FETCHED_AGAIN_S)

    @property
    def found(self) -> bool:
        """Whether it is known where the keys lie."""
        return bool(self._keys_url)

    def candidates(self, key_id: str) -> list[jwt.PyJWK]:
        """Return those of the known keys that may have signed."""
        return [key for key in self._keys if not key_id or key.key_id == key_id]

    async def newer(self, key_id: str) -> list[jwt.PyJWK]:
        """Return what may have signed once keys are fetched anew: none of the known ones has.

        Raises:
            KeysUnavailable: they cannot be had.
        """
        await self._fetching.once_more()
        return self.candidates(key_id)

    async def ready(self) -> None:
        """Know where the keys lie. Raises IssuerUnavailable, which says why that is not known."""
        if not self.found:
            await self._discovery.once_more()

    async def _discover(self) -> None:
        try:
            document = await self._discovered()
        except IssuerUnavailable as error:
            log.error("oidc authenticator: initializing plugin issuer=%s why=%s", self._issuer, error)
            raise
        self._keys_url = str(document.get("jwks_uri") or "")

    async def _discovered(self) -> dict[str, Any]:
        answer = await self._get(self._discovery_url)
        if answer.status != 200:
            raise IssuerUnavailable(f"{status_line(answer)}: {shown(answer)}")
        try:
            document = read_object(answer, "oidc.providerJSON")
        except ValueError as error:
            text = f"oidc: failed to decode provider discovery object: {error}"
            raise IssuerUnavailable(text) from error
        if document.get("issuer") != self._issuer:
            raise IssuerUnavailable(
                "oidc: issuer did not match the issuer returned by provider, "
                f'expected "{self._issuer}" got "{document.get("issuer")}"'
            )
        return document

    async def _fetch_keys(self) -> None:
        try:
            answer = await self._served_keys()
            told = _key_set(answer)
        except IssuerUnavailable as error:
            self._fetches.failed()
            log.error("oidc keys not fetched issuer=%s why=%s", self._issuer, error)
            raise KeysUnavailable(f"fetching keys {error}") from error
        self._fetches.succeeded(answer.body)
        self._keys = [key for one in told if (key := _key(one)) is not None]
        log.info("oidc keys fetched issuer=%s count=%d", self._issuer, len(self._keys))

    async def _served_keys(self) -> Answer:
        try:
            answer = await self._get(self._keys_url)
        except IssuerUnavailable as error:
            raise IssuerUnavailable(f"oidc: get keys failed {error}") from error
        if answer.status != 200:
            raise IssuerUnavailable(f"oidc: get keys failed: {status_line(answer)} {shown(answer)}")
        return answer

    async def _get(self, url: str) -> Answer:
        return await fetch(url, self._authority, {"Accept": "application/json"}, self._through)


class Attempts:
    """Something that is tried for all who wait for it, and not again for a while after it ended."""

    def __init__(self, attempt: Callable[[], Awaitable[None]], clock: Clock, again_s: float) -> None:
        self._attempt = attempt
        self._clock = clock
        self._again_s = again_s
        self._ended: float | None = None
        self._fault: TiphysError | None = None
        self._lock = asyncio.Lock()

    async def once_more(self) -> None:
        """Try it, or go by how it ended a moment ago. Raises what the attempt raised."""
        async with self._lock:
            if self._ended is None or self._clock.monotonic() - self._ended >= self._again_s:
                await self._try()
        if self._fault is not None:
            raise self._fault.with_traceback(None)

    async def _try(self) -> None:
        self._fault = None
        try:
            await self._attempt()
        except TiphysError as error:
            self._fault = error
        self._ended = self._clock.monotonic()


def _key_set(answer: Answer) -> list[Any]:
    try:
        keys = read_object(answer, "jose.JSONWebKeySet").get("keys") or []
        if isinstance(keys, list):
            return keys
        where = "Go struct field JSONWebKeySet.keys of type []jose.JSONWebKey"
        raise ValueError(f"json: cannot unmarshal {json_kind(keys)} into {where}")
    except ValueError as error:
        raise IssuerUnavailable(f"oidc: failed to decode keys: {error} {shown(answer)}") from error


def _key(document: Any) -> jwt.PyJWK | None:
    """Return a signature key; None for what is of other use or of a kind that is not known here."""
    if not isinstance(document, dict) or document.get("use") not in (None, "", "sig"):
        return None
    if document.get("kty") not in ("RSA", "EC"):
        return None  # symmetric keys sign nothing that others may verify
    try:
        return jwt.PyJWK.from_dict(document)
    except jwt.PyJWTError:
        return None
