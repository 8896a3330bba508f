"""Being a node: registering, reporting status, holding the lease.

Source: "Node heartbeats".
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from tiphys.apimachinery.clock import Clock, rfc3339_micro
from tiphys.apimachinery.errors import AlreadyExists, NotFound, StatusError
from tiphys.apimachinery.meta import Object
from tiphys.apis.core.node_labels import KUBELET_LABELS
from tiphys.client.kinds import LEASES, NODES
from tiphys.client.rest import Client
from tiphys.client.transport import TransportError
from tiphys.kubelet.nodestatus.machine import Machine
from tiphys.kubelet.nodestatus.node_object import (
    NodeFindings,
    allocatable,
    capacity,
    extended_allocatable,
    new_node,
    node_labels,
    node_status,
    readiness_problem,
    significant,
    transitions,
)
from tiphys.kubelet.options import KubeletOptions
from tiphys.kubelet.runtime import Runtime, RuntimeFailure

log = logging.getLogger(__name__)

_LEASE_NAMESPACE = "kube-node-lease"
_RETRY_S = 1.0
_STARTING_S = 0.2


class NodeReporter:
    """``run`` registers the node and reports until cancelled."""

    def __init__(
        self, client: Client, runtime: Runtime, machine: Machine, options: KubeletOptions, clock: Clock
    ) -> None:
        self._client = client
        self._runtime = runtime
        self.machine = machine
        self._options = options
        self._clock = clock
        self._recorder = client.events("kubelet", options.node_name)
        self._patience_s = min(max(options.status_update_s, 1.0), float(options.lease_duration_s))
        self._poked = asyncio.Event()
        self._reported: dict[str, Any] = {}
        self._reported_at = 0.0
        self._ready = False
        self._cordoned = False
        self.node: Object = new_node(machine, options)
        """The Node as last seen."""
        self.pressures: frozenset[str] = frozenset()
        """What is short on the node; ``poke`` after a change."""
        self.shutting_down = False
        self.devices: Callable[[], dict[str, tuple[int, int]]] = dict
        """Of each resource of device plugins: how many there are, and how many are healthy."""

    @property
    def allocatable(self) -> dict[str, str]:
        """Quantities that pods may take."""
        own = allocatable(capacity(self.machine, self._options), self._options)
        return {**own, **{name: str(healthy) for name, (_, healthy) in self.devices().items()}}

    def poke(self) -> None:
        """Report soon: something changed."""
        self._poked.set()

    async def run(self) -> None:
        await self._register()
        self._tell("Starting", "Starting kubelet.")
        async with asyncio.TaskGroup() as group:
            group.create_task(self._report_loop())
            group.create_task(self._lease_loop())

    async def _register(self) -> None:
        """Create the Node, or bring its own labels of one that is there up to date: the rest is others'."""
        while True:
            try:
                self.node = await self._create_or_adopt()
                log.info("node registered node=%s", self._options.node_name)
                return
            except (StatusError, TransportError) as error:
                log.warning("node not registered yet node=%s error=%s", self._options.node_name, error)
                await asyncio.sleep(_RETRY_S)

    async def _create_or_adopt(self) -> Object:
        name = self._options.node_name
        if self._options.register_node:
            # Whole from the start: whoever sees it come looks for its addresses at once.
            found, now = await self.findings(), self._clock.now()
            status = node_status(self.machine, self._options, found, {}, now)
            new = {**new_node(self.machine, self._options), "status": status}
            try:
                return await self._ask(self._client.create(NODES, new))
            except AlreadyExists:
                pass
        node = await self._ask(self._client.get(NODES, name))
        own = node_labels(self.machine, self._options)
        labels = {key: value for key, value in own.items() if key in KUBELET_LABELS}
        have = node["metadata"].get("labels") or {}
        if any(have.get(key) != value for key, value in labels.items()):
            change = {"metadata": {"labels": labels}}
            node = await self._ask(self._client.patch(NODES, name, "", change, type="strategic"))
        return node

    async def _ask(self, call: Awaitable[Object]) -> Object:
        """Wait until the next beat is due: a server that hangs must not cost the node its lease.

        Raises StatusError, TransportError.
        """
        try:
            async with asyncio.timeout(self._patience_s):
                return await call
        except TimeoutError as error:
            raise TransportError("no answer in time") from error

    async def findings(self) -> NodeFindings:
        """Ask the runtime how it is."""
        try:
            info = await self._runtime.info()
            images = await self._runtime.list_images()
        except RuntimeFailure as error:
            return NodeFindings(None, (), str(error), self.shutting_down, self.pressures, self.devices())
        return NodeFindings(info, images, "", self.shutting_down, self.pressures, self.devices())

    async def _report_loop(self) -> None:
        while True:
            try:
                await self.report()
            except NotFound:
                await self._register()
                self._reported = {}
                continue
            except (StatusError, TransportError) as error:
                log.warning("node status not written node=%s error=%s", self._options.node_name, error)
            # Until it is ready for the first time every moment counts.
            wait_s = self._options.status_update_s if self._ready else _STARTING_S
            try:
                async with asyncio.timeout(wait_s):
                    await self._poked.wait()
            except TimeoutError:
                pass
            self._poked.clear()

    async def report(self) -> None:
        """Write the status if it changed, or if it is time to. Raises StatusError, TransportError."""
        found = await self.findings()
        self._ready = not readiness_problem(found)
        if self._reported:
            self.node = await self._ask(self._client.get(NODES, self._options.node_name))
        self._tell_of_cordon()
        old = self.node.get("status") or {}
        status = node_status(self.machine, self._options, found, old, self._clock.now())
        extended = extended_allocatable(old, status["capacity"])
        now = self._clock.monotonic()
        due = now - self._reported_at >= self._options.status_report_s or bool(extended)
        if not due and self._reported and significant(status) == significant(self._reported):
            return
        before = self._reported
        written = {**status, "allocatable": {**status["allocatable"], **extended}}
        name, change = self._options.node_name, {"status": written}
        self.node = await self._ask(
            self._client.patch(NODES, name, "", change, type="strategic", subresource="status")
        )
        self._reported, self._reported_at = status, now
        for reason in transitions(before, status):
            self._tell(reason, f"Node {self._options.node_name} status is now: {reason}")

    def _tell_of_cordon(self) -> None:
        cordoned = bool((self.node.get("spec") or {}).get("unschedulable"))
        if cordoned is not self._cordoned:
            self._cordoned = cordoned
            reason = "NodeNotSchedulable" if cordoned else "NodeSchedulable"
            self._tell(reason, f"Node {self._options.node_name} status is now: {reason}")

    async def look(self) -> None:
        """See the Node as it is now; as last seen where nobody answers."""
        try:
            self.node = await self._client.get(NODES, self._options.node_name)
        except (StatusError, TransportError) as error:
            log.warning("node not read node=%s error=%s", self._options.node_name, error)

    @property
    def reference(self) -> Object:
        """What events of the node are about; they are found by its name, which stands for its UID too."""
        name = self._options.node_name
        return {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "uid": name}}

    def _tell(self, reason: str, message: str) -> None:
        self._recorder.record(self.reference, "Normal", reason, message)

    async def _lease_loop(self) -> None:
        while True:
            wait_s = self._options.lease_duration_s / 4
            try:
                await self._renew()
            except (StatusError, TransportError) as error:
                log.warning("node lease not renewed node=%s error=%s", self._options.node_name, error)
                wait_s = _RETRY_S
            await asyncio.sleep(wait_s)

    async def _renew(self) -> None:
        name = self._options.node_name
        spec = {
            "holderIdentity": name,
            "leaseDurationSeconds": self._options.lease_duration_s,
            "renewTime": rfc3339_micro(self._clock.now()),
        }
        try:
            await self._ask(self._client.patch(LEASES, name, _LEASE_NAMESPACE, {"spec": spec}, type="merge"))
        except NotFound:
            await self._ask(self._client.create(LEASES, self._new_lease(spec)))

    def _new_lease(self, spec: dict[str, Any]) -> Object:
        """The lease goes with its node, so the garbage collector clears it away."""
        meta = self.node["metadata"]
        owner = {"apiVersion": "v1", "kind": "Node", "name": meta["name"], "uid": meta.get("uid", "")}
        return {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {"name": meta["name"], "namespace": _LEASE_NAMESPACE, "ownerReferences": [owner]},
            "spec": spec,
        }
