"""pods/ephemeralcontainers and pods/resize: the two parts of a running pod's spec that may change."""

from __future__ import annotations

from tiphys.apimachinery.featuregates import on
from tiphys.apimachinery.meta import Object
from tiphys.apis.core.container_defaults import default_container
from tiphys.apis.core.pod_update import validate_ephemeral_update, validate_resize
from tiphys.apis.defaulting import restore
from tiphys.apiserver.endpoints.call import Call
from tiphys.apiserver.subresources.part import handle_part
from tiphys.wire.message import Response


async def handle_ephemeral_containers(call: Call) -> Response:
    """Add debugging containers to a pod."""
    return await handle_part(call, _merge_ephemeral, validate_ephemeral_update)


async def handle_resize(call: Call) -> Response:
    """Change what containers of a pod ask for."""
    return await handle_part(call, _merge_resize, validate_resize)


def _merge_ephemeral(live: Object, wanted: Object) -> Object:
    containers = (wanted.get("spec") or {}).get("ephemeralContainers")
    if containers:
        for container in containers:
            default_container(container)
        live["spec"]["ephemeralContainers"] = containers
    else:
        live["spec"].pop("ephemeralContainers", None)
    return live


def _merge_resize(live: Object, wanted: Object) -> Object:
    """Take over what containers ask for; whether they are those of the pod is for validation to see."""
    spec = wanted.get("spec") or {}
    lists = ("containers", "initContainers")
    if any(len(_names(spec, key)) != len(_names(live["spec"], key)) for key in lists):
        live["spec"] = spec
        return live
    for key in lists:
        if _names(spec, key) != _names(live["spec"], key):
            restore(live["spec"], spec, key)
            continue
        for container, found in zip(live["spec"].get(key) or (), spec.get(key) or (), strict=True):
            container["resources"] = found.get("resources") or {}
            if found.get("resizePolicy"):
                container["resizePolicy"] = found["resizePolicy"]
            else:
                container.pop("resizePolicy", None)
    if on("InPlacePodLevelResourcesVerticalScaling"):
        restore(live["spec"], spec, "resources")
    return live


def _names(spec: Object, key: str) -> list[str]:
    return [container.get("name", "") for container in spec.get(key) or ()]
