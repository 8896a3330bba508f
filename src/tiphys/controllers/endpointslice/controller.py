"""Keeps EndpointSlices in step with Services and their pods. Decisions are in ``plan``."""

from __future__ import annotations

from collections.abc import Callable

from tiphys.apimachinery.errors import StatusError
from tiphys.apimachinery.meta import Object, object_key
from tiphys.client.controller import run_controller
from tiphys.client.kinds import ENDPOINT_SLICES, NODES, PODS, SERVICES
from tiphys.controllers import podstate
from tiphys.controllers.context import Context
from tiphys.controllers.endpointslice import tally, topology
from tiphys.controllers.endpointslice.apply import apply_plan
from tiphys.controllers.endpointslice.plan import MANAGED_BY, MANAGER, SERVICE_NAME, ZONE, Plan, plan
from tiphys.controllers.endpointslice.trigger import TriggerTimes, marked
from tiphys.controllers.metrics import (
    SLICE_ADDED,
    SLICE_CHANGES,
    SLICE_FILL,
    SLICE_REMOVED,
    SLICE_SYNCS,
    SLICES_CHANGED,
)
from tiphys.controllers.owned import Writes
from tiphys.controllers.selected import Selecting, index_labels, selected_by, service_selector

BY_SERVICE = "service"
_BY_NODE = "node"


class EndpointSliceController:
    """A key is a Service's."""

    name = "endpoint-slice-controller"
    account = "endpointslice-controller"

    def __init__(self, context: Context) -> None:
        self._client = context.client
        self._workers = context.options.workers_of(self.name)
        self.queue = context.queue(self.name)
        self._services = context.informers.get(SERVICES)
        self._pods = context.informers.get(PODS)
        self._slices = context.informers.get(ENDPOINT_SLICES)
        self._nodes = context.informers.get(NODES)
        self._slices.add_index(BY_SERVICE, _service_of)
        index_labels(self._pods)
        self._pods.add_index(_BY_NODE, podstate.node_of)
        self._selecting = Selecting(self._services, service_selector)
        self._writes = Writes(self._slices, context.clock)
        self._triggers = TriggerTimes()
        self._recorder = context.recorder("endpoint-slice-controller")
        self._told: dict[str, dict[str, str]] = {}
        """By service: what was last told of its hints, by family."""
        self._shares: dict[str, float] | None = None
        self._fill, self._distributions = tally.Fill(SLICE_FILL, placeholders=True), tally.Distributions()
        self._services.add_handler(self._service_changed)
        self._pods.add_handler(self._pod_changed)
        self._slices.add_handler(self._slice_changed)
        self._nodes.add_handler(self._node_changed)

    async def run(self) -> None:
        for informer in (self._services, self._pods, self._slices, self._nodes):
            await informer.wait_synced()
        await run_controller(self.queue, self.reconcile, workers=self._workers, name=self.name)

    def _service_changed(self, old: Object | None, new: Object | None) -> None:
        obj = new or old
        if obj is not None:
            self.queue.add(object_key(obj))

    def _pod_changed(self, old: Object | None, new: Object | None) -> None:
        enqueue_services(self.queue.add, self._selecting, old, new)

    def _node_changed(self, old: Object | None, new: Object | None) -> None:
        """A new node concerns the services of its pods; zones' shares, those that ask for hints by them."""
        if old is None and new is not None:
            for pod in self._pods.by_index(_BY_NODE, new["metadata"]["name"]):
                for service in self._selecting.of(pod):
                    self.queue.add(object_key(service))
        if old is not None and new is not None and _weight(old) == _weight(new):
            return
        shares = topology.zone_shares(self._nodes.list())
        if shares != self._shares:
            self._shares = shares
            for service in self._services.list():
                if topology.wants_hints(service):
                    self.queue.add(object_key(service))

    def _slice_changed(self, old: Object | None, new: Object | None) -> None:
        for item in (old, new):
            for key in _service_of(item) if item else ():
                self.queue.add(key)

    async def reconcile(self, key: str) -> float | None:
        service = self._services.get(key)
        if service is None:
            self._writes.forget(key)
            self._triggers.forget(key)
            self._told.pop(key, None)
            self._fill.forget(key)
            self._distributions.note(key, "")
            return None
        if not self._writes.settled(key) or not service["spec"].get("selector"):
            return None
        pods = selected_by(self._pods, service["metadata"]["namespace"], service_selector(service))
        slices = self._slices.by_index(BY_SERVICE, key)
        shares = topology.zone_shares(self._nodes.list()) if topology.wants_hints(service) else None
        planned = plan(service, pods, slices, self._zones(pods), shares)
        self._tell_hints(service, planned.hints)
        since = self._triggers.observe(service, pods)
        for item in (*planned.create, *planned.update):
            item["metadata"] = marked(item["metadata"], since)
        self._count(key, service, planned, slices)
        result = "error"
        try:
            await apply_plan(self._client, self._writes, key, planned)
            result = "success"
        except StatusError as error:
            text = f"Error updating Endpoint Slices for Service {key}: {error.message}"
            self._recorder.record(service, "Warning", "FailedToUpdateEndpointSlices", text)
            raise
        finally:
            SLICE_SYNCS.labels(result).inc()
        tally.changed(SLICE_CHANGES, planned)
        return None

    def _count(self, key: str, service: Object, planned: Plan, slices: list[Object]) -> None:
        """Count what is about to be done for a service."""
        after = tally.after(planned, slices)
        added, _, removed = tally.moves(slices, after)
        SLICE_ADDED.labels().observe(added)
        SLICE_REMOVED.labels().observe(removed)
        self._fill.note(key, after)
        by_shares = topology.wants_hints(service)
        said = "" if by_shares else str(service["spec"].get("trafficDistribution") or "")
        self._distributions.note(key, said)
        changes = len(planned.create) + len(planned.update) + len(planned.delete)
        shown = said if said == tally.PREFER_CLOSE else ""
        SLICES_CHANGED.labels("Auto" if by_shares else "Disabled", shown).observe(changes)

    def _tell_hints(self, service: Object, hints: dict[str, str]) -> None:
        """Say what became of the hints, once for each change."""
        key = object_key(service)
        before = self._told.pop(key, {})
        if hints:
            self._told[key] = hints
        for family in {*before, *hints}:
            fault, was = hints.get(family), before.get(family)
            if fault == was:
                continue
            if fault == "":
                kind, reason, text = "Normal", "TopologyAwareHintsEnabled", topology.ENABLED
            else:
                kind, reason, text = "Warning", "TopologyAwareHintsDisabled", fault or topology.DISABLED
            if fault is not None or was == "":
                self._recorder.record(service, kind, reason, f"{text}, addressType: {family}")

    def _zones(self, pods: list[Object]) -> dict[str, str]:
        names = {str((pod.get("spec") or {}).get("nodeName") or "") for pod in pods}
        found: dict[str, str] = {}
        for name in names:
            node = self._nodes.get(name) if name else None
            if node is not None:
                found[name] = (node["metadata"].get("labels") or {}).get(ZONE, "")
        return found


