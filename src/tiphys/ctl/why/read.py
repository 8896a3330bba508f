"""Reads what an explanation needs over the API. It only gets and lists; what it may not read, it names."""

from __future__ import annotations

from contextlib import suppress

from tiphys.apimachinery.clock import Clock
from tiphys.apimachinery.errors import NotFound, StatusError
from tiphys.apimachinery.labels import format_labels
from tiphys.apimachinery.meta import GVR, Object
from tiphys.client.kinds import (
    CONFIG_MAPS,
    ENDPOINT_SLICES,
    EVENTS,
    INGRESS_CLASSES,
    LEASES,
    NODES,
    PERSISTENT_VOLUME_CLAIMS,
    PERSISTENT_VOLUMES,
    PODS,
    REPLICA_SETS,
    SECRETS,
    SERVICES,
    STORAGE_CLASSES,
)
from tiphys.client.rest import Client
from tiphys.ctl.layout import CtlError
from tiphys.ctl.why.explain import Kind
from tiphys.ctl.why.ingress import backends, class_of, secrets
from tiphys.ctl.why.lookup import look_up
from tiphys.ctl.why.namespace import remaining
from tiphys.ctl.why.references import claim_names, config_references
from tiphys.ctl.why.scene import Ref, Scene

_CONFIG = {"configmaps": CONFIG_MAPS, "secrets": SECRETS}
_LEASES = "kube-node-lease"
_MOST_KINDS = 5
_WITH_PODS = ("deployments", "replicasets", "statefulsets", "daemonsets", "jobs")


async def read(client: Client, kind: Kind, name: str, namespace: str, clock: Clock) -> tuple[Object, Scene]:
    """Return the object asked about and its surroundings. Raises StatusError, TransportError."""
    target = await client.get(kind.gvr, name, namespace if kind.namespaced else "")
    reader = _Reader(client)
    await reader.around(target, kind)
    return target, Scene(clock.now(), reader.objects, tuple(reader.events), tuple(reader.unread))


class _Reader:
    """Collects objects, each once. A refusal (403, say) is noted and is no failure."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self.objects: dict[Ref, Object | None] = {}
        self.events: list[Object] = []
        self.unread: list[str] = []

    async def around(self, target: Object, kind: Kind) -> None:
        resource, meta = kind.gvr.resource, target["metadata"]
        namespace = meta.get("namespace", "")
        if resource == "pods":
            await self._about(target)
            await self._pod(target)
        elif resource == "nodes":
            await self._one(LEASES, meta["name"], _LEASES)
        elif resource == "persistentvolumeclaims":
            await self._claim(target)
            if meta.get("deletionTimestamp"):
                await self._list(PODS, namespace)
        elif resource in _WITH_PODS:
            await self._workload(target, resource)
        elif resource == "services":
            await self._service(target)
        elif resource == "ingresses":
            await self._ingress(target)
        elif resource == "namespaces":
            await self._namespace(target)
        else:
            await self._about(target)

    async def _namespace(self, namespace: Object) -> None:
        for word in remaining(namespace)[:_MOST_KINDS]:
            with suppress(CtlError):  # it is served no longer
                await self._list((await look_up(self._client, word)).gvr, namespace["metadata"]["name"])

    async def _workload(self, owner: Object, resource: str) -> None:
        namespace = owner["metadata"]["namespace"]
        self.events += await self._items(EVENTS, namespace)
        labels = ((owner["spec"].get("selector") or {}).get("matchLabels")) or {}
        if resource == "deployments":
            await self._list(REPLICA_SETS, namespace, format_labels(labels))
        for pod in await self._list(PODS, namespace, format_labels(labels)):
            if not _ready(pod):
                await self._pod(pod)

    async def _service(self, service: Object) -> None:
        meta = service["metadata"]
        namespace = meta["namespace"]
        await self._list(ENDPOINT_SLICES, namespace, f"kubernetes.io/service-name={meta['name']}")
        self.events += await self._items(EVENTS, namespace)
        selector = (service["spec"].get("selector") or {}).items()
        for pod in await self._list(PODS, namespace):
            if selector <= (pod["metadata"].get("labels") or {}).items() and not _ready(pod):
                await self._pod(pod)
                return  # one is explained in full

    async def _ingress(self, ingress: Object) -> None:
        namespace = ingress["metadata"]["namespace"]
        await self._about(ingress)
        if name := class_of(ingress):
            await self._one(INGRESS_CLASSES, name)
        else:
            await self._list(INGRESS_CLASSES)
        for _, service, _ in backends(ingress):
            await self._one(SERVICES, service, namespace)
        for secret in secrets(ingress):
            await self._one(SECRETS, secret, namespace)

    async def _pod(self, pod: Object) -> None:
        namespace = pod["metadata"]["namespace"]
        for reference in config_references(pod):
            await self._one(_CONFIG[reference.resource], reference.name, namespace)
        for secret in pod["spec"].get("imagePullSecrets") or ():
            await self._one(SECRETS, secret.get("name", ""), namespace)
        for name in claim_names(pod):
            claim = await self._one(PERSISTENT_VOLUME_CLAIMS, name, namespace)
            if claim is not None:
                await self._claim(claim)
        if pod["spec"].get("nodeName"):
            await self._one(NODES, pod["spec"]["nodeName"])
        elif not pod["spec"].get("schedulingGates"):
            await self._list(NODES)
            await self._list(PODS)

    async def _claim(self, claim: Object) -> None:
        if (claim.get("status") or {}).get("phase") == "Bound":
            return
        await self._about(claim)
        await self._list(PERSISTENT_VOLUMES)
        class_name = claim["spec"].get("storageClassName")
        if class_name:
            await self._one(STORAGE_CLASSES, class_name)
        else:
            await self._list(STORAGE_CLASSES)

    async def _about(self, obj: Object) -> None:
        meta = obj["metadata"]
        self.events += await self._items(
            EVENTS, meta.get("namespace", "default"), fields=f"involvedObject.uid={meta['uid']}"
        )

    async def _one(self, gvr: GVR, name: str, namespace: str = "") -> Object | None:
        ref = (gvr.resource, namespace, name)
        if not name or ref in self.objects:
            return self.objects.get(ref)
        try:
            self.objects[ref] = await self._client.get(gvr, name, namespace)
        except NotFound:
            self.objects[ref] = None
        except StatusError as error:
            self._note(f"{gvr.resource} {name}", error)
        return self.objects.get(ref)

    async def _list(self, gvr: GVR, namespace: str = "", labels: str = "") -> list[Object]:
        items = await self._items(gvr, namespace, labels)
        for item in items:
            meta = item["metadata"]
            self.objects[(gvr.resource, meta.get("namespace", ""), meta["name"])] = item
        return items

    async def _items(
        self, gvr: GVR, namespace: str = "", labels: str = "", *, fields: str = ""
    ) -> list[Object]:
        try:
            found = await self._client.list(gvr, namespace, label_selector=labels, field_selector=fields)
        except StatusError as error:
            self._note(gvr.resource, error)
            return []
        return list(found.get("items") or ())

    def _note(self, what: str, error: StatusError) -> None:
        text = f"{what} ({error})"
        if text not in self.unread:
            self.unread.append(text)


def _ready(pod: Object) -> bool:
    conditions = (pod.get("status") or {}).get("conditions") or ()
    return any(item["type"] == "Ready" and item["status"] == "True" for item in conditions)
