"""The Service ``kubernetes`` and the namespaces of the system: they come back while the server runs.

Owns: what the Service says, and when it is looked after. Where it leads is ``endpoint_reconciler``'s.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from tiphys.apimachinery.errors import Conflict, Invalid, NotFound, StatusError
from tiphys.apimachinery.meta import GVK, Object, copy_object
from tiphys.apimachinery.resource import Resource
from tiphys.apiserver.controlplane.bootstrap import create, ensure_namespaces
from tiphys.apiserver.endpoints.call import Backend
from tiphys.storage.base import StoreError

log = logging.getLogger(__name__)
_NAMESPACE, _NAME = "default", "kubernetes"
_EVERY_S: Final = 10.0
_NAMESPACES_EVERY: Final = 6
"""Looks from one look at namespaces to the next."""


class KubernetesService:
    """``begin`` once before the server serves, then ``run``."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._looks = 0

    async def begin(self) -> None:
        """Write the Service, with the type and the ports of this server whatever was there.

        Raises:
            StatusError.
        """
        await self._keep(mends=True)

    async def run(self) -> None:
        """Look after it until cancelled."""
        while True:
            await asyncio.sleep(_EVERY_S)
            try:
                await self.look()
            except (StatusError, StoreError) as error:
                log.warning("the Service kubernetes was not looked after error=%s", error)

    async def look(self) -> None:
        """Write anew what has gone. Raises StatusError, StoreError."""
        await self._keep(mends=False)
        self._looks += 1
        if self._looks % _NAMESPACES_EVERY == 0:
            await ensure_namespaces(self._backend)

    async def _keep(self, *, mends: bool) -> None:
        backend = self._backend
        row: Resource | None = backend.table.by_kind(GVK("", "v1", "Service"))
        assert row is not None
        wanted = _service(backend)
        try:
            live = await backend.store.get(row, _NAMESPACE, _NAME)
        except NotFound:
            await create(backend, wanted)
            return
        spec = wanted["spec"]
        if not mends or all(live.object["spec"].get(key) == spec[key] for key in ("type", "ports")):
            return
        changed: Object = copy_object(live.object)
        changed["metadata"].pop("resourceVersion", None)
        changed["spec"] |= {"type": spec["type"], "ports": spec["ports"]}
        try:
            async with backend.services.allocate(changed, live.object):
                await backend.store.update(row, changed, live.revision)
        except (Conflict, NotFound):
            return  # another server does the same, or the next look makes it anew
        except Invalid as error:
            log.error("the Service kubernetes is not as it should be error=%s", error.message)


def _service(backend: Backend) -> Object:
    options = backend.options
    port: Object = {"name": "https", "protocol": "TCP", "port": 443, "targetPort": options.secure_port}
    if options.kubernetes_service_node_port:
        port["nodePort"] = options.kubernetes_service_node_port
    spec = {
        "type": "NodePort" if "nodePort" in port else "ClusterIP",
        "clusterIP": backend.services.first_address, "ports": [port], "sessionAffinity": "None",
    }  # fmt: skip
    labels = {"component": "apiserver", "provider": "kubernetes"}
    meta = {"name": _NAME, "namespace": _NAMESPACE, "labels": labels}
    return {
        "apiVersion": "v1", "kind": "Service", "metadata": meta, "spec": spec, "status": {"loadBalancer": {}}
    }  # fmt: skip
