"""The certificate of the kubelet's endpoint, where the cluster is to sign it (``serverTLSBootstrap``).

Asks for one with the names and addresses of the node, and for the next before it ends. Until the first is
signed the endpoint is not open. Somebody has to approve the requests: no controller does.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

from tiphys.apimachinery.clock import Clock
from tiphys.client.rest import Client
from tiphys.kubelet.certificate.requests import (
    REFUSED_S,
    RENEW_AT,
    Pair,
    Refused,
    Wanted,
    is_valid,
    keep_pair,
    names_all,
    renewal_s,
    until_answered,
)
from tiphys.wire.pki import KeyPair

log = logging.getLogger(__name__)
SIGNER: Final = "kubernetes.io/kubelet-serving"
PREFIX: Final = "kubelet-server"


class ServingCertificate:
    """``obtain`` waits for one that works; ``keep`` renews it until cancelled."""

    def __init__(
        self,
        client: Client,
        node_name: str,
        hosts: tuple[str, ...],
        folder: Path,
        clock: Clock,
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._client = client
        self._wanted = Wanted(node_name, SIGNER, ("digital signature", "server auth"), hosts)
        self._folder = folder
        self._clock = clock
        self._sleep = sleep

    async def obtain(self) -> KeyPair:
        """Return the certificate in use, or a new one where the node has other addresses by now."""
        current = self._folder / f"{PREFIX}-current.pem"
        pem = current.read_bytes() if current.exists() else b""
        if is_valid(pem, self._clock.now()) and names_all(pem, self._wanted.hosts):
            return KeyPair(pem, pem)
        return await self._renewed()

    async def keep(self, show: Callable[[KeyPair], Awaitable[None]], pair: KeyPair) -> None:
        """Renew at some point of the last third of the certificate's life, again and again."""
        while True:
            await self._sleep(renewal_s(pair.certificate, self._clock.now(), random.uniform(*RENEW_AT)))
            pair = await self._renewed()
            await show(pair)  # to connections that are made from now on
            log.info("serving certificate renewed node=%s", self._wanted.node_name)

    async def _renewed(self) -> KeyPair:
        pair = await self._answered()
        keep_pair(self._folder, PREFIX, pair, self._clock.now())
        return KeyPair(pair.certificate, pair.key)

    async def _answered(self) -> Pair:
        """A refusal is no end: the next request may be approved."""
        while True:
            try:
                return await until_answered(self._client, self._wanted, self._sleep)
            except Refused as error:
                log.warning("no serving certificate node=%s error=%s", self._wanted.node_name, error)
                await self._sleep(REFUSED_S)
