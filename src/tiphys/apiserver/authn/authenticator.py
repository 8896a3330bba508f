"""Turns a request into a user, trying certificates, then tokens, then anonymous.

Owns: the order and what counts as a failed attempt (401) against no attempt (anonymous). Reads service
accounts and pods through a small lookup, so that bound tokens die with what they are bound to.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from tiphys.apimachinery.clock import Clock
from tiphys.apimachinery.errors import Unauthorized
from tiphys.apimachinery.meta import Object
from tiphys.apiserver.authn import x509
from tiphys.apiserver.authn.serviceaccount import InvalidToken, TokenKeys, VerifiedToken
from tiphys.apiserver.authn.user import ANONYMOUS_USER, User
from tiphys.apiserver.options import TokenEntry
from tiphys.wire.message import Request

log = logging.getLogger(__name__)

Lookup = Callable[[str, str, str], Awaitable[Object | None]]
"""(plural of a core resource, namespace, name) -> object, or None when it is gone."""


@dataclass(frozen=True, slots=True)
class Authenticated:
    """A user, and the audiences under which the token was good (for TokenReview)."""

    user: User
    audiences: tuple[str, ...] = ()


class Authenticator:
    """Answers who is asking. Certificates win over tokens, as upstream's union does."""

    def __init__(
        self,
        tokens: Sequence[TokenEntry],
        keys: TokenKeys,
        api_audiences: tuple[str, ...],
        lookup: Lookup,
        clock: Clock,
        *,
        anonymous: bool = True,
    ) -> None:
        self._static = {
            entry.token: User(entry.user, entry.uid, entry.groups).authenticated() for entry in tokens
        }
        self._keys = keys
        self.api_audiences = api_audiences
        self._lookup = lookup
        self._clock = clock
        self._anonymous = anonymous

    async def authenticate(self, request: Request) -> User:
        """Return the user. Raises Unauthorized when credentials were shown and none is good."""
        if request.peer_certificate is not None:
            user = x509.user_of(request.peer_certificate)
            if user is not None:
                return user.authenticated()
        token = bearer_token(request)
        if token:
            found = await self.authenticate_token(token, self.api_audiences)
            if found is None:
                raise Unauthorized("Unauthorized")
            return found.user
        if not self._anonymous:
            raise Unauthorized("Unauthorized")
        return ANONYMOUS_USER

    async def authenticate_token(self, token: str, audiences: tuple[str, ...]) -> Authenticated | None:
        """Return whom a token names, None when nobody knows it or it is not for these audiences."""
        static = self._static.get(token)
        if static is not None:
            return Authenticated(static)
        try:
            verified = self._keys.verify(token, self._clock.now())
            if verified is None:
                return None
            common = tuple(audience for audience in verified.audiences if audience in audiences)
            if not common:
                raise InvalidToken("token audiences are not accepted here")
            await self._check_bindings(verified)
        except InvalidToken as error:
            log.info("token refused why=%s", error)
            return None
        return Authenticated(verified.user().authenticated(), common)

    async def _check_bindings(self, token: VerifiedToken) -> None:
        namespace = token.namespace
        account = await self._lookup("serviceaccounts", namespace, token.account)
        _same(account, str(token.bound("serviceaccount").get("uid", "")), "service account")
        for kind, plural in (("pod", "pods"), ("secret", "secrets")):
            bound = token.bound(kind)
            if bound:
                found = await self._lookup(plural, namespace, str(bound["name"]))
                _same(found, str(bound.get("uid", "")), kind)
        node = token.bound("node")
        if node and not token.bound("pod"):
            _same(await self._lookup("nodes", "", str(node["name"])), str(node.get("uid", "")), "node")


def _same(found: Object | None, uid: str, what: str) -> None:
    if found is None or (uid and found["metadata"].get("uid") != uid):
        raise InvalidToken(f"the token's {what} is gone")


def bearer_token(request: Request) -> str:
    """Return the bearer token of a request: of the header, or as browsers send it over a websocket."""
    header = request.headers.get("authorization", "")
    scheme, _, token = header.partition(" ")
    if scheme.lower() == "bearer":
        return token.strip()
    protocols = request.headers.get("sec-websocket-protocol", "")
    prefix = "base64url.bearer.authorization.k8s.io."
    if prefix in protocols:
        import base64

        for protocol in protocols.split(","):
            encoded = protocol.strip().removeprefix(prefix)
            if encoded != protocol.strip():
                return base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4)).decode(
                    "utf-8", "replace"
                )
    return ""
