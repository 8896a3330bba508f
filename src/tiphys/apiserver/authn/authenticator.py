"""Turns a request into a user: a front proxy's word, certificates, tokens, then anonymous.

Owns: the order, as upstream's union has it, and what counts as a failed attempt (401) against no attempt
(anonymous). What a token is, each of ``TokenAuthenticator`` knows.
"""

from __future__ import annotations

import base64
import binascii
import logging
from collections.abc import Iterator, Sequence
from dataclasses import replace

from prometheus_client.core import Metric

from tiphys.apimachinery.errors import Unauthorized
from tiphys.apiserver.authn import x509
from tiphys.apiserver.authn.anonymous import Anonymous
from tiphys.apiserver.authn.requestheader import RequestHeader, is_issued_by
from tiphys.apiserver.authn.tokens import Authenticated, Notes, Refused, TokenAuthenticator
from tiphys.apiserver.authn.user import User
from tiphys.wire.message import Request

log = logging.getLogger(__name__)

_INVALID = "invalid bearer token"
_PROTOCOL_PREFIX = "base64url.bearer.authorization.k8s.io."


class Authenticator:
    """Answers who is asking."""

    def __init__(
        self,
        tokens: Sequence[TokenAuthenticator],
        api_audiences: tuple[str, ...],
        *,
        anonymous: Anonymous | None = None,
        front_proxy: RequestHeader | None = None,
        client_ca: bytes = b"",
    ) -> None:
        self.tokens = tuple(tokens)
        self.api_audiences = api_audiences
        self.anonymous = anonymous or Anonymous()
        self._front_proxy = front_proxy
        self._client_ca = client_ca
        self.changes = 0
        """Of the authorities that are believed."""

    def trust(self, client_ca: bytes, front_proxy: RequestHeader | None) -> None:
        """Believe certificates of other authorities, and no others, from now on."""
        self._client_ca, self._front_proxy = client_ca, front_proxy
        self.changes += 1

    async def authenticate(self, request: Request) -> User:
        """Return the user. Raises Unauthorized when credentials were shown and none is good."""
        if request.peer_certificate is not None:
            user = self._shown(request, request.peer_certificate)
            if user is not None:
                return user.authenticated()
        token = bearer_token(request)
        if token:
            return await self._bearer(request, token)
        anonymous = self.anonymous.user_for(request.path)
        if anonymous is None:
            raise Unauthorized("Unauthorized")
        return anonymous

    def _shown(self, request: Request, certificate: bytes) -> User | None:
        """Return whom a client certificate stands for: its proxy's user, or its own."""
        proxy, issuers = self._front_proxy, request.peer_issuers
        if proxy is None and not self._client_ca:
            return x509.user_of(certificate)
        user = proxy.user_of(request.headers, certificate, issuers) if proxy is not None else None
        if user is not None:
            return user
        # TLS took certificates of both authorities, as they were then; only those of one name users.
        return x509.user_of(certificate) if is_issued_by(certificate, self._client_ca, issuers) else None

    async def _bearer(self, request: Request, token: str) -> User:
        try:
            found = await self.authenticate_token(token, self.api_audiences)
        except Refused as error:
            _note(request, error.annotations)
            log.info("unable to authenticate the request err=%s", error)
            raise Unauthorized("Unauthorized") from None
        if found is None:
            raise Unauthorized("Unauthorized")
        _note(request, found.annotations)
        if found.warnings:
            request.scope["warnings"] = list(found.warnings)
        return found.user

    async def authenticate_token(self, token: str, audiences: tuple[str, ...]) -> Authenticated | None:
        """Return whom a token names; None when nobody knows it or it is for other audiences.

        Raises:
            Refused: one authenticator knows it and says no; the others were asked too.
        """
        refusals: list[Refused] = []
        for authenticator in self.tokens:
            try:
                found = await authenticator.authenticate_token(token, audiences)
            except Refused as error:
                refusals.append(error)
                continue
            if found is not None:
                user = found.user.authenticated()
                if user is found.user:
                    return found
                return replace(found, user=user)
        if refusals:
            notes = tuple(note for refused in refusals for note in refused.annotations)
            raise Refused(f"[{', '.join([_INVALID, *map(str, refusals)])}]", notes)
        return None

    async def lasting_user(self, request: Request) -> User | None:
        """Return whom the connection's certificate or token names, where that will never change."""
        if request.peer_certificate is not None:
            user = self._shown(request, request.peer_certificate)
            if user is not None:
                return user.authenticated()
        token = bearer_token(request)
        if not token:
            return None
        try:
            found = await self.authenticate_token(token, self.api_audiences)
        except Refused:
            return None
        return found.user if found is not None and found.lasting and not found.annotations else None

    async def reload(self) -> None:
        """Take over changed files."""
        for authenticator in self.tokens:
            await authenticator.reload()

    def collect(self) -> Iterator[Metric]:
        """Yield what is counted of tokens and of files."""
        for authenticator in self.tokens:
            yield from authenticator.collect()

    async def close(self) -> None:
        """Close the connections of those that ask others. Idempotent."""
        for authenticator in self.tokens:
            await authenticator.close()


def _note(request: Request, notes: Notes) -> None:
    for key, value in notes:
        request.scope.setdefault("audit_annotations", {})[key] = value


def bearer_token(request: Request) -> str:
    """Return the bearer token of a request: of the header, or as browsers send it over a websocket."""
    header = request.headers.get("authorization", "")
    scheme, _, token = header.partition(" ")
    if scheme.lower() == "bearer":
        return token.strip()
    protocols = request.headers.get("sec-websocket-protocol", "")
    for protocol in protocols.split(",") if _PROTOCOL_PREFIX in protocols else ():
        encoded = protocol.strip().removeprefix(_PROTOCOL_PREFIX)
        if encoded == protocol.strip():
            continue
        try:
            return base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4)).decode("utf-8", "replace")
        except (binascii.Error, ValueError):
            return ""
    return ""
