"""Asks a remote service whom a token names: ``--authentication-token-webhook-config-file``.

Source: the "Webhook Token Authentication" section; authentication.k8s.io TokenReview.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any

from tiphys.apimachinery.clock import Clock
from tiphys.apimachinery.families import Metric
from tiphys.apiserver.authn.token_cache import TokenCache, TokenCacheCounts
from tiphys.apiserver.authn.tokens import Authenticated, Refused
from tiphys.apiserver.authn.user import User
from tiphys.apiserver.outgoing.remote import Remote, RemoteFailed
from tiphys.apiserver.outgoing.typed_answers import shapes_of

log = logging.getLogger(__name__)
_GROUP = "authentication.k8s.io"


class WebhookTokens:
    """Remembers for ``cache_ttl_s`` whom a token names, or that nobody does."""

    def __init__(
        self,
        remote: Remote,
        api_audiences: tuple[str, ...],
        clock: Clock,
        *,
        version: str = "v1beta1",
        cache_ttl_s: float = 120.0,
        counts: TokenCacheCounts | None = None,
    ) -> None:
        self._remote = remote
        self._own = api_audiences
        self._version = version
        self._cache = TokenCache(
            self._ask, clock, counts or TokenCacheCounts(), ttl_s=cache_ttl_s, failure_ttl_s=cache_ttl_s
        )

    async def authenticate_token(self, token: str, audiences: tuple[str, ...]) -> Authenticated | None:
        return await self._cache.get(token, audiences)

    async def close(self) -> None:
        self._cache.close()
        await self._remote.close()

    async def run(self) -> None:
        return

    async def reload(self) -> None:
        return

    def collect(self) -> Iterable[Metric]:
        return ()

    async def _ask(self, token: str, audiences: tuple[str, ...]) -> Authenticated | None:
        review = {
            "kind": "TokenReview",
            "apiVersion": f"{_GROUP}/{self._version}",
            "metadata": {},
            "spec": {"token": token, "audiences": list(audiences)},
            "status": {"user": {}},
        }
        notes: dict[str, str] = {}
        try:
            answer = await self._remote.post(review, shapes_of(_GROUP, "TokenReview"), notes)
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
                raise Refused(status["error"])
            return None
        return Authenticated(_user_of(status.get("user") or {}), common, tuple(notes.items()))


def _user_of(info: dict[str, Any]) -> User:
    extra = tuple(sorted((key, tuple(values or ())) for key, values in (info.get("extra") or {}).items()))
    return User(
        str(info.get("username") or ""), str(info.get("uid") or ""), tuple(info.get("groups") or ()), extra
    )
