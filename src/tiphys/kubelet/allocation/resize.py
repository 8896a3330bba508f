"""Changing the resources of running containers in place. Pure.

Source: "Resize CPU and Memory Resources assigned to Containers" (KEP-1287).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from tiphys.apimachinery.dataclass import dataclass
from tiphys.apimachinery.meta import Object
from tiphys.apimachinery.quantity import parse
from tiphys.kubelet.cm.qos import spec_containers
from tiphys.kubelet.cm.resources import is_sidecar, linux_resources, with_pod_limits
from tiphys.kubelet.runtime import CONTAINER_RESOURCES, Container, RuntimePod

Resources = Mapping[str, Any]
_RESIZABLE = ("cpu", "memory")


@dataclass(frozen=True, slots=True)
class Resize:
    """One container that must change: in place, or (``restart``) by starting it anew."""

    container_id: str
    name: str
    resources: Resources
    linux: Mapping[str, int]
    restart: bool = False


def resources_of(container: Container, applied: Mapping[str, Resources]) -> Resources:
    """Return the resources a container runs with: as last changed, or as it was made."""
    if container.id in applied:
        return applied[container.id]
    text = container.annotations.get(CONTAINER_RESOURCES)
    found: Resources = orjson.loads(text) if text else {}
    return found


def changed_resources(have: Resources, want: Resources) -> set[str]:
    """Return which of cpu and memory differ in amount; other spellings of an amount are no change."""
    changed = set()
    for kind in ("requests", "limits", "inherited"):
        before, after = have.get(kind) or {}, want.get(kind) or {}
        for name in _RESIZABLE:
            old, new = before.get(name), after.get(name)
            if old != new and (
                old is None or new is None or parse(str(old)).milli() != parse(str(new)).milli()
            ):
                changed.add(name)
    return changed


def whole_pod_differs(pod: Object, applied: Resources | None) -> bool:
    """Whether the whole pod has other resources than it asks for; None: nobody knows what it has."""
    return applied is not None and bool(changed_resources(applied, pod["spec"].get("resources") or {}))


def plan_resizes(pod: Object, runtime: RuntimePod, applied: Mapping[str, Resources]) -> list[Resize]:
    """Return the running containers whose resources are not what the pod asks for."""
    resizes = []
    init = {item["name"] for item in pod["spec"].get("initContainers") or () if not is_sidecar(item)}
    for container in spec_containers(pod):
        running = runtime.latest(container["name"])
        if running is None or not running.running:
            continue
        if CONTAINER_RESOURCES not in running.annotations and running.id not in applied:
            continue
        wanted = with_pod_limits(pod, container)
        changed = changed_resources(resources_of(running, applied), wanted)
        if not changed:
            continue
        policies = {
            item["resourceName"]: item["restartPolicy"] for item in container.get("resizePolicy") or ()
        }
        # An init container that is ended halfway has failed: it is changed as it runs.
        restart = container["name"] not in init and any(
            policies.get(name) == "RestartContainer" for name in changed
        )
        resizes.append(Resize(running.id, container["name"], wanted, linux_resources(wanted), restart))
    return resizes
