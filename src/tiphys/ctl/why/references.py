"""What a pod's spec refers to: ConfigMaps and Secrets with their keys, claims, its service account."""

from __future__ import annotations

from collections.abc import Iterator

from tiphys.apimachinery.dataclass import dataclass
from tiphys.apimachinery.meta import Object

_SOURCES = (("configMap", "name", "configmaps"), ("secret", "secretName", "secrets"))
_KEYS = (("configMapKeyRef", "configmaps"), ("secretKeyRef", "secrets"))
_WHOLE = (("configMapRef", "configmaps"), ("secretRef", "secrets"))


@dataclass(frozen=True, slots=True)
class Reference:
    """``key`` empty: the object as a whole. ``field`` says which part of the spec asks for it."""

    resource: str
    name: str
    field: str
    key: str = ""


def containers(pod: Object) -> Iterator[tuple[str, Object]]:
    """Every container of a pod with the path of its list."""
    for part in ("initContainers", "containers", "ephemeralContainers"):
        for container in pod["spec"].get(part) or ():
            yield part, container


def config_references(pod: Object) -> list[Reference]:
    """What must exist, with these keys, before the pod's containers start."""
    found = [*_of_volumes(pod)]
    for part, container in containers(pod):
        found += _of_environment(f"spec.{part}[{container['name']}]", container)
    return found


def _of_volumes(pod: Object) -> Iterator[Reference]:
    for volume in pod["spec"].get("volumes") or ():
        path = f"spec.volumes[{volume['name']}]"
        yield from _of_source(volume, path, "secretName")
        for source in (volume.get("projected") or {}).get("sources") or ():
            yield from _of_source(source, f"{path}.projected", "name")


def _of_source(holder: Object, path: str, secret_name: str) -> Iterator[Reference]:
    for field, name, resource in _SOURCES:
        source = holder.get(field)
        named = (source or {}).get(secret_name if field == "secret" else name)
        if not source or not named or source.get("optional"):
            continue
        yield Reference(resource, named, f"{path}.{field}")
        for item in source.get("items") or ():
            yield Reference(resource, named, f"{path}.{field}.items", item["key"])


def _of_environment(path: str, container: Object) -> Iterator[Reference]:
    for entry in container.get("envFrom") or ():
        for field, resource in _WHOLE:
            source = entry.get(field)
            if source and not source.get("optional"):
                yield Reference(resource, source.get("name", ""), f"{path}.envFrom")
    for variable in container.get("env") or ():
        for field, resource in _KEYS:
            source = (variable.get("valueFrom") or {}).get(field)
            if source and not source.get("optional"):
                yield Reference(
                    resource, source.get("name", ""), f"{path}.env[{variable['name']}]", source["key"]
                )


def claim_names(pod: Object) -> list[str]:
    """The PersistentVolumeClaims a pod mounts, those made for it included."""
    names = []
    for volume in pod["spec"].get("volumes") or ():
        if volume.get("persistentVolumeClaim"):
            names.append(volume["persistentVolumeClaim"]["claimName"])
        elif volume.get("ephemeral"):
            names.append(f"{pod['metadata']['name']}-{volume['name']}")
    return names
