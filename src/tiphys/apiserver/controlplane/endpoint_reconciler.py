"""Where the Service ``kubernetes`` leads: to every API server that lives, and to none that has ended.

Each server keeps a key in the store, with a time to live, and renews it; the Endpoints and the EndpointSlice
of the Service have the addresses of all keys that there are. A server that ends takes its key away. Owns: the
keys, their form (which upstream's servers over the same store read, as this one reads theirs), the rhythm.
Source: ``--endpoint-reconciler-type=lease``; upstream's lease endpoint reconciler.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
from collections.abc import Iterable, Sequence
from typing import Final

import orjson

from tiphys.apimachinery.errors import AlreadyExists, Conflict, NotFound, ServiceUnavailable, StatusError
from tiphys.apimachinery.meta import Object, copy_object, gvk_of
from tiphys.apiserver.cache.foreign import NotStored, decode
from tiphys.apiserver.controlplane.bootstrap import create
from tiphys.apiserver.endpoints.call import Backend
from tiphys.storage.base import CompareFailed, Delete, Put, Store, StoreUnavailable

log = logging.getLogger(__name__)
KEYS: Final = "/registry/masterleases/"
RENEW_S: Final = 10.0
LIFE_S: Final = 15
_NAMESPACE, _NAME = "default", "kubernetes"
_SKIP_MIRROR: Final = "endpointslice.kubernetes.io/skip-mirror"
_SERVICE_NAME: Final = "kubernetes.io/service-name"


def lease_value(address: str, generation: int) -> bytes:
    """Return what lies under a server's key: each time another generation, so that it is written."""
    return orjson.dumps(
        {
            "kind": "Endpoints",
            "apiVersion": "v1",
            "metadata": {"generation": generation},
            "subsets": [{"addresses": [{"ip": address}]}],
        }
    )


def leased_address(value: bytes) -> str | None:
    """Return whose key it is; None: one that says nothing."""
    try:
        subsets = decode(value).get("subsets") or [{}]
    except NotStored:
        return None
    addresses = subsets[0].get("addresses") or [{}]
    return addresses[0].get("ip") or None


def endpoints_of(addresses: Iterable[str], port: int) -> Object:
    """Return the Endpoints that lead to these servers."""
    return {
        "apiVersion": "v1",
        "kind": "Endpoints",
        "metadata": {"name": _NAME, "namespace": _NAMESPACE, "labels": {_SKIP_MIRROR: "true"}},
        "subsets": [
            {
                "addresses": [{"ip": address} for address in sorted(addresses)],
                "ports": [{"name": "https", "port": port, "protocol": "TCP"}],
            }
        ],
    }


def slice_of(endpoints: Object) -> Object:
    """Return the EndpointSlice that says the same as Endpoints: addresses of the first one's family."""
    (subset,) = endpoints["subsets"]
    addresses = [one["ip"] for one in subset["addresses"]]
    family = ipaddress.ip_address(addresses[0]).version
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"name": _NAME, "namespace": _NAMESPACE, "labels": {_SERVICE_NAME: _NAME}},
        "addressType": f"IPv{family}",
        "endpoints": [
            {"addresses": [address], "conditions": {"ready": True}}
            for address in addresses
            if ipaddress.ip_address(address).version == family
        ],
        "ports": subset["ports"],
    }


def corrected(live: Object, wanted: Object, keys: Sequence[str]) -> Object | None:
    """Return an object with what is wanted in it; None where it is as it should be."""
    labels = live["metadata"].get("labels") or {}
    named = wanted["metadata"]["labels"]
    if all(live.get(key) == wanted[key] for key in keys) and named.items() <= labels.items():
        return None
    changed: Object = copy_object(live)
    changed["metadata"].pop("resourceVersion", None)
    changed["metadata"]["labels"] = {**labels, **named}
    changed.update({key: wanted[key] for key in keys})
    return changed


class EndpointReconciler:
    """One server's place among the endpoints. ``renew`` now and then, ``withdraw`` at the end."""

    def __init__(self, backend: Backend, store: Store) -> None:
        self._backend = backend
        self._store = store
        self._address = backend.options.advertise_address
        self._generation = 0
        self._turn = asyncio.Lock()
        self._withdrawn = False

    async def renew(self) -> None:
        """Say that this server lives, and lead to all that do. Raises StatusError, StoreError."""
        async with self._turn:
            if self._withdrawn:
                return
            self._generation += 1
            lease = await self._store.grant_lease(LIFE_S)
            put = Put(KEYS + self._address, lease_value(self._address, self._generation), lease=lease)
            await self._store.commit([put])
            await self._lead()

    async def withdraw(self) -> None:
        """Lead here no more: others stay. Raises StatusError, StoreError."""
        async with self._turn:
            self._withdrawn = True
            await self._store.commit([Delete(KEYS + self._address)])
            await self._lead()

    async def _lead(self) -> None:
        found = await self._store.range(KEYS)
        addresses = {leased_address(record.value) for record in found.records} - {None}
        if not addresses:
            # Of the last server the endpoints stay: it is the one that will come again.
            log.info("no API server lives, endpoints are left as they are service=%s", _NAME)
            return
        wanted = endpoints_of((one for one in addresses if one), self._backend.options.secure_port)
        await asyncio.gather(
            self._write(wanted, ("subsets",)),
            self._write(slice_of(wanted), ("addressType", "endpoints", "ports")),
        )

    async def _write(self, wanted: Object, keys: Sequence[str]) -> None:
        backend = self._backend
        row = backend.table.by_kind(gvk_of(wanted))
        try:
            live = await backend.store.get(row, _NAMESPACE, _NAME)
        except NotFound:
            await create(backend, wanted)
            return
        if (changed := corrected(live.object, wanted, keys)) is None:
            return
        log.info("endpoints changed service=%s kind=%s", _NAME, wanted["kind"])
        try:
            if changed.get("addressType") == live.object.get("addressType"):
                await backend.store.update(row, changed, live.revision)
            else:  # nobody may change that of a slice
                await backend.store.delete(row, _NAMESPACE, _NAME, live.revision)
                await create(backend, wanted)
        except (AlreadyExists, Conflict, NotFound):
            return  # another server was faster; the next time will tell

    async def run(self) -> None:
        """Renew for ever."""
        while True:
            await asyncio.sleep(RENEW_S)
            try:
                await self.renew()
            except (StatusError, StoreUnavailable, CompareFailed) as error:
                log.warning("endpoints not renewed service=%s error=%s", _NAME, error)

    async def end(self) -> None:
        """Withdraw, unless the store takes too long: then the key ends by itself."""
        try:
            async with asyncio.timeout(2 * RENEW_S):
                await self.withdraw()
        except (TimeoutError, StatusError, ServiceUnavailable, StoreUnavailable, CompareFailed) as error:
            log.warning("endpoints not withdrawn service=%s error=%s", _NAME, error)
