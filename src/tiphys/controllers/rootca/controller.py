"""Publishes the API server's CA as ConfigMap ``kube-root-ca.crt`` in every namespace, for pods to mount."""

from __future__ import annotations

from tiphys.apimachinery.errors import Forbidden, NotFound, StatusError
from tiphys.apimachinery.meta import Object
from tiphys.client.controller import run_controller
from tiphys.client.kinds import CONFIG_MAPS, NAMESPACES
from tiphys.controllers.context import Context
from tiphys.controllers.metrics import ROOT_CA_SECONDS, ROOT_CA_SYNCS
from tiphys.controllers.namespace.plan import is_active

CONFIG_MAP = "kube-root-ca.crt"
_DESCRIPTION = (
    "Contains a CA bundle that can be used to verify the kube-apiserver when using internal endpoints "
    "such as the internal service IP or kubernetes.default.svc. "
    "No other usage is guaranteed across distributions of Kubernetes clusters."
)


def desired(namespace: str, pem: str) -> Object:
    """Build the ConfigMap. Pure."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": CONFIG_MAP,
            "namespace": namespace,
            "annotations": {"kubernetes.io/description": _DESCRIPTION},
        },
        "data": {"ca.crt": pem},
    }


class RootCaController:
    """A key is a namespace's. Does nothing without ``options.root_ca_pem``."""

    name = "root-ca-certificate-publisher"
    account = "root-ca-cert-publisher"

    def __init__(self, context: Context) -> None:
        self._client = context.client
        self._clock = context.clock
        self._pem = context.options.root_ca_pem
        self.queue = context.queue(self.name)
        self._namespaces = context.informers.get(NAMESPACES)
        # Only these: a cluster's other ConfigMaps are none of our business.
        self._maps = context.informers.get(CONFIG_MAPS, field_selector=f"metadata.name={CONFIG_MAP}")
        self._namespaces.add_handler(self._namespace_changed)
        self._maps.add_handler(self._map_changed)

    async def run(self) -> None:
        await self._namespaces.wait_synced()
        await self._maps.wait_synced()
        await run_controller(self.queue, self.reconcile, workers=1, name=self.name)

    def _namespace_changed(self, old: Object | None, new: Object | None) -> None:
        if new is not None:
            self.queue.add(new["metadata"]["name"])

    def _map_changed(self, old: Object | None, new: Object | None) -> None:
        obj = new or old
        if obj is not None:
            self.queue.add(obj["metadata"]["namespace"])

    async def reconcile(self, key: str) -> float | None:
        namespace = self._namespaces.get(key)
        if namespace is None or not is_active(namespace) or not self._pem:
            return None
        began, code = self._clock.monotonic(), "200"
        try:
            await self._publish(key)
        except StatusError as error:
            code = str(error.status_code)
            raise
        finally:
            ROOT_CA_SYNCS.labels(code).inc()
            ROOT_CA_SECONDS.labels(code).observe(self._clock.monotonic() - began)
        return None

    async def _publish(self, key: str) -> None:
        present = self._maps.get(f"{key}/{CONFIG_MAP}")
        wanted = desired(key, self._pem)
        try:
            if present is None:
                await self._client.create(CONFIG_MAPS, wanted)
            elif present.get("data") != wanted["data"]:
                await self._client.update(CONFIG_MAPS, {**present, "data": wanted["data"]})
        except (Forbidden, NotFound):
            return  # the namespace began to go away
