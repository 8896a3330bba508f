"""The environment of a container: its own variables, those of services, and ``$(NAME)``. Pure.

Sources that live in the API (config maps, secrets) are handed in; a missing one is an ``EnvProblem``, which
stops the container until it is there.
Source: "Define environment variables for a container", "Service environment variables".
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import field
from typing import Any

from tiphys.apimachinery.dataclass import dataclass
from tiphys.apimachinery.errors import TiphysError
from tiphys.apimachinery.meta import Object
from tiphys.kubelet.kuberuntime.downward import NodeFacts, PodAddresses, field_value, resource_value
from tiphys.kubelet.kuberuntime.env_files import EnvFileFault, value_in

_REFERENCE = re.compile(r"\$(?:\$|\(([^()$]*)\))")
_MASTER_SERVICE = ("default", "kubernetes")


class EnvProblem(TiphysError):
    """The environment cannot be made; the text goes into the container's waiting message."""


@dataclass(frozen=True, slots=True)
class EnvFile:
    """A file of variables: where it lies on the node, and its text; None where it cannot be read."""

    path: str
    text: str | None


@dataclass(frozen=True, slots=True)
class EnvSources:
    """What variables may be taken from; None stands for an object that does not exist."""

    config_maps: Mapping[str, Object | None] = field(default_factory=dict)
    secrets: Mapping[str, Mapping[str, bytes] | None] = field(default_factory=dict)
    services: Iterable[Object] = ()
    addresses: PodAddresses = field(default_factory=PodAddresses)
    node: NodeFacts = field(default_factory=NodeFacts)
    files: Mapping[tuple[str, str], EnvFile] = field(default_factory=dict)
    """By volume and path in it."""


def expand(text: str, values: Mapping[str, str]) -> str:
    """Replace ``$(NAME)`` by its value; ``$$`` is a dollar, unknown names stay as they are."""

    def one(match: re.Match[str]) -> str:
        if match[0] == "$$":
            return "$"
        return values.get(match[1], match[0])

    return _REFERENCE.sub(one, text)


def references(text: str) -> list[str]:
    """Return the names that ``expand`` would look up."""
    return [match[1] for match in _REFERENCE.finditer(text) if match[0] != "$$"]


def _env_name(name: str) -> str:
    return name.upper().replace("-", "_")


def service_env(services: Iterable[Object], namespace: str, *, links: bool) -> dict[str, str]:
    """Return the variables for services with an address; without ``links`` only kubernetes' own."""
    chosen: dict[str, Object] = {}
    for service in services:
        meta = service["metadata"]
        if service["spec"].get("clusterIP") in (None, "", "None"):
            continue
        key = (meta["namespace"], meta["name"])
        if key == _MASTER_SERVICE:
            chosen.setdefault(meta["name"], service)
        elif meta["namespace"] == namespace and links:
            chosen[meta["name"]] = service
    result: dict[str, str] = {}
    for name in sorted(chosen):
        result.update(_one_service(chosen[name]))
    return result


def _one_service(service: Object) -> dict[str, str]:
    prefix = _env_name(service["metadata"]["name"])
    host = service["spec"]["clusterIP"]
    ports = service["spec"].get("ports") or []
    if not ports:
        return {}
    bracketed = f"[{host}]" if ":" in host else host
    result = {f"{prefix}_SERVICE_HOST": host, f"{prefix}_SERVICE_PORT": str(ports[0]["port"])}
    for port in ports:
        if port.get("name"):
            result[f"{prefix}_SERVICE_PORT_{_env_name(port['name'])}"] = str(port["port"])
    for index, port in enumerate(ports):
        protocol = port.get("protocol") or "TCP"
        number = port["port"]
        url = f"{protocol.lower()}://{bracketed}:{number}"
        if index == 0:
            result[f"{prefix}_PORT"] = url
        link = f"{prefix}_PORT_{number}_{protocol.upper()}"
        result[link] = url
        result[f"{link}_PROTO"] = protocol.lower()
        result[f"{link}_PORT"] = str(number)
        result[f"{link}_ADDR"] = host
    return result


