"""Asks a remote service whom a token names: ``--authentication-token-webhook-config-file``.

Source: the "Webhook Token Authentication" section; authentication.k8s.io TokenReview.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections import OrderedDict
from collections.abc import Iterable
from typing import Any

from tiphys.apimachinery.clock import Clock
from tiphys.apimachinery.families import Metric
from tiphys.apiserver.authn.token_cache import TokenCacheCounts
from tiphys.apiserver.authn.tokens import Authenticated, Refused
from tiphys.apiserver.authn.user import User
from tiphys.apiserver.outgoing.remote import Remote, RemoteFailed

log = logging.getLogger(__name__)
_MAX_CACHED = 4096
_Asked = tuple[bytes, tuple[str, ...]]
"""A token's digest, as no token is kept in memory for it, and for which audiences it was asked."""


class WebhookTokens:
    """Remembers for ``cache_ttl_s`` whom a token names, or that nobody; errors are asked again."""

    def __init__(
        self,
        remote: Remote,
        api_audiences: tuple[str, ...],
        clock: Clock,
        *,
        version: str = "v1beta1",
        cache_ttl_s: float = 120.0,
    ) -> None:
        self._remote = remote
        self._own = api_audiences
        self._clock = clock
        self._version = version
        self._ttl_s = cache_ttl_s
        self._counts = TokenCacheCounts()
        self._asking: dict[_Asked, asyncio.Future[Authenticated | None]] = {}
        """What the service is being asked: who asks the same meanwhile waits for the same answer."""
        self._cache: OrderedDict[_Asked, tuple[float, Authenticated | None]] = OrderedDict()

    async def authenticate_token(self, token: str, audiences: tuple[str, ...]) -> Authenticated | None:
        key = (hashlib.sha256(token.encode()).digest(), audiences)
        now = self._clock.monotonic()
        kept = self._cache.get(key)
        counts = self._counts
        if kept is not None and kept[0] > now:
            counts.hits.observe(self._clock.monotonic() - now)
            return kept[1]
        asking = self._asking.get(key)
        if asking is None:
            asking = asyncio.ensure_future(self._ask(token, audiences))  # parent: ends with ``close``
            self._asking[key] = asking
            counts.fetching += 1
            asking.add_done_callback(lambda done: self._asked(key, done))
        counts.blocked += 1
        try:
            return await asyncio.shield(asking)
        finally:
            counts.blocked -= 1
            counts.misses.observe(self._clock.monotonic() - now)

    def _asked(self, key: _Asked, done: asyncio.Future[Authenticated | None]) -> None:
        """Remember an answer; an error is for those alone who wait for it."""
        del self._asking[key]
        good = not done.cancelled() and done.exception() is None
        self._counts.fetched(good=good)
        if not good or self._ttl_s <= 0:
            return
        self._cache[key] = (self._clock.monotonic() + self._ttl_s, done.result())
        self._cache.move_to_end(key)
        if len(self._cache) > _MAX_CACHED:
            self._cache.popitem(last=False)

    async def close(self) -> None:
        for asking in self._asking.values():
            asking.cancel()
        await self._remote.close()

    async def reload(self) -> None:
        return

    def collect(self) -> Iterable[Metric]:
        return self._counts.collect()

    async def _ask(self, token: str, audiences: tuple[str, ...]) -> Authenticated | None:
        review = {
            "kind": "TokenReview",
            "apiVersion": f"authentication.k8s.io/{self._version}",
            "metadata": {},
            "spec": {"token": token, "audiences": list(audiences)},
            "status": {"user": {}},
        }
        try:
            answer = await self._remote.post(review)
        except RemoteFailed as error:
            log.error("failed to make webhook authenticator request err=%s", error)
            raise Refused(str(error)) from error
        status = answer.get("status") or {}
        got = tuple(status.get("audiences") or self._own)
        common = tuple(audience for audience in audiences if audience in got)
        if not common:
            return None
        if not status.get("authenticated"):
            if status.get("error"):
                raise Refused(str(status["error"]))
            return None
        return Authenticated(_user_of(status.get("user") or {}), common)


def _user_of(info: dict[str, Any]) -> User:
    extra = tuple(sorted((key, tuple(values or ())) for key, values in (info.get("extra") or {}).items()))
    return User(
        str(info.get("username") or ""), str(info.get("uid") or ""), tuple(info.get("groups") or ()), extra
    )
