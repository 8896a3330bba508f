"""pods/ephemeralcontainers and pods/resize: the two parts of a running pod's spec that may change."""

from __future__ import annotations

from tiphys.apimachinery import field_errors
from tiphys.apimachinery.errors import FieldError
from tiphys.apimachinery.meta import Object
from tiphys.apiserver.call import Call
from tiphys.apiserver.subresources.part import handle_part
from tiphys.wire.message import Response


async def handle_ephemeral_containers(call: Call) -> Response:
    """Add debugging containers to a pod."""
    return await handle_part(call, _merge_ephemeral, _check_ephemeral)


async def handle_resize(call: Call) -> Response:
    """Change what containers of a pod ask for."""
    return await handle_part(call, _merge_resize, _check_resize)


def _merge_ephemeral(live: Object, wanted: Object) -> Object:
    containers = (wanted.get("spec") or {}).get("ephemeralContainers")
    if containers:
        for container in containers:
            container.setdefault("terminationMessagePath", "/dev/termination-log")
            container.setdefault("terminationMessagePolicy", "File")
            tag = container.get("image", "").rpartition("/")[2]
            latest = (":" not in tag and "@" not in tag) or tag.endswith(":latest")
            container.setdefault("imagePullPolicy", "Always" if latest else "IfNotPresent")
            container.setdefault("resources", {})
        live["spec"]["ephemeralContainers"] = containers
    else:
        live["spec"].pop("ephemeralContainers", None)
    return live


def _check_ephemeral(new: Object, old: Object) -> list[FieldError]:
    faults: list[FieldError] = []
    wanted = new["spec"].get("ephemeralContainers") or []
    by_name = {container.get("name"): container for container in wanted}
    taken = {c["name"] for key in ("containers", "initContainers") for c in old["spec"].get(key) or ()}
    for before in old["spec"].get("ephemeralContainers") or ():
        after = by_name.get(before["name"])
        path = "spec.ephemeralContainers"
        if after is None:
            faults.append(
                field_errors.forbidden(
                    path, f'existing ephemeral containers "{before["name"]}" may not be removed\n'
                )
            )
        elif after != before:
            faults.append(
                field_errors.forbidden(
                    path, f'existing ephemeral containers "{before["name"]}" may not be changed\n'
                )
            )
    seen: set[str] = set()
    for index, container in enumerate(wanted):
        path, name = f"spec.ephemeralContainers[{index}]", container.get("name", "")
        if not name:
            faults.append(field_errors.required(f"{path}.name"))
        elif name in taken or name in seen:
            faults.append(field_errors.duplicate(f"{path}.name", name))
        seen.add(name)
        if not container.get("image"):
            faults.append(field_errors.required(f"{path}.image"))
        target = container.get("targetContainerName")
        if target and target not in taken:
            faults.append(field_errors.not_found(f"{path}.targetContainerName", target))
        faults += [
            field_errors.forbidden(f"{path}.{key}", "cannot be set for an Ephemeral Container")
            for key in ("ports", "livenessProbe", "readinessProbe", "startupProbe", "lifecycle")
            if container.get(key)
        ]
    return faults


def _merge_resize(live: Object, wanted: Object) -> Object:
    spec = wanted.get("spec") or {}
    for key in ("containers", "initContainers"):
        by_name = {container.get("name"): container for container in spec.get(key) or ()}
        for container in live["spec"].get(key) or ():
            found = by_name.get(container["name"])
            if found is None:
                continue
            container["resources"] = found.get("resources") or {}
            if found.get("resizePolicy"):
                container["resizePolicy"] = found["resizePolicy"]
    if "resources" in spec:
        live["spec"]["resources"] = spec["resources"]
    return live


def _check_resize(new: Object, old: Object) -> list[FieldError]:
    from tiphys.apis.core.qos import pod_qos

    faults: list[FieldError] = []
    if pod_qos(new) != (old.get("status") or {}).get("qosClass", pod_qos(old)):
        text = "Pod QOS Class may not change as a result of resizing"
        faults.append(field_errors.invalid("spec", pod_qos(new), text))
    for index, (after, before) in enumerate(
        zip(new["spec"].get("containers") or (), old["spec"].get("containers") or (), strict=False)
    ):
        path = f"spec.containers[{index}].resources"
        wanted, held = after.get("resources") or {}, before.get("resources") or {}
        for section in ("limits", "requests"):
            names = set(wanted.get(section) or {}) | set(held.get(section) or {})
            for name in sorted(names - {"cpu", "memory"}):
                if (wanted.get(section) or {}).get(name) != (held.get(section) or {}).get(name):
                    text = "only cpu and memory resources are mutable"
                    faults.append(field_errors.forbidden(f"{path}.{section}", text))
    return faults
