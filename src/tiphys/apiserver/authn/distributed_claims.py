"""Groups that a token does not hold: it names where they lie, as a token of their own.

Owns: fetching them with the access token that comes along, and verifying them with their own issuer's keys. A
claim that the token has, and one that came with it whole (aggregated), are left as they are: upstream's way.
Source: OpenID Connect Core 1.0, section 5.6.2.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from tiphys.apimachinery.clock import Clock
from tiphys.apimachinery.schema.mismatch import json_kind
from tiphys.apiserver.authn.issuer_calls import IssuerUnavailable, fetch, shown, status_line
from tiphys.apiserver.authn.jwks import IssuerKeys
from tiphys.apiserver.authn.jwt_config import JwtConfig
from tiphys.apiserver.authn.jwt_verifier import NotVerified, Verifier, issuer_of
from tiphys.wire.dial import Tunnel

_MAX_ISSUERS: Final = 64


class NotExpanded(Exception):
    """A claim that lies elsewhere could not be had."""


class DistributedClaims:
    """One claim of one issuer's tokens."""

    def __init__(self, claim: str, config: JwtConfig, clock: Clock, through: Tunnel | None = None) -> None:
        self._claim = claim
        self._config = config
        self._clock = clock
        self._through = through
        self._verifiers: OrderedDict[str, tuple[IssuerKeys, Verifier]] = OrderedDict()

    async def expand(self, claims: dict[str, Any], now: datetime) -> dict[str, Any]:
        """Return the claims with the one that lies elsewhere. Raises NotExpanded."""
        endpoint = endpoint_of(claims, self._claim)
        if endpoint is None:
            return claims
        url, access_token = endpoint
        try:
            token = await self._fetched(url, access_token)
        except NotExpanded as error:
            raise NotExpanded(f'while getting distributed claim "{self._claim}": {error}') from error
        found = await self._verified(token, url, now)
        if self._claim not in found:
            raise NotExpanded(
                f'jwt returned by distributed claim endpoint "{url}" did not contain claim: {self._claim}'
            )
        return {**claims, self._claim: found[self._claim]}

    async def _fetched(self, url: str, access_token: str) -> str:
        headers = {"Authorization": f"Bearer {access_token}"} if access_token else {}
        try:
            answer = await fetch(url, self._config.certificate_authority, headers, self._through)
        except IssuerUnavailable as error:
            raise NotExpanded(str(error)) from error
        if not 200 <= answer.status <= 226:
            raise NotExpanded(f"error while getting distributed claim JWT: {status_line(answer)}")
        return shown(answer)

    async def _verified(self, token: str, url: str, now: datetime) -> dict[str, Any]:
        issuer = issuer_of(token)
        if not issuer and (fault := _form_fault(token)):
            raise NotExpanded(
                f'getting untrusted issuer from endpoint {url} failed for claim "{self._claim}": {fault}'
            )
        try:
            verifier = await self._verifier(issuer)
            return await verifier.verify(token, now)
        except NotVerified as error:
            raise NotExpanded(f"verify distributed claim token: {error}") from error
        except IssuerUnavailable as error:
            text = f'verifier not initialized for issuer: "{issuer}"'
            raise NotExpanded(f"verifying untrusted issuer {issuer} failed: {text}") from error

    async def _verifier(self, issuer: str) -> Verifier:
        """Return what verifies an issuer's tokens, once it has told of its keys. Raises IssuerUnavailable."""
        keys, verifier = self._verifiers.get(issuer) or self._made(issuer)
        await keys.ready()
        return verifier

    def _made(self, issuer: str) -> tuple[IssuerKeys, Verifier]:
        config = self._config
        keys = IssuerKeys(
            issuer,
            self._clock,
            discovery_url=config.discovery_url if issuer == config.url else "",
            certificate_authority=config.certificate_authority,
            through=self._through,
        )
        found = self._verifiers[issuer] = keys, Verifier(config.audiences, config.algorithms, keys)
        if len(self._verifiers) > _MAX_ISSUERS:
            self._verifiers.popitem(last=False)
        return found


def _form_fault(token: str) -> str:
    """Say why a text is not even of a token's form; nothing where it is."""
    if token.lstrip().startswith("{"):
        return "token is not compact JWT"
    return "malformed token" if token.count(".") != 2 else ""


def endpoint_of(claims: Mapping[str, Any], claim: str) -> tuple[str, str] | None:
    """Return where a claim lies and the token with which to ask; None when nobody need be asked.

    The claims are those of a verified token, whose names and sources fit each other. Pure.
    """
    names = claims.get("_claim_names")
    if claim in claims or not names or claim not in names:
        return None
    source = (claims.get("_claim_sources") or {})[names[claim]]
    url, access_token = (source.get(key) for key in ("endpoint", "access_token"))
    for value in (url, access_token):
        if not isinstance(value, str | None):
            text = f"json: cannot unmarshal {json_kind(value)} into Go value of type string"
            raise NotExpanded(f"oidc: could not parse claim sources: {text}")
    return (url, access_token or "") if url else None
