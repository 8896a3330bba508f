"""Acting as a ServiceAccount: every request bears a fresh token asked of the API server.

A component that may make tokens runs each of its parts with only that part's rights.
Source: the TokenRequest API; upstream's use of service account credentials per controller.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

from tiphys.apimachinery.clock import Clock, RealClock
from tiphys.apimachinery.errors import AlreadyExists, NotFound, StatusError
from tiphys.client.kinds import SERVICE_ACCOUNTS
from tiphys.client.rest import Client
from tiphys.client.transport import Answer, Call, Stream, Transport, TransportError

_LIFETIME_S = 3600
_RENEW_AT = 0.8
_UNAUTHORIZED = 401


class ServiceAccountTransport:
    """Sends over ``anonymous`` with a token of ``namespace/name``, which ``issuer`` may create."""

    def __init__(
        self, anonymous: Transport, issuer: Client, namespace: str, name: str, clock: Clock | None = None
    ) -> None:
        self._inner = anonymous
        self._issuer = issuer
        self._namespace = namespace
        self._name = name
        self._clock = clock or RealClock()
        self._token = ""
        self._renew_at = 0.0
        self._lock = asyncio.Lock()

    async def send(self, call: Call) -> Answer:
        answer = await self._inner.send(await self._signed(call))
        if answer.status != _UNAUTHORIZED:
            return answer
        # The account was made anew, or the key rotated: an old token is void at once.
        self._token = ""
        return await self._inner.send(await self._signed(call))

    @asynccontextmanager
    async def stream(self, call: Call) -> AsyncIterator[Stream]:
        async with self._inner.stream(await self._signed(call)) as stream:
            if stream.status == _UNAUTHORIZED:
                self._token = ""
            yield stream

    async def close(self) -> None:
        """The connections belong to whoever made them."""

    def anonymous(self) -> Transport:
        return self._inner.anonymous()

    async def _signed(self, call: Call) -> Call:
        async with self._lock:
            if not self._token or self._clock.monotonic() >= self._renew_at:
                await self._renew()
        return replace(call, headers={**call.headers, "Authorization": f"Bearer {self._token}"})

    async def _renew(self) -> None:
        try:
            self._token = await self._request_token()
        except NotFound:
            await self._create_account()
            self._token = await self._request_token()
        except StatusError as error:
            raise TransportError(f"no token for {self._namespace}/{self._name}: {error.message}") from error
        self._renew_at = self._clock.monotonic() + _LIFETIME_S * _RENEW_AT

    async def _request_token(self) -> str:
        body = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "spec": {"expirationSeconds": _LIFETIME_S},
        }
        made = await self._issuer.post(SERVICE_ACCOUNTS, self._name, self._namespace, "token", body)
        return str(made["status"]["token"])

    async def _create_account(self) -> None:
        account = {
            "apiVersion": "v1",
            "kind": "ServiceAccount",
            "metadata": {"name": self._name, "namespace": self._namespace},
        }
        try:
            await self._issuer.create(SERVICE_ACCOUNTS, account)
        except AlreadyExists:
            return


def clients_for_accounts(
    issuer: Client, namespace: str, names: set[str], clock: Clock | None = None
) -> dict[str, Client]:
    """Return one client per account; they share their connections. Close them, then the issuer.

    What they write belongs to the issuer's field manager, as if one component did it all.
    """
    shared = issuer.transport.anonymous()
    return {
        name: Client(
            ServiceAccountTransport(shared, issuer, namespace, name, clock),
            user_agent=f"{issuer.user_agent}/system:serviceaccount:{namespace}:{name}",
        )
        for name in sorted(names)
    }
