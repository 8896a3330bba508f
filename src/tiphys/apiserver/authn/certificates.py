"""Whom a client's certificate makes a request's user: with a front proxy's whom headers name, else its own.

Owns: which authorities are believed, front proxies' first as upstream has it, and for how long what was found
out of a connection holds. Refuses: tokens. Called by ``Authenticator``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime
from typing import Final

from tiphys.apimachinery.clock import Clock, RealClock
from tiphys.apimachinery.dataclass import dataclass
from tiphys.apiserver.authn import x509
from tiphys.apiserver.authn.attempts import Seen
from tiphys.apiserver.authn.lifetimes import Lifetimes
from tiphys.apiserver.authn.requestheader import RequestHeader
from tiphys.apiserver.authn.user import User
from tiphys.wire.client_certificates import ClientAuthorities, NotVerified, identifier, subject_of
from tiphys.wire.message import Request

_LOOK_S: Final = 30.0
"""The clock may jump: it is looked at this often at least."""
_AFTER_S: Final = 0.01
"""What ends at a moment is still good in it."""


@dataclass(frozen=True, slots=True)
class Certified:
    """A user, and until when the certificate stands for that."""

    user: User
    until: datetime
    own: bytes = b""
    """The certificate (DER) that names the user; none where a front proxy does."""


class Certificates:
    """The authorities of one server."""

    def __init__(
        self, client_ca: bytes = b"", front_proxy: RequestHeader | None = None, clock: Clock | None = None
    ) -> None:
        self._clock = clock or RealClock()
        self.lifetimes = Lifetimes(self._clock)
        self.trust(client_ca, front_proxy)

    def trust(self, client_ca: bytes, front_proxy: RequestHeader | None) -> None:
        """Believe these authorities and no others from now on. Raises ValueError, changing nothing."""
        users = ClientAuthorities(client_ca)
        proxies = ClientAuthorities(front_proxy.client_ca if front_proxy is not None else b"")
        self._users, self._proxies, self._front_proxy = users, proxies, front_proxy

    def identify(self, request: Request, faults: list[str], *, counts: bool = True) -> Certified | None:
        """Return who is asking, None where no certificate says so; ``faults`` is told what is wrong."""
        if not request.shown_certificates:
            return None
        proxied = self._proxied(request, faults)
        if proxied is not None or not self._users:
            return proxied
        if counts:
            self.lifetimes.observe(request.shown_certificates[0])
        return self._own(request, faults)

    def follow(self, request: Request, seen: Seen) -> None:
        """Note how long the certificate of a connection holds with each request that is counted there."""
        certified = self.identify(request, [], counts=False)
        if certified is not None and certified.own:
            self.lifetimes.follow(certified.own, seen)

    def _proxied(self, request: Request, faults: list[str]) -> Certified | None:
        shown, header = request.shown_certificates, self._front_proxy
        if header is None or not self._proxies:
            return None
        try:
            until = self._proxies.verify(shown, self._clock.now())
        except NotVerified as error:
            faults.append(str(error))
            return None
        name = subject_of(shown[0]).common_name
        if header.allowed_names and name not in header.allowed_names:
            faults.append(f"x509: subject with cn={name} is not in the allowed list")
            return None
        user = header.user_of(request.headers)
        return Certified(user, until) if user is not None else None

    def _own(self, request: Request, faults: list[str]) -> Certified | None:
        shown = request.shown_certificates
        try:
            until = self._users.verify(shown, self._clock.now())
        except NotVerified as error:
            faults.append(f"verifying certificate {_named(shown[0])} failed: {error}")
            return None
        try:
            user = x509.user_of(shown[0])
        except NotVerified as error:
            faults.append(str(error))
            return None
        return Certified(user, until, shown[0]) if user is not None else None


def _named(certificate: bytes) -> str:
    try:
        return identifier(certificate)
    except ValueError:
        return "that cannot be read"


class Expiry:
    """Calls ``ended`` when the first of what was noted is over, so that nobody need look at each request."""

    def __init__(self, clock: Clock, ended: Callable[[], None]) -> None:
        self._clock = clock
        self._ended = ended
        self._until: datetime | None = None
        self._timer: asyncio.TimerHandle | None = None

    def note(self, until: datetime) -> None:
        """Something holds until then."""
        if self._until is None or until < self._until:
            self._until = until
            self._arm()

    def close(self) -> None:
        """Call no more. Idempotent."""
        if self._timer is not None:
            self._timer.cancel()
        self._until = self._timer = None

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        assert self._until is not None
        left_s = (self._until - self._clock.now()).total_seconds()
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(min(max(left_s, 0.0) + _AFTER_S, _LOOK_S), self._look)

    def _look(self) -> None:
        if self._until is not None and self._clock.now() > self._until:
            self.close()
            self._ended()
        elif self._until is not None:
            self._arm()
