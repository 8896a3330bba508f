"""The keys of an OpenID Connect issuer, found through its discovery document, fetched anew as they change.

Source: OpenID Connect Discovery 1.0; RFC 7517.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import jwt
import orjson

from tiphys.apimachinery.clock import Clock
from tiphys.apimachinery.errors import TiphysError
from tiphys.client.transport import Answer, Call, HttpTransport, TransportError

log = logging.getLogger(__name__)
_WELL_KNOWN = "/.well-known/openid-configuration"
_TIMEOUT_S = 30.0
_AGAIN_S = 10.0
"""An issuer is asked no more often than this, whatever tokens come."""
_MAX_BYTES = 1 << 20


class IssuerUnavailable(TiphysError):
    """An issuer's keys cannot be had."""


class IssuerKeys:
    """The keys of one issuer. ``discovery_url`` replaces the address of its discovery document."""

    def __init__(
        self, issuer: str, clock: Clock, *, discovery_url: str = "", certificate_authority: str = ""
    ) -> None:
        self._issuer = issuer
        self._discovery_url = discovery_url or issuer.rstrip("/") + _WELL_KNOWN
        self._authority = certificate_authority
        self._clock = clock
        self._keys: list[jwt.PyJWK] | None = None
        self._fetched = 0.0
        self._fault = ""
        self._lock = asyncio.Lock()

    async def candidates(self, key_id: str) -> list[jwt.PyJWK]:
        """Return the keys that may have signed, fetched anew for an id not seen yet.

        Raises:
            IssuerUnavailable: no keys are known, and none can be had now.
        """
        found = self._matching(key_id)
        if found or self._is_fresh():
            if self._keys is None:
                raise IssuerUnavailable("authenticator not initialized")
            return found
        async with self._lock:
            if not self._is_fresh():
                await self._fetch()
        if self._keys is None:
            raise IssuerUnavailable("authenticator not initialized")
        return self._matching(key_id)

    async def ready(self) -> None:
        """Fetch the keys where none are known. Raises IssuerUnavailable, which says why there are none."""
        if self._keys is None:
            async with self._lock:
                await self._fetch()
        if self._keys is None:
            raise IssuerUnavailable(f"oidc: {self._fault}")

    def _is_fresh(self) -> bool:
        return self._fetched > 0 and self._clock.monotonic() - self._fetched < _AGAIN_S

    def _matching(self, key_id: str) -> list[jwt.PyJWK]:
        return [key for key in self._keys or () if not key_id or key.key_id == key_id]

    async def _fetch(self) -> None:
        self._fetched = self._clock.monotonic() or 1e-9
        try:
            document = await self._get(self._discovery_url)
            if document.get("issuer") != self._issuer:
                raise IssuerUnavailable(
                    "oidc: issuer did not match the issuer returned by provider, "
                    f'expected "{self._issuer}" got "{document.get("issuer")}"'
                )
            found = await self._get(str(document.get("jwks_uri") or ""))
        except IssuerUnavailable as error:
            self._fault = str(error)
            log.error("oidc keys not fetched issuer=%s why=%s", self._issuer, error)
            return
        self._keys = [key for one in found.get("keys") or () if (key := _key(one)) is not None]
        log.info("oidc keys fetched issuer=%s count=%d", self._issuer, len(self._keys))

    async def _get(self, url: str) -> dict[str, Any]:
        try:
            answer = await fetch(url, self._authority, {"Accept": "application/json"})
            if answer.status != 200:
                raise IssuerUnavailable(f'Get "{url}": status {answer.status}')
            found = orjson.loads(answer.body[:_MAX_BYTES])
        except (TransportError, orjson.JSONDecodeError) as error:
            raise IssuerUnavailable(f'Get "{url}": {error}') from error
        if not isinstance(found, dict):
            raise IssuerUnavailable(f'Get "{url}": no JSON object')
        return found


async def fetch(url: str, authority: str, headers: Mapping[str, str]) -> Answer:
    """Get what an issuer serves; ``authority`` (PEM) replaces those that the machine trusts.

    Raises:
        IssuerUnavailable: it is no https URL. TransportError.
    """
    parts = urlsplit(url)
    if parts.scheme != "https" or not parts.netloc:
        raise IssuerUnavailable(f'"{url}" is no https URL')
    context = ssl.create_default_context(cadata=authority or None)
    transport = HttpTransport(f"{parts.scheme}://{parts.netloc}", ssl_context=context)
    try:
        call = Call("GET", parts.path or "/", parts.query, dict(headers), timeout_s=_TIMEOUT_S)
        return await transport.send(call)
    finally:
        await transport.close()


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
