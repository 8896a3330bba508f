"""Attaches volumes to nodes whose pods need them and detaches them afterwards. Decisions are in ``plan``."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping, Sequence

from tiphys.apimachinery.errors import AlreadyExists, NotFound
from tiphys.apimachinery.families import Metric
from tiphys.apimachinery.meta import Object, object_key
from tiphys.client.controller import run_controller
from tiphys.client.kinds import (
    CSI_DRIVERS,
    NODES,
    PERSISTENT_VOLUME_CLAIMS,
    PERSISTENT_VOLUMES,
    PODS,
    VOLUME_ATTACHMENTS,
)
from tiphys.controllers.attachdetach.figures import families
from tiphys.controllers.attachdetach.plan import Need, Plan, claim_names, needs_of, plan, plan_gone
from tiphys.controllers.context import Context
from tiphys.controllers.metrics import FORCED_DETACHES, HELD
from tiphys.controllers.podstate import is_terminal

_BY_NODE = "node with claims"
_BY_CLAIM = "claim"
_PATIENCE_S = 360.0
"""What a node has mounted is waited for so long, unless the node is well."""
_LOOK_S = 10.0


class AttachDetachController:
    """A key is a node's."""

    name = "persistentvolume-attach-detach-controller"
    account = "attachdetach-controller"

    def __init__(self, context: Context) -> None:
        self._client = context.client
        self._recorder = context.recorder("attachdetach-controller")
        self.queue = context.queue(self.name)
        self._pods = context.informers.get(PODS)
        self._nodes = context.informers.get(NODES)
        self._claims = context.informers.get(PERSISTENT_VOLUME_CLAIMS)
        self._volumes = context.informers.get(PERSISTENT_VOLUMES)
        self._drivers = context.informers.get(CSI_DRIVERS)
        self._attachments = context.informers.get(VOLUME_ATTACHMENTS)
        self._pods.add_index(_BY_NODE, _node_of)
        self._pods.add_index(_BY_CLAIM, _claims_of)
        self._told: dict[tuple[str, str], str] = {}
        self._clock = context.clock
        self._held: dict[str, float] = {}
        """Attachments by name: since when they would have gone but for what is mounted."""
        self._gone: dict[str, frozenset[str]] = {}
        """Nodes that were deleted: what they had mounted."""
        HELD.add(self)
        self._pods.add_handler(self._pod_changed)
        self._nodes.add_handler(self._node_changed)
        self._attachments.add_handler(self._attachment_changed)
        self._claims.add_handler(self._claim_changed)

    async def run(self) -> None:
        watched = (self._pods, self._nodes, self._claims, self._volumes, self._drivers, self._attachments)
        for informer in watched:
            await informer.wait_synced()
        await run_controller(self.queue, self.reconcile, workers=1, name=self.name)

    def _pod_changed(self, old: Object | None, new: Object | None) -> None:
        for pod in (old, new):
            for name in _node_of(pod) if pod is not None else ():
                self.queue.add(name)

    def _node_changed(self, old: Object | None, new: Object | None) -> None:
        before, after = ((one or {}).get("status") or {} for one in (old, new))
        fields = ("volumesInUse", "volumesAttached")
        name = (new or old or {})["metadata"]["name"]
        if new is None:
            self._gone[name] = frozenset(before.get("volumesInUse") or ())
        else:
            self._gone.pop(name, None)
        taints = [((one or {}).get("spec") or {}).get("taints") for one in (old, new)]
        changed = any(before.get(key) != after.get(key) for key in fields) or taints[0] != taints[1]
        if old is None or new is None or changed:
            self.queue.add(name)

    def _attachment_changed(self, old: Object | None, new: Object | None) -> None:
        item = new or old
        if item is None:
            return
        self.queue.add(item["spec"]["nodeName"])
        if new is None:
            volume = (item["spec"].get("source") or {}).get("persistentVolumeName")
            for name, waiting in list(self._told):
                if waiting == volume:
                    self.queue.add(name)

    def _claim_changed(self, old: Object | None, new: Object | None) -> None:
        """A claim got its volume: its pod, placed already, may need that attached."""
        if new is None or (old or {}).get("spec", {}).get("volumeName") == new["spec"].get("volumeName"):
            return
        for pod in self._pods.by_index(_BY_CLAIM, object_key(new)):
            self._pod_changed(None, pod)

    async def reconcile(self, key: str) -> float | None:
        volumes = {item["metadata"]["name"]: item for item in self._volumes.list()}
        attachments = self._attachments.list()
        node = self._nodes.get(key)
        if node is None:
            # What a node that is gone had attached must go, or no other node may have it.
            planned = plan_gone(key, self._gone.get(key), attachments, volumes, overdue=self._overdue())
            await self._detach(planned)
            self._forget(key, attachments)
            return self._hold(key, planned)
        needs = self._needs(self._pods.by_index(_BY_NODE, key), volumes)
        self._forget_told(key, {need.volume for need in needs})
        overdue = self._overdue()
        planned = plan(node, needs, attachments, volumes, self._users, overdue=overdue)
        await self._apply(key, node, planned, needs)
        return self._hold(key, planned)

    def _needs(self, pods: Iterable[Object], volumes: Mapping[str, Object]) -> list[Need]:
        """Return what pods need attached where they run."""
        claims = {object_key(item): item for item in self._claims.list()}
        drivers = {item["metadata"]["name"]: item for item in self._drivers.list()}
        return [need for pod in pods for need in needs_of(pod, claims, volumes, drivers)]

    def collect(self) -> Iterator[Metric]:
        """Yield how many volumes are attached, should be, and are used, as it stands."""
        volumes = {item["metadata"]["name"]: item for item in self._volumes.list()}
        pods = [pod for found in self._pods.index(_BY_NODE).values() for pod in found.values()]
        yield from families(self._needs(pods, volumes), self._attachments.list())

    def _forget(self, key: str, attachments: Sequence[Object]) -> None:
        """Keep nothing of a node that is gone once nothing is attached to it."""
        self._forget_told(key, set())
        if all(item["spec"].get("nodeName") != key for item in attachments):
            self._gone.pop(key, None)

    def _forget_told(self, key: str, wanted: Container[str]) -> None:
        for told in [told for told in self._told if told[0] == key and told[1] not in wanted]:
            del self._told[told]

    def _overdue(self) -> set[str]:
        now = self._clock.monotonic()
        return {name for name, since in self._held.items() if now - since >= _PATIENCE_S}

    def _hold(self, key: str, planned: Plan) -> float | None:
        """Note since when attachments are held; returns when to look again."""
        now = self._clock.monotonic()
        held = {item["metadata"]["name"] for item in planned.held}
        there = {
            item["metadata"]["name"]
            for item in self._attachments.list()
            if item["spec"].get("nodeName") != key
        }
        self._held = {
            **{name: since for name, since in self._held.items() if name in there or name in held},
            **{name: now for name in held if name not in self._held},
        }
        left = [self._held[name] + _PATIENCE_S - now for name in held]
        return max(min(left), _LOOK_S) if left else None

    def _users(self, need: Need) -> list[Object]:
        """Return the pods on other nodes that use a volume."""
        ref = ((self._volumes.get(need.volume) or {}).get("spec") or {}).get("claimRef") or {}
        claim = f"{ref.get('namespace') or need.pod['metadata']['namespace']}/{ref.get('name')}"
        return [
            pod
            for pod in self._pods.by_index(_BY_CLAIM, claim)
            if pod["spec"].get("nodeName") not in (None, "", need.node) and not is_terminal(pod)
        ]

    async def _apply(self, key: str, node: Object, planned: Plan, needs: list[Need]) -> None:
        for need in planned.attach:
            await self._attach(need)
            self._told.pop((key, need.volume), None)
        for need, text in planned.blocked:
            if self._told.get((key, need.volume)) != text:
                self._told[key, need.volume] = text
                self._recorder.record(need.pod, "Warning", "FailedAttachVolume", text)
        if planned.volumes_attached is not None:
            await self._list_attached(node, planned.volumes_attached, needs)
        await self._detach(planned)

    async def _attach(self, need: Need) -> None:
        attachment = {
            "apiVersion": "storage.k8s.io/v1",
            "kind": "VolumeAttachment",
            "metadata": {"name": need.attachment},
            "spec": {
                "attacher": need.driver,
                "nodeName": need.node,
                "source": {"persistentVolumeName": need.volume},
            },
        }
        try:
            await self._client.create(VOLUME_ATTACHMENTS, attachment)
        except AlreadyExists:
            return

    async def _list_attached(self, node: Object, attached: list[Object], needs: list[Need]) -> None:
        name = node["metadata"]["name"]
        before = {one.get("name", "") for one in (node.get("status") or {}).get("volumesAttached") or ()}
        try:
            await self._client.patch(
                NODES, name, "", {"status": {"volumesAttached": attached}}, subresource="status"
            )
        except NotFound:
            return
        fresh = {one["name"] for one in attached} - before
        for need in needs:
            if need.unique in fresh:
                text = f'AttachVolume.Attach succeeded for volume "{need.volume}" '
                self._recorder.record(need.pod, "Normal", "SuccessfulAttachVolume", text)

    async def _detach(self, planned: Plan) -> None:
        for reason in planned.forced:
            FORCED_DETACHES.labels(reason).inc()
        for item in planned.detach:
            meta = item["metadata"]
            try:
                await self._client.delete(VOLUME_ATTACHMENTS, meta["name"], "", uid=meta["uid"])
            except NotFound:
                continue


def _node_of(pod: Object) -> list[str]:
    """Return the node of a pod that uses claims: no other pod needs anything attached."""
    name = pod["spec"].get("nodeName")
    return [name] if name and any(claim_names(pod)) else []


def _claims_of(pod: Object) -> list[str]:
    return [f"{pod['metadata']['namespace']}/{name}" for name in claim_names(pod)]