def _from_source(item: dict[str, Any], sources: EnvSources) -> dict[str, str]:
    """Return the variables of one ``envFrom`` entry."""
    prefix = item.get("prefix") or ""
    if reference := item.get("configMapRef"):
        config_map = sources.config_maps.get(reference["name"])
        if config_map is None:
            if reference.get("optional"):
                return {}
            raise EnvProblem(f'configmap "{reference["name"]}" not found')
        return {prefix + key: value for key, value in (config_map.get("data") or {}).items()}
    if reference := item.get("secretRef"):
        secret = sources.secrets.get(reference["name"])
        if secret is None:
            if reference.get("optional"):
                return {}
            raise EnvProblem(f'secret "{reference["name"]}" not found')
        return {prefix + key: value.decode(errors="replace") for key, value in secret.items()}
    return {}


def _key_value(
    reference: dict[str, Any], found: Mapping[str, Any] | None, what: str, namespace: str
) -> str | None:
    """Return the value under a key; None when it is absent and may be."""
    name, key = reference.get("name", ""), reference["key"]
    if found is None:
        if reference.get("optional"):
            return None
        raise EnvProblem(f'{what.lower()} "{name}" not found')
    if key not in found:
        if reference.get("optional"):
            return None
        raise EnvProblem(f"couldn't find key {key} in {what} {namespace}/{name}")
    value = found[key]
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


def _value_from(
    pod: Object, container: dict[str, Any], source: dict[str, Any], sources: EnvSources
) -> str | None:
    namespace = pod["metadata"]["namespace"]
    if reference := source.get("fieldRef"):
        return field_value(pod, reference["fieldPath"], sources.addresses)
    if reference := source.get("resourceFieldRef"):
        return resource_value(pod, reference, container, sources.node)
    if reference := source.get("configMapKeyRef"):
        config_map = sources.config_maps.get(reference["name"])
        data = None if config_map is None else config_map.get("data") or {}
        return _key_value(reference, data, "ConfigMap", namespace)
    if reference := source.get("secretKeyRef"):
        return _key_value(reference, sources.secrets.get(reference["name"]), "Secret", namespace)
    if reference := source.get("fileKeyRef"):
        return _in_file(reference, sources.files.get((reference["volumeName"], reference["path"])))
    raise EnvProblem("unsupported valueFrom source")


def _in_file(reference: dict[str, Any], file: EnvFile | None) -> str | None:
    if file is None:
        raise EnvProblem(f'cannot find the volume "{reference["volumeName"]}" referenced by FileKeyRef')
    if file.text is None:  # a file must be there, whatever may lack in it
        raise EnvProblem("couldn't parse env file")
    try:
        value = value_in(file.text, reference["key"])
    except EnvFileFault as fault:
        raise EnvProblem("couldn't parse env file") from fault
    if value or reference.get("optional"):
        return value or None
    raise EnvProblem(f'environment variable key "{reference["key"]}" not found in file "{file.path}"')


def make_env(pod: Object, container: dict[str, Any], sources: EnvSources) -> dict[str, str]:
    """Return every variable in the order of precedence: services, ``envFrom``, ``env``.

    Raises:
        EnvProblem: a config map, secret, key or field that must be there is not.
    """
    links = pod["spec"].get("enableServiceLinks", True)
    services = service_env(sources.services, pod["metadata"]["namespace"], links=links is not False)
    own: dict[str, str] = {}
    for item in container.get("envFrom") or ():
        own.update(_from_source(item, sources))
    for item in container.get("env") or ():
        name = item["name"]
        if source := item.get("valueFrom"):
            value = _value_from(pod, container, source, sources)
            if value is not None:
                own[name] = value
        else:
            own[name] = expand(item.get("value") or "", {**services, **own})
    return {**services, **own}


def referenced(container: dict[str, Any]) -> tuple[set[str], set[str]]:
    """Return the names of config maps and of secrets that a container's environment reads."""
    config_maps: set[str] = set()
    secrets: set[str] = set()
    for item in container.get("envFrom") or ():
        config_maps.update(item[key]["name"] for key in ("configMapRef",) if item.get(key))
        secrets.update(item[key]["name"] for key in ("secretRef",) if item.get(key))
    for item in container.get("env") or ():
        source = item.get("valueFrom") or {}
        config_maps.update(source[key]["name"] for key in ("configMapKeyRef",) if source.get(key))
        secrets.update(source[key]["name"] for key in ("secretKeyRef",) if source.get(key))
    return config_maps, secrets


def files_of(container: dict[str, Any]) -> set[tuple[str, str]]:
    """Return the volumes, and paths in them, of the files that a container's environment reads."""
    wanted = [(item.get("valueFrom") or {}).get("fileKeyRef") for item in container.get("env") or ()]
    return {(one["volumeName"], one["path"]) for one in wanted if one}
