"""Publishes the API server's CA as a ClusterTrustBundle, for pods to mount and for others to trust.

Owns every bundle of the signer ``kubernetes.io/kube-apiserver-serving``: one, named by what is in it.
Source: KEP-3257, "Trust Anchor Sets".
"""

from __future__ import annotations

import logging
from hashlib import sha256
from typing import Final

import orjson

from tiphys.apimachinery.errors import NotFound, StatusError
from tiphys.apimachinery.meta import GVR, Object
from tiphys.client.controller import run_controller
from tiphys.client.informer import Informer
from tiphys.client.kinds import CLUSTER_TRUST_BUNDLES, CLUSTER_TRUST_BUNDLES_V1ALPHA1
from tiphys.client.transport import Call
from tiphys.controllers.context import Context
from tiphys.controllers.metrics import TRUST_BUNDLE_SECONDS, TRUST_BUNDLE_SYNCS

log = logging.getLogger(__name__)

SIGNER: Final = "kubernetes.io/kube-apiserver-serving"
_NAME_BYTES: Final = 12


def desired(gvr: GVR, pem: str) -> Object:
    """Build the bundle. Pure."""
    digest = sha256(pem.encode()).digest()[:_NAME_BYTES].hex()
    return {
        "apiVersion": gvr.api_version,
        "kind": "ClusterTrustBundle",
        "metadata": {"name": f"{SIGNER.replace('/', ':')}:{digest}"},
        "spec": {"signerName": SIGNER, "trustBundle": pem},
    }


class TrustBundlePublisher:
    """There is one key. Does nothing without ``options.root_ca_pem``, or where no bundles are served."""

    name = "kube-apiserver-serving-clustertrustbundle-publisher-controller"
    account = "kube-apiserver-serving-clustertrustbundle-publisher"

    def __init__(self, context: Context) -> None:
        self._client = context.client
        self._clock = context.clock
        self._informers = context.informers
        self._pem = context.options.root_ca_pem
        self.queue = context.queue(self.name)
        self._bundles: Informer | None = None
        self._gvr = CLUSTER_TRUST_BUNDLES

    async def run(self) -> None:
        self.queue.add(SIGNER)
        await run_controller(self.queue, self.reconcile, workers=1, name=self.name)

    def _changed(self, old: Object | None, new: Object | None) -> None:
        self.queue.add(SIGNER)

    async def reconcile(self, key: str) -> float | None:
        if not self._pem:
            return None
        if self._bundles is None:
            served = await self._served()
            if served is None:
                log.info("no version of ClusterTrustBundles is served")
                return None
            self._gvr = served
            self._bundles = self._informers.get(served, field_selector=f"spec.signerName={SIGNER}")
            self._bundles.add_handler(self._changed)
        await self._bundles.wait_synced()
        began, code = self._clock.monotonic(), "200"
        try:
            await self._publish(self._bundles)
        except StatusError as error:
            code = str(error.status_code)
            raise
        finally:
            TRUST_BUNDLE_SYNCS.labels(code).inc()
            TRUST_BUNDLE_SECONDS.labels(code).observe(self._clock.monotonic() - began)
        return None

    async def _served(self) -> GVR | None:
        for gvr in (CLUSTER_TRUST_BUNDLES, CLUSTER_TRUST_BUNDLES_V1ALPHA1):
            try:
                answer = await self._client.send(Call("GET", f"/apis/{gvr.api_version}"))
            except NotFound:
                continue
            if any(one.get("name") == gvr.resource for one in orjson.loads(answer.body)["resources"]):
                return gvr
        return None

    async def _publish(self, bundles: Informer) -> None:
        """Write the bundle where it lacks or differs, and take the others away."""
        wanted = desired(self._gvr, self._pem)
        name = wanted["metadata"]["name"]
        present = bundles.get(name)
        if present is None:
            await self._client.create(self._gvr, wanted)
        elif present["spec"].get("trustBundle") != self._pem:
            await self._client.update(self._gvr, {**present, "spec": wanted["spec"]})
        for other in bundles.list():
            if other["metadata"]["name"] != name:
                await self._client.delete(self._gvr, other["metadata"]["name"])
