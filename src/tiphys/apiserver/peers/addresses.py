"""Where each API server of a cluster is: a record of its own in the store, which ends soon after the server.

Owns: the key and the form of these records. Users cannot write them, so nobody can have requests and their
users' names sent anywhere else. Upstream's servers read and write the same.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Final

import orjson

from tiphys.apimachinery.meta import Object
from tiphys.apiserver.cache.foreign import NotStored, decode
from tiphys.storage.base import Delete, Put, Store, StoreError

log = logging.getLogger(__name__)
PREFIX: Final = "/registry/peerserverleases/"
TTL_S: Final = 15
RENEW_S: Final = 10.0
_LABEL: Final = "apiserverIdentity"


class NoAddress(ValueError):
    """It is not known where a server is."""


def record(identity: str, host: str, port: int, generation: int) -> Object:
    """Return the record of a server."""
    subset = {
        "addresses": [{"ip": host}], "ports": [{"name": "https", "port": port, "protocol": "TCP"}]
    }  # fmt: skip
    meta = {"generation": generation, "labels": {_LABEL: identity}}
    return {"kind": "Endpoints", "apiVersion": "v1", "metadata": meta, "subsets": [subset]}


def place(found: Object) -> tuple[str, int]:
    """Return the host and the port that a record tells. Raises NoAddress."""
    for subset in (found.get("subsets") or ())[:1]:
        addresses, ports = subset.get("addresses") or (), subset.get("ports") or ()
        if addresses and addresses[0].get("ip") and ports and ports[0].get("port"):
            return str(addresses[0]["ip"]), int(ports[0]["port"])
    raise NoAddress("the record has no address")


class Addresses:
    """The records in one store."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._generation = 0

    async def publish(self, identity: str, address: tuple[str, int]) -> None:
        """Say for a while where a server is. Raises StoreUnavailable."""
        self._generation += 1
        value = orjson.dumps(record(identity, *address, self._generation))
        lease = await self._store.grant_lease(TTL_S)
        await self._store.commit([Put(PREFIX + identity, value, lease=lease)])

    async def withdraw(self, identity: str) -> None:
        """Say it no more. Raises StoreUnavailable."""
        await self._store.commit([Delete(PREFIX + identity)])

    async def find(self, identity: str) -> tuple[str, int]:
        """Return where a server is. Raises NoAddress, StoreUnavailable."""
        found = await self._store.get(PREFIX + identity)
        if found is None:
            raise NoAddress("there is no record")
        try:
            return place(decode(found.value))
        except NotStored as error:
            raise NoAddress(str(error)) from error


class Presence:
    """The record of this server: ``publish`` once it serves, then ``run``, and ``end``."""

    def __init__(self, addresses: Addresses, identity: str, address: tuple[str, int]) -> None:
        self._addresses = addresses
        self._identity = identity
        self._address = address

    async def publish(self) -> None:
        """Write the record. Raises StoreUnavailable."""
        await self._addresses.publish(self._identity, self._address)

    async def run(self) -> None:
        """Write it anew before it ends, for ever."""
        while True:
            await asyncio.sleep(RENEW_S)
            try:
                await self.publish()
            except StoreError as error:  # the store is away: the next time will do
                log.warning("peers are not told where this server is error=%s", error)

    async def end(self) -> None:
        """Take the record away: nothing is sent to a server that ends."""
        try:
            async with asyncio.timeout(2 * RENEW_S):
                await self._addresses.withdraw(self._identity)
        except (StoreError, TimeoutError) as error:
            log.warning("peers will learn late that this server has ended error=%s", error)
