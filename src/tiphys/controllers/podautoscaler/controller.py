"""Scales what HorizontalPodAutoscalers point at, by metrics.

Owns: the order of a look (scale, selector, bounds, metrics, pace), conditions, events, status. Decisions are
in ``plan`` and ``replicas``, numbers come from ``sources``.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from tiphys.apimachinery.clock import rfc3339
from tiphys.apimachinery.errors import BadRequest, Conflict, NotFound, StatusError
from tiphys.apimachinery.families import Metric
from tiphys.apimachinery.labels import Selector, parse_selector
from tiphys.apimachinery.meta import GVR, Object, object_key, split_api_version
from tiphys.client.controller import run_controller
from tiphys.client.kinds import HORIZONTAL_POD_AUTOSCALERS, PODS
from tiphys.controllers import conditions
from tiphys.controllers.context import Context
from tiphys.controllers.discovery import discover
from tiphys.controllers.metrics import HELD
from tiphys.controllers.podautoscaler import figures
from tiphys.controllers.podautoscaler.measure import FAILURES, Measured, Target, measure
from tiphys.controllers.podautoscaler.plan import Past, decide, tolerance_of
from tiphys.controllers.podautoscaler.replicas import NoMetrics
from tiphys.controllers.podautoscaler.sources import MetricSources
from tiphys.controllers.selected import index_labels, selected_by

_REMEMBERED = timedelta(hours=1)
_CONFLICTS = 5
"""How often a scale is written before a conflict is told."""


class _Look:
    """One look at one autoscaler: its conditions and status as they come to be."""

    def __init__(self, key: str, scaler: Object, now_text: str) -> None:
        self.key = key
        self.scaler = scaler
        self.status: Object = dict(scaler.get("status") or {})
        self.conditions: list[Object] = list((scaler.get("status") or {}).get("conditions") or ())
        self._now = now_text
        self.action = self.error = figures.NO_ERROR
        """What it is counted as."""

    def say(self, type_: str, status: str, reason: str, text: str) -> None:
        made = {"type": type_, "status": status, "lastTransitionTime": self._now,
                "reason": reason, "message": text}  # fmt: skip
        self.conditions = conditions.put(self.conditions, made, on_message=True)


class HorizontalPodAutoscalerController:
    """A key is an autoscaler's; each is looked at every fifteen seconds."""

    name = "horizontal-pod-autoscaler-controller"
    account = "horizontal-pod-autoscaler"

    def __init__(self, context: Context) -> None:
        self._client = context.client
        self._clock = context.clock
        self._every_s = context.options.autoscaler_sync_s
        self._sources = MetricSources(context.client)
        self._recorder = context.recorder("horizontal-pod-autoscaler")
        self.queue = context.queue(self.name)
        self._scalers = context.informers.get(HORIZONTAL_POD_AUTOSCALERS)
        self._pods = context.informers.get(PODS)
        self._past: dict[str, Past] = {}
        self._targets: dict[tuple[str, str], GVR] = {}
        self._selectors: dict[str, tuple[str, Selector]] = {}
        index_labels(self._pods)
        self._scalers.add_handler(self._changed)
        HELD.add(self)

    async def run(self) -> None:
        await self._scalers.wait_synced()
        await self._pods.wait_synced()
        await run_controller(self.queue, self.reconcile, workers=2, name=self.name)

    def collect(self) -> Iterator[Metric]:
        """Yield how many autoscalers there are, and what they want."""
        return figures.families(self._scalers.list())

    def _changed(self, old: Object | None, new: Object | None) -> None:
        # Its own status changes are no reason to look again before its time.
        if new is not None and (old is None or old["spec"] != new["spec"]):
            self.queue.add(object_key(new))
        elif new is None and old is not None:
            self._forget(object_key(old))

    def _forget(self, key: str) -> None:
        self._past.pop(key, None)
        self._selectors.pop(key, None)

    async def reconcile(self, key: str) -> float | None:
        scaler = self._scalers.get(key)
        if scaler is None:
            self._forget(key)  # it may have gone while it was looked at
            return None
        look, began = _Look(key, scaler, rfc3339(self._clock.now())), self._clock.monotonic()
        try:
            return await self._look(look)
        except BaseException:
            look.error = figures.INTERNAL
            raise
        finally:
            figures.looked(look.action, look.error, self._clock.monotonic() - began)

    async def _look(self, look: _Look) -> float:
        scaler = look.scaler
        namespace, target = scaler["metadata"]["namespace"], scaler["spec"]["scaleTargetRef"]
        try:
            gvr = await self._gvr(target)
            scale = await self._client.get(gvr, target["name"], namespace, subresource="scale")
        except StatusError as error:
            text = f"the HPA controller was unable to get the target's current scale: {error.message}"
            look.say("AbleToScale", "False", "FailedGetScale", text)
            self._recorder.record(scaler, "Warning", "FailedGetScale", error.message)
            look.error = figures.INTERNAL
            await self._write(look)
            return self._every_s
        text = "the HPA controller was able to get the target's current scale"
        look.say("AbleToScale", "True", "SucceededGetScale", text)
        await self._scale(look, gvr, scale)
        await self._write(look)
        return self._every_s

    async def _scale(self, look: _Look, gvr: GVR, scale: Object) -> None:
        spec = look.scaler["spec"]
        replicas = int(scale["spec"].get("replicas") or 0)
        look.status["currentReplicas"] = replicas
        look.status["currentMetrics"] = []
        look.status.setdefault("desiredReplicas", 0)
        least, most = spec.get("minReplicas", 1), spec["maxReplicas"]
        wanted, why = replicas, ""
        if replicas == 0 and least != 0:
            text = "scaling is disabled since the replica count of the target is zero"
            look.say("ScalingActive", "False", "ScalingDisabled", text)
        elif replicas > most:
            wanted, why = most, "Current number of replicas above Spec.MaxReplicas"
        elif replicas < least:
            wanted, why = least, "Current number of replicas below Spec.MinReplicas"
        else:
            try:
                wanted, why = await self._by_metrics(look, scale, replicas)
            except NoMetrics as error:
                if look.error == figures.NO_ERROR:
                    look.error = figures.INTERNAL
                self._recorder.record(look.scaler, "Warning", "FailedComputeMetricsReplicas", str(error))
                return
        look.action = figures.action(replicas, wanted)
        if wanted == replicas or await self._set(look, gvr, scale, wanted, why):
            look.status["desiredReplicas"] = wanted
        else:
            look.error = figures.INTERNAL

    async def _by_metrics(self, look: _Look, scale: Object, replicas: int) -> tuple[int, str]:
        """Return what the metrics, and the pace, let it be; and why. Raises NoMetrics."""
        now = self._clock.now()
        past = self._past.setdefault(look.key, Past(proposals=[(now, replicas)]))
        try:
            target = self._target(look, scale, replicas)
        except NoMetrics:
            look.error = figures.OF_SPEC
            raise
        found = await self._measure(look, target)
        best = max(found, key=lambda one: one.replicas)
        good = f"the HPA was able to successfully calculate a replica count from {best.name}"
        look.say("ScalingActive", "True", "ValidMetricFound", good)
        verdict = decide(look.scaler, replicas, best.replicas, past, now)
        look.say("AbleToScale", *verdict.able)
        look.say("ScalingLimited", *verdict.limited)
        why = ""
        if best.replicas > replicas:
            why = f"{best.name} above target"
        elif best.replicas < replicas:
            why = "All metrics below target"
        return verdict.replicas, why

    def _target(self, look: _Look, scale: Object, replicas: int) -> Target:
        """Find the pods that are scaled. Raises NoMetrics where it cannot be known which they are."""
        scaler = look.scaler
        namespace = scaler["metadata"]["namespace"]
        status = scale.get("status") or {}
        text = str(status.get("selector") or "")
        if not text:
            self._recorder.record(scaler, "Warning", "SelectorRequired", "selector is required")
            missing = "the HPA target's scale is missing a selector"
            look.say("ScalingActive", "False", "InvalidSelector", missing)
            raise NoMetrics("selector is required")
        try:
            selector = parse_selector(text)
        except BadRequest as error:
            why = f"couldn't convert selector into a corresponding internal selector object: {error.message}"
            self._recorder.record(scaler, "Warning", "InvalidSelector", why)
            look.say("ScalingActive", "False", "InvalidSelector", why)
            raise NoMetrics(why) from error
        self._selectors[look.key] = (namespace, selector)
        pods = selected_by(self._pods, namespace, selector)
        others = self._controlling(namespace, pods)
        if len(others) > 1:
            why = f"pods by selector {text} are controlled by multiple HPAs: [{' '.join(others)}]"
            self._recorder.record(scaler, "Warning", "AmbiguousSelector", why)
            look.say("ScalingActive", "False", "AmbiguousSelector", why)
            raise NoMetrics(why)
        return Target(
            namespace, text, pods, replicas, int(status.get("replicas") or 0), tolerance_of(scaler),
            self._clock.now(),
        )  # fmt: skip

    def _controlling(self, namespace: str, pods: list[Object]) -> list[str]:
        """Return who scales any of these pods."""
        labels = [pod["metadata"].get("labels") or {} for pod in pods]
        return sorted(
            key
            for key, (within, selector) in self._selectors.items()
            if within == namespace and any(map(selector.matches, labels))
        )

    async def _measure(self, look: _Look, target: Target) -> list[Measured]:
        """Measure every metric. Raises NoMetrics where too little is known to act."""
        scaler = look.scaler
        wanted = scaler["spec"].get("metrics") or []
        found: list[Measured] = []
        failures: list[tuple[str, NoMetrics]] = []
        for metric in wanted:
            try:
                found.append(await self._timed(metric, target))
                look.status["currentMetrics"].append(found[-1].status)
            except NoMetrics as error:
                reason = FAILURES.get(metric["type"], "InvalidMetricSourceType")
                self._recorder.record(scaler, "Warning", reason, error.told)
                failures.append((reason, error))
                # Entries stand in the order of the rules: what failed is there, and says nothing.
                look.status["currentMetrics"].append({"type": ""})
        shrinks = not found or max(one.replicas for one in found) < target.replicas
        if failures and shrinks:
            reason, first = failures[0]
            text = f"the HPA was unable to compute the replica count: {first.told}"
            look.say("ScalingActive", "False", reason, text)
            bad = f"{len(failures)} invalid out of {len(wanted)}"
            raise NoMetrics(f"invalid metrics ({bad}), first error is: {first}")
        return found

    async def _timed(self, metric: Object, target: Target) -> Measured:
        """Measure one metric. Raises NoMetrics."""
        began, what, error = self._clock.monotonic(), "none", figures.INTERNAL
        try:
            found = await measure(self._sources, metric, target)
            what, error = figures.action(target.replicas, found.replicas), figures.NO_ERROR
            return found
        finally:
            figures.measured(what, error, metric["type"], self._clock.monotonic() - began)

    async def _set(self, look: _Look, gvr: GVR, scale: Object, wanted: int, why: str) -> bool:
        """Write the scale; say whether that was possible."""
        before = int(scale["spec"].get("replicas") or 0)
        try:
            await self._write_scale(gvr, scale, wanted)
        except StatusError as error:
            text = f"New size: {wanted}; reason: {why}; error: {error.message}"
            self._recorder.record(look.scaler, "Warning", "FailedRescale", text)
            text = f"the HPA controller was unable to update the target scale: {error.message}"
            look.say("AbleToScale", "False", "FailedUpdateScale", text)
            return False
        now = self._clock.now()
        past = self._past.setdefault(look.key, Past())
        past.changes = [item for item in past.changes if item[0] >= now - _REMEMBERED]
        if look.scaler["spec"].get("behavior") is not None:
            past.changes.append((now, wanted - before))
        look.status["lastScaleTime"] = rfc3339(now)
        text = f"the HPA controller was able to update the target scale to {wanted}"
        look.say("AbleToScale", "True", "SucceededRescale", text)
        text = f"New size: {wanted}; reason: {why}"
        self._recorder.record(look.scaler, "Normal", "SuccessfulRescale", text)
        return True

    async def _write_scale(self, gvr: GVR, scale: Object, wanted: int) -> None:
        """Set the replicas, on the newest state where somebody else wrote meanwhile."""
        for left in reversed(range(_CONFLICTS)):
            try:
                changed = {**scale, "spec": {**scale["spec"], "replicas": wanted}}
                await self._client.update(gvr, changed, "scale")
                return
            except Conflict:
                if not left:
                    raise
                meta = scale["metadata"]
                scale = await self._client.get(gvr, meta["name"], meta["namespace"], subresource="scale")

    async def _gvr(self, target: Object) -> GVR:
        """Find the resource of a kind. Raises NotFound for one that is not served."""
        key = (target.get("apiVersion", "v1"), target["kind"])
        if key not in self._targets:
            served = await discover(self._client)
            self._targets = {(item.gvk.api_version, item.kind): item.gvr for item in served.resources}
        if key not in self._targets:
            raise NotFound(f'no matches for kind "{key[1]}" in group "{split_api_version(key[0])[0]}"')
        return self._targets[key]

    async def _write(self, look: _Look) -> None:
        scaler = look.scaler
        before = scaler.get("status") or {}
        generation = scaler["metadata"].get("generation", 0)
        merged = {**look.status, "conditions": look.conditions, "observedGeneration": generation}
        if not merged.get("currentMetrics"):
            merged.pop("currentMetrics", None)
        if merged == before:
            return
        try:
            await self._client.update(HORIZONTAL_POD_AUTOSCALERS, {**scaler, "status": merged}, "status")
        except NotFound:
            return
