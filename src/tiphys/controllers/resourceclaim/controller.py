"""Makes the ResourceClaims that templates describe, and takes devices back. Decisions are in ``plan``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from tiphys.apimachinery.errors import NotFound, StatusError
from tiphys.apimachinery.families import GaugeMetricFamily, Metric
from tiphys.apimachinery.meta import Object, object_key, split_key
from tiphys.client.controller import run_controller
from tiphys.client.kinds import PODS, RESOURCE_CLAIM_TEMPLATES, RESOURCE_CLAIMS
from tiphys.controllers.context import Context
from tiphys.controllers.metrics import CLAIMS_MADE, HELD
from tiphys.controllers.owned import Writes
from tiphys.controllers.resourceclaim.plan import (
    ClaimPlan,
    PodPlan,
    claim_names,
    plan_claim,
    plan_pod,
    pod_statuses,
    traits,
)

_POD = "pod:"
_MANAGER = "ResourceClaimController"
_RETRY_S = 30.0
_SOON_S = 0.05


class ResourceClaimController:
    """A key is a claim's, or ``pod:`` and a pod's. One worker: a pod's claim is made once."""

    name = "resourceclaim-controller"
    account = "resource-claim-controller"

    def __init__(self, context: Context) -> None:
        self._client = context.client
        self._recorder = context.recorder("resource_claim")
        self.queue = context.queue(self.name)
        self._pods = context.informers.get(PODS)
        self._claims = context.informers.get(RESOURCE_CLAIMS)
        self._templates = context.informers.get(RESOURCE_CLAIM_TEMPLATES)
        self._writes = Writes(self._claims, context.clock)
        self._pods.add_handler(self._pod_changed)
        self._claims.add_handler(self._claim_changed)
        self._templates.add_handler(self._template_changed)
        HELD.add(self)

    async def run(self) -> None:
        for informer in (self._pods, self._claims, self._templates):
            await informer.wait_synced()
        await run_controller(self.queue, self.reconcile, workers=1, name=self.name)

    def collect(self) -> Iterator[Metric]:
        """Yield how many claims there are, by what became of them and where they are from."""
        family = GaugeMetricFamily(
            "resourceclaim_controller_resource_claims", "[ALPHA] Claims that there are.",
            labels=("allocated", "admin_access", "source"),
        )  # fmt: skip
        family.add_all(Counter(map(traits, self._claims.list())))
        yield family

    def _pod_changed(self, old: Object | None, new: Object | None) -> None:
        for pod in (old, new):
            if pod is None or not pod["spec"].get("resourceClaims"):
                continue
            namespace = pod["metadata"]["namespace"]
            for name in claim_names(pod):
                self.queue.add(f"{namespace}/{name}")
            if pod is new:
                self.queue.add(_POD + object_key(pod))

    def _claim_changed(self, old: Object | None, new: Object | None) -> None:
        claim = new or old
        if claim is None:
            return
        self.queue.add(object_key(claim))
        for owner in claim["metadata"].get("ownerReferences") or ():
            if owner.get("controller") and owner.get("kind") == "Pod":
                self.queue.add(f"{_POD}{claim['metadata']['namespace']}/{owner['name']}")

    def _template_changed(self, old: Object | None, new: Object | None) -> None:
        if new is not None and old is None:
            for pod in self._pods.list(namespace=new["metadata"]["namespace"]):
                if pod["spec"].get("resourceClaims"):
                    self.queue.add(_POD + object_key(pod))

    async def reconcile(self, key: str) -> float | None:
        if key.startswith(_POD):
            return await self._reconcile_pod(key.removeprefix(_POD))
        claim = self._claims.get(key)
        if claim is not None:
            namespace = claim["metadata"]["namespace"]
            await self._apply(claim, plan_claim(claim, lambda name: self._pods.get(f"{namespace}/{name}")))
        return None

    async def _apply(self, claim: Object, planned: ClaimPlan) -> None:
        meta = claim["metadata"]
        try:
            if planned.status is not None:
                stored = await self._client.update(RESOURCE_CLAIMS, planned.status, "status")
                claim = stored
            if planned.without_finalizer is not None:
                version = claim["metadata"]["resourceVersion"]
                changed = planned.without_finalizer
                changed = {**changed, "metadata": {**changed["metadata"], "resourceVersion": version}}
                await self._client.update(RESOURCE_CLAIMS, changed)
            if planned.delete:
                await self._client.delete(RESOURCE_CLAIMS, meta["name"], meta["namespace"], uid=meta["uid"])
        except NotFound:
            return

    async def _reconcile_pod(self, key: str) -> float | None:
        pod = self._pods.get(key)
        if pod is None or not pod["spec"].get("resourceClaims"):
            return None
        if not self._writes.settled(key):
            return _SOON_S  # what was made is not seen yet: it must not be made twice
        namespace, _ = split_key(key)
        templates = {one["metadata"]["name"]: one for one in self._templates.list(namespace=namespace)}
        planned = plan_pod(pod, self._claims.list(namespace=namespace), templates)
        names = dict(planned.found)
        for name, claim in planned.make:
            by_admin = traits(claim)[1]
            try:
                stored = await self._client.create(RESOURCE_CLAIMS, claim)
                CLAIMS_MADE.labels("success", by_admin).inc()
                self._writes.wrote(key, stored)
                names[name] = stored["metadata"]["name"]
            except StatusError as error:
                CLAIMS_MADE.labels("failure", by_admin).inc()
                self._failed(pod, name, str(error))
                raise
        await self._tell(pod, planned, names)
        return _RETRY_S if planned.missing_templates else None

    async def _tell(self, pod: Object, planned: PodPlan, names: dict[str, str]) -> None:
        for name, template in planned.missing_templates:
            text = f'resourceclaimtemplate.resource.k8s.io "{template}" not found'
            self._failed(pod, name, f'resource claim template "{template}": {text}')
        meta = pod["metadata"]
        statuses = pod_statuses(pod, names)
        try:
            if statuses is not None:
                applied = {
                    "apiVersion": "v1",
                    "kind": "Pod",
                    "metadata": {"name": meta["name"], "namespace": meta["namespace"], "uid": meta["uid"]},
                    "status": {"resourceClaimStatuses": statuses},
                }
                await self._client.patch(
                    PODS, meta["name"], meta["namespace"], applied,
                    type="apply", subresource="status", field_manager=_MANAGER, force=True,
                )  # fmt: skip
            for name in planned.reserve:
                await self._reserve(pod, name)
        except NotFound:
            return

    async def _reserve(self, pod: Object, name: str) -> None:
        claim = self._claims.get(f"{pod['metadata']['namespace']}/{name}")
        if claim is None:
            return
        consumer = {"resource": "pods", "name": pod["metadata"]["name"], "uid": pod["metadata"]["uid"]}
        status = dict(claim.get("status") or {})
        status["reservedFor"] = [*(status.get("reservedFor") or ()), consumer]
        await self._client.update(RESOURCE_CLAIMS, {**claim, "status": status}, "status")

    def _failed(self, pod: Object, name: str, why: str) -> None:
        text = f"PodResourceClaim {name}: {why}"
        self._recorder.record(pod, "Warning", "FailedResourceClaimCreation", text)