def enqueue_services(
    add: Callable[[str], None],
    services: Selecting,
    old: Object | None,
    new: Object | None,
) -> None:
    """Enqueue the services that select a pod, before or after its change, if that can matter to them."""
    pod = new or old
    if pod is None or (old is not None and new is not None and not _matters(old, new)):
        return
    for service in services.of_change(old, new):
        add(object_key(service))


def _matters(old: Object, new: Object) -> bool:
    """Status chatter (container states, probes' times) changes no endpoint; readiness and addresses do."""

    def seen(pod: Object) -> tuple[object, ...]:
        status = pod.get("status") or {}
        ready = [c.get("status") for c in status.get("conditions") or () if c.get("type") == "Ready"]
        meta = pod["metadata"]
        return (
            ready,
            status.get("phase"),
            status.get("podIPs"),
            status.get("podIP"),
            meta.get("labels"),
            meta.get("deletionTimestamp"),
            (pod.get("spec") or {}).get("nodeName"),
        )

    return seen(old) != seen(new)


def _weight(node: Object) -> tuple[object, ...]:
    """Return what of a node counts for the shares of zones."""
    status = node.get("status") or {}
    ready = [item.get("status") for item in status.get("conditions") or () if item.get("type") == "Ready"]
    return node["metadata"].get("labels"), (status.get("allocatable") or {}).get("cpu"), ready


def _service_of(item: Object) -> list[str]:
    labels = item["metadata"].get("labels") or {}
    if labels.get(MANAGED_BY) != MANAGER or not labels.get(SERVICE_NAME):
        return []
    return [f"{item['metadata']['namespace']}/{labels[SERVICE_NAME]}"]
