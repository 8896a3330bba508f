"""What configMap, secret, downwardAPI and projected volumes contain. Pure.

API objects are handed in; None stands for one that does not exist.
Source: "Projected Volumes", "Secrets", "ConfigMaps".
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from tiphys.apimachinery.dataclass import dataclass
from tiphys.apimachinery.errors import TiphysError
from tiphys.apimachinery.meta import Object
from tiphys.kubelet.kuberuntime.downward import NodeFacts, PodAddresses, field_value, resource_value
from tiphys.kubelet.volumes.atomic import Payload
from tiphys.kubelet.volumes.trust import NoBundle, trust_anchors

DEFAULT_MODE = 0o644


class VolumeProblem(TiphysError):
    """A volume cannot be set up (yet); the text goes into a FailedMount event."""


Lookup = Callable[[str], Object | None]


@dataclass(frozen=True, slots=True)
class Sources:
    """Where content comes from. Tokens are found by (audience, seconds)."""

    config_map: Lookup
    secret: Lookup
    addresses: PodAddresses
    node: NodeFacts
    token: Callable[[str, int], bytes]
    trust_bundles: Sequence[Object] = ()


def config_map_data(obj: Object) -> dict[str, bytes]:
    """Return all keys of a config map as bytes."""
    data = {key: value.encode() for key, value in (obj.get("data") or {}).items()}
    data.update({key: base64.b64decode(value) for key, value in (obj.get("binaryData") or {}).items()})
    return data


def secret_data(obj: Object) -> dict[str, bytes]:
    """Return all keys of a secret, decoded."""
    return {key: base64.b64decode(value or "") for key, value in (obj.get("data") or {}).items()}


def select_items(
    data: Mapping[str, bytes], items: Iterable[Mapping[str, Any]], mode: int, *, optional: bool
) -> dict[str, Payload]:
    """Return the files for ``items``, or every key without them. Raises VolumeProblem."""
    chosen = list(items)
    if not chosen:
        return {key: Payload(value, mode) for key, value in data.items()}
    files = {}
    for item in chosen:
        if item["key"] not in data:
            if optional:
                continue
            raise VolumeProblem(f"references non-existent config key: {item['key']}")
        own = item.get("mode")
        files[item["path"]] = Payload(data[item["key"]], mode if own is None else own)
    return files


def _from_object(
    kind: str, name: str, source: Mapping[str, Any], mode: int, sources: Sources
) -> dict[str, Payload]:
    found = (sources.config_map if kind == "configmap" else sources.secret)(name)
    optional = bool(source.get("optional"))
    if found is None:
        if optional:
            return {}
        raise VolumeProblem(f'{kind} "{name}" not found')
    data = config_map_data(found) if kind == "configmap" else secret_data(found)
    return select_items(data, source.get("items") or (), mode, optional=optional)


def _downward(
    pod: Object, items: Iterable[Mapping[str, Any]], mode: int, sources: Sources
) -> dict[str, Payload]:
    files = {}
    for item in items:
        own = item.get("mode")
        if field := item.get("fieldRef"):
            text = field_value(pod, field["fieldPath"], sources.addresses)
        else:
            text = resource_value(pod, item["resourceFieldRef"], None, sources.node)
        files[item["path"]] = Payload(text.encode(), mode if own is None else own)
    return files


def _mode(source: Mapping[str, Any]) -> int:
    mode = source.get("defaultMode")
    return DEFAULT_MODE if mode is None else int(mode)


def volume_files(pod: Object, volume: Mapping[str, Any], sources: Sources) -> dict[str, Payload] | None:
    """Return the files of a volume, or None if it is not of a kind made from the API.

    Raises:
        VolumeProblem: something it needs is not there.
    """
    if source := volume.get("configMap"):
        return _from_object("configmap", source.get("name", ""), source, _mode(source), sources)
    if source := volume.get("secret"):
        return _from_object("secret", source.get("secretName", ""), source, _mode(source), sources)
    if (source := volume.get("downwardAPI")) is not None:
        return _downward(pod, source.get("items") or (), _mode(source), sources)
    if (source := volume.get("projected")) is not None:
        files: dict[str, Payload] = {}
        for part in source.get("sources") or ():
            files.update(_projected(pod, part, _mode(source), sources))
        return files
    return None


def _projected(pod: Object, part: Mapping[str, Any], mode: int, sources: Sources) -> dict[str, Payload]:
    if source := part.get("configMap"):
        return _from_object("configmap", source.get("name", ""), source, mode, sources)
    if source := part.get("secret"):
        return _from_object("secret", source.get("name", ""), source, mode, sources)
    if (source := part.get("downwardAPI")) is not None:
        return _downward(pod, source.get("items") or (), mode, sources)
    if source := part.get("serviceAccountToken"):
        return {source["path"]: _token(pod, source, mode, sources)}
    if source := part.get("clusterTrustBundle"):
        try:
            anchors = trust_anchors(source, sources.trust_bundles)
        except NoBundle as error:
            raise VolumeProblem(str(error)) from error
        return {source["path"]: _for_its_user(pod, anchors, mode)}
    raise VolumeProblem("unsupported projected volume source")


def _token(pod: Object, source: Mapping[str, Any], mode: int, sources: Sources) -> Payload:
    token = sources.token(source.get("audience") or "", int(source.get("expirationSeconds") or 3600))
    return _for_its_user(pod, token, mode)


def _for_its_user(pod: Object, data: bytes, mode: int) -> Payload:
    """A file is for its user alone as soon as it is known who that is."""
    context = pod["spec"].get("securityContext") or {}
    users = {
        (item.get("securityContext") or {}).get("runAsUser", context.get("runAsUser"))
        for item in [*(pod["spec"].get("initContainers") or ()), *pod["spec"]["containers"]]
    }
    user = users.pop() if len(users) == 1 else None
    if context.get("fsGroup") is not None or user is not None:
        return Payload(data, 0o600, user)
    return Payload(data, mode)


def references(pod: Object) -> tuple[set[str], set[str]]:
    """Return the names of config maps and secrets that the pod's volumes read."""
    config_maps: set[str] = set()
    secrets: set[str] = set()
    for volume in pod["spec"].get("volumes") or ():
        parts = [volume, *((volume.get("projected") or {}).get("sources") or ())]
        for part in parts:
            if source := part.get("configMap"):
                config_maps.add(source.get("name", ""))
            if source := part.get("secret"):
                secrets.add(source.get("secretName") or source.get("name", ""))
    return config_maps, secrets
