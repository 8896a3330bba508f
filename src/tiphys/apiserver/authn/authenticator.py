"""Turns a request into a user: a front proxy's word, certificates, tokens, then anonymous.

Owns: the order, as upstream's union has it, and what counts as a failed attempt (401) against no attempt
(anonymous). What a token is, each of ``TokenAuthenticator`` knows.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator, Sequence
from dataclasses import replace

from tiphys.apimachinery.clock import Clock, RealClock
from tiphys.apimachinery.errors import Unauthorized
from tiphys.apimachinery.families import Metric
from tiphys.apiserver.authn.anonymous import Anonymous
from tiphys.apiserver.authn.attempts import NobodyShown, Seen
from tiphys.apiserver.authn.certificates import Certificates, Expiry
from tiphys.apiserver.authn.requestheader import RequestHeader
from tiphys.apiserver.authn.token_cache import TokenCacheCounts
from tiphys.apiserver.authn.tokens import Authenticated, Notes, Refused, TokenAuthenticator
from tiphys.apiserver.authn.user import User
from tiphys.wire import bearer
from tiphys.wire.message import Request

log = logging.getLogger(__name__)

_INVALID = "invalid bearer token"


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
        clock: Clock | None = None,
        cached: TokenCacheCounts | None = None,
    ) -> None:
        """``cached`` counts what of tokens is remembered."""
        self.tokens = tuple(tokens)
        self.api_audiences = api_audiences
        self.anonymous = anonymous or Anonymous()
        self._cached = cached or TokenCacheCounts()
        clock = clock or RealClock()
        self._certificates = Certificates(client_ca, front_proxy, clock)
        self._expiry = Expiry(clock, self._changed)
        self.changes = 0
        """Of what certificates that were shown are worth."""

    def trust(self, client_ca: bytes, front_proxy: RequestHeader | None) -> None:
        """Believe certificates of other authorities, and no others, from now on."""
        self._certificates.trust(client_ca, front_proxy)
        self._changed()

    def _changed(self) -> None:
        self.changes += 1

    async def authenticate(self, request: Request) -> User:
        """Return the user. Raises Unauthorized when credentials were shown and none is good."""
        faults: list[str] = []
        certified = self._certificates.identify(request, faults)
        if certified is not None:
            return certified.user.authenticated()
        for token in _tokens(request, faults):
            found = await self._bearer(request, token, faults)
            if found is not None:
                return found
        if faults:
            log.info("unable to authenticate the request err=[%s]", ", ".join(faults))
            raise Unauthorized("Unauthorized")
        anonymous = self.anonymous.user_for(request.path)
        if anonymous is None:
            raise NobodyShown("Unauthorized")
        return anonymous

    async def _bearer(self, request: Request, token: str, faults: list[str]) -> User | None:
        try:
            found = await self.authenticate_token(token, self.api_audiences)
        except Refused as error:
            _note(request, error.annotations)
            faults.append(str(error))
            return None
        if found is None:
            faults.append(_INVALID)
            return None
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
        """Return whom the connection's certificate or token names, where that is not to change.

        Where it changes after all, ``changes`` does.
        """
        certified = self._certificates.identify(request, [], counts=False)
        if certified is not None:
            self._expiry.note(certified.until)
            return certified.user.authenticated()
        token = bearer.header_token(request.headers)
        if not token:
            return None
        try:
            found = await self.authenticate_token(token, self.api_audiences)
        except Refused:
            return None
        return found.user if found is not None and found.lasting and not found.annotations else None

    def follow(self, request: Request, seen: Seen) -> None:
        """Take it that requests like this one, only counted from now on, come with its certificate."""
        self._certificates.follow(request, seen)

    async def run(self) -> None:
        """Learn in the background what is to be known of those that vouch for tokens."""
        async with asyncio.TaskGroup() as group:
            for authenticator in self.tokens:
                group.create_task(authenticator.run())

    async def reload(self) -> None:
        """Take over changed files."""
        for authenticator in self.tokens:
            await authenticator.reload()

    def collect(self) -> Iterator[Metric]:
        """Yield what is counted of certificates, of tokens and of files."""
        yield from self._certificates.lifetimes.collect()
        yield from self._cached.collect()
        for authenticator in self.tokens:
            yield from authenticator.collect()

    async def close(self) -> None:
        """Close the connections of those that ask others. Idempotent."""
        self._expiry.close()
        for authenticator in self.tokens:
            await authenticator.close()


def _tokens(request: Request, faults: list[str]) -> list[str]:
    """Return what may be a user's token, in the order in which they are tried."""
    headers = request.headers
    found = [bearer.header_token(headers)]
    if not found[0] and bearer.has_extra_space(headers):
        request.scope["warnings"] = [bearer.EXTRA_SPACE]
    try:
        found.append(bearer.websocket_token(headers))
    except ValueError as error:
        faults.append(str(error))
    return [token for token in found if token]


def _note(request: Request, notes: Notes) -> None:
    for key, value in notes:
        request.scope.setdefault("audit_annotations", {})[key] = value
