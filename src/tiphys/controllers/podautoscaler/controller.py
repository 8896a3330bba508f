"""Scales what HorizontalPodAutoscalers point at by the metrics API. Decisions are in ``plan``."""

from __future__ import annotations

from datetime import timedelta

from tiphys.apimachinery import quantity
from tiphys.apimachinery.clock import rfc3339
from tiphys.apimachinery.errors import NotFound, StatusError
from tiphys.apimachinery.labels import parse_selector
from tiphys.apimachinery.meta import GVR, Object, object_key, split_api_version
from tiphys.client.controller import run_controller
from tiphys.client.kinds import HORIZONTAL_POD_AUTOSCALERS, PODS
from tiphys.controllers import conditions
from tiphys.controllers.context import Context
from tiphys.controllers.discovery import discover
from tiphys.controllers.podautoscaler.plan import Measured, NoMetrics, Past, decide, measure

_EVERY_S = 15.0
_REMEMBERED = timedelta(hours=1)
_POD_METRICS = GVR("metrics.k8s.io", "v1beta1", "pods")


class HorizontalPodAutoscalerController:
    """A key is an autoscaler's; each is looked at every fifteen seconds."""

    name = "horizontal-pod-autoscaler-controller"
    account = "horizontal-pod-autoscaler"

    def __init__(self, context: Context) -> None:
        self._client = context.client
        self._clock = context.clock
        self._recorder = context.recorder("horizontal-pod-autoscaler")
        self.queue = context.queue(self.name)
        self._scalers = context.informers.get(HORIZONTAL_POD_AUTOSCALERS)
        self._pods = context.informers.get(PODS)
        self._past: dict[str, Past] = {}
        self._targets: dict[tuple[str, str], GVR] = {}
        self._scalers.add_handler(self._changed)

    async def run(self) -> None:
        await self._scalers.wait_synced()
        await self._pods.wait_synced()
        await run_controller(self.queue, self.reconcile, workers=2, name=self.name)

    def _changed(self, old: Object | None, new: Object | None) -> None:
        # Its own status changes are no reason to look again before its time.
        if new is not None and (old is None or old["spec"] != new["spec"]):
            self.queue.add(object_key(new))

    async def reconcile(self, key: str) -> float | None:
        scaler = self._scalers.get(key)
        if scaler is None:
            self._past.pop(key, None)
            return None
        found: list[Object] = list((scaler.get("status") or {}).get("conditions") or ())
        namespace, target = scaler["metadata"]["namespace"], scaler["spec"]["scaleTargetRef"]
        try:
            gvr = await self._gvr(target)
            scale = await self._client.get(gvr, target["name"], namespace, subresource="scale")
        except StatusError as error:
            text = f"the HPA controller was unable to get the target's current scale: {error.message}"
            found = self._say(found, "AbleToScale", "False", "FailedGetScale", text)
            await self._write(scaler, {"conditions": found})
            return _EVERY_S
        text = "the HPA controller was able to get the target's current scale"
        found = self._say(found, "AbleToScale", "True", "SucceededGetScale", text)
        await self._scale(key, scaler, gvr, scale, found)
        return _EVERY_S

    async def _scale(self, key: str, scaler: Object, gvr: GVR, scale: Object, found: list[Object]) -> None:
        replicas = int(scale["spec"].get("replicas") or 0)
        status: Object = {"currentReplicas": int((scale.get("status") or {}).get("replicas") or 0)}
        status["desiredReplicas"] = replicas
        least, most = scaler["spec"].get("minReplicas", 1), scaler["spec"]["maxReplicas"]
        wanted = replicas
        if replicas == 0:
            text = "scaling is disabled since the replica count of the target is zero"
            found = self._say(found, "ScalingActive", "False", "ScalingDisabled", text)
        elif not least <= replicas <= most:
            wanted = min(max(replicas, least), most)
        else:
            measured, found = await self._measure(scaler, scale, replicas, found)
            if measured:
                status["currentMetrics"] = [item.status for item in measured]
                past = self._past.setdefault(key, Past())
                proposed = max(item.replicas for item in measured)
                wanted, limited = decide(scaler, replicas, proposed, past, self._clock.now())
                found = self._say_limited(found, limited)
        if wanted != replicas:
            await self._set(key, scaler, gvr, scale, wanted)
            status["desiredReplicas"] = wanted
            status["lastScaleTime"] = rfc3339(self._clock.now())
            text = f"the HPA controller was able to update the target scale to {wanted}"
            found = self._say(found, "AbleToScale", "True", "SucceededRescale", text)
        await self._write(scaler, {**status, "conditions": found})

    async def _measure(
        self, scaler: Object, scale: Object, replicas: int, found: list[Object]
    ) -> tuple[list[Measured], list[Object]]:
        namespace = scaler["metadata"]["namespace"]
        text = str((scale.get("status") or {}).get("selector") or "")
        selector = parse_selector(text)
        pods = [
            pod for pod in self._pods.list(namespace) if selector.matches(pod["metadata"].get("labels") or {})
        ]
        try:
            answer = await self._client.list(_POD_METRICS, namespace, label_selector=text)
            usage = {item["metadata"]["name"]: _used(item) for item in answer.get("items") or ()}
            measured = [measure(item, pods, usage, replicas) for item in scaler["spec"].get("metrics") or ()]
        except (StatusError, NoMetrics) as error:
            why = f"the HPA was unable to compute the replica count: {error}"
            self._recorder.record(scaler, "Warning", "FailedGetResourceMetric", str(error))
            return [], self._say(found, "ScalingActive", "False", "FailedGetResourceMetric", why)
        good = "the HPA was able to successfully calculate a replica count"
        return measured, self._say(found, "ScalingActive", "True", "ValidMetricFound", good)

    async def _set(self, key: str, scaler: Object, gvr: GVR, scale: Object, wanted: int) -> None:
        before = int(scale["spec"].get("replicas") or 0)
        await self._client.update(gvr, {**scale, "spec": {**scale["spec"], "replicas": wanted}}, "scale")
        now = self._clock.now()
        past = self._past.setdefault(key, Past())
        past.changes = [item for item in past.changes if item[0] >= now - _REMEMBERED]
        past.changes.append((now, wanted - before))
        why = "above" if wanted > before else "below"
        text = f"New size: {wanted}; reason: All metrics {why} target"
        self._recorder.record(scaler, "Normal", "SuccessfulRescale", text)

    async def _gvr(self, target: Object) -> GVR:
        """Find the resource of a kind. Raises NotFound for one that is not served."""
        key = (target.get("apiVersion", "v1"), target["kind"])
        if key not in self._targets:
            served = await discover(self._client)
            self._targets = {(item.gvk.api_version, item.kind): item.gvr for item in served.resources}
        if key not in self._targets:
            raise NotFound(f'no matches for kind "{key[1]}" in group "{split_api_version(key[0])[0]}"')
        return self._targets[key]

    def _say(self, found: list[Object], type_: str, status: str, reason: str, text: str) -> list[Object]:
        made = conditions.make(type_, status, reason, text, self._clock.now())
        return conditions.put(found, made, on_message=True)

    def _say_limited(self, found: list[Object], limited: str) -> list[Object]:
        if limited:
            text = "the desired replica count is beyond what the autoscaler may set"
            return self._say(found, "ScalingLimited", "True", limited, text)
        text = "the desired count is within the acceptable range"
        return self._say(found, "ScalingLimited", "False", "DesiredWithinRange", text)

    async def _write(self, scaler: Object, status: Object) -> None:
        before = scaler.get("status") or {}
        merged = {**before, **status, "observedGeneration": scaler["metadata"].get("generation", 0)}
        if merged == before:
            return
        try:
            await self._client.update(HORIZONTAL_POD_AUTOSCALERS, {**scaler, "status": merged}, "status")
        except NotFound:
            return


def _used(metrics: Object) -> dict[str, int]:
    """Add up a pod's containers, in milli-units."""
    total: dict[str, int] = {}
    for container in metrics.get("containers") or ():
        for name, amount in (container.get("usage") or {}).items():
            total[name] = total.get(name, 0) + quantity.parse(str(amount)).milli()
    return total
