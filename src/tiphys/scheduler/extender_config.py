"""Reads the ``extenders`` of a KubeSchedulerConfiguration: HTTP services that judge nodes and bind pods.

Pure. Source: kubescheduler.config.k8s.io/v1, Extender.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable
from dataclasses import field
from typing import Any

from tiphys.apimachinery.cel.values import parse_duration
from tiphys.apimachinery.dataclass import dataclass
from tiphys.apimachinery.names import is_qualified_name

_FIELDS = {
    *("urlPrefix", "filterVerb", "prioritizeVerb", "weight", "bindVerb", "enableHTTPS", "tlsConfig"),
    *("httpTimeout", "nodeCacheCapable", "managedResources", "ignorable", "preemptVerb"),
}
_TLS_FIELDS = {
    *("insecure", "serverName", "certFile", "keyFile", "caFile", "certData", "keyData", "caData"),
}
_TIMEOUT_S = 5.0


@dataclass(frozen=True, slots=True)
class Tls:
    """How to speak to an extender over HTTPS. Files are read when it is first called."""

    insecure: bool = False
    server_name: str = ""
    files: tuple[str, str, str] = ("", "", "")
    """Of the CA, the certificate and its key."""
    data: tuple[bytes, bytes, bytes] = (b"", b"", b"")


@dataclass(frozen=True, slots=True)
class ExtenderSettings:
    """One extender. A verb that is empty is not its business."""

    url: str
    filter_verb: str = ""
    prioritize_verb: str = ""
    preempt_verb: str = ""
    bind_verb: str = ""
    weight: int = 0
    timeout_s: float = _TIMEOUT_S
    caches_nodes: bool = False
    """It is told names of nodes only."""
    managed: frozenset[str] = frozenset()
    """Extended resources; pods that ask for none of them do not concern it (empty: all do)."""
    unchecked: frozenset[str] = frozenset()
    """Those of them that the scheduler does not count."""
    ignorable: bool = False
    secure: bool = False
    tls: Tls = field(default=Tls())

    def concerns(self, spec: dict[str, Any]) -> bool:
        """Say whether a pod with that spec is the extender's business."""
        if not self.managed:
            return True
        return any(
            not self.managed.isdisjoint((container.get("resources") or {}).get(part) or ())
            for container in (*(spec.get("containers") or ()), *(spec.get("initContainers") or ()))
            for part in ("requests", "limits")
        )


def read_extenders(raw: Iterable[dict[str, Any]], faults: list[str]) -> tuple[ExtenderSettings, ...]:
    """Read the list; faults are added to ``faults``."""
    found: list[ExtenderSettings] = []
    names: set[str] = set()
    for index, one in enumerate(raw):
        path = f"extenders[{index}]"
        faults += [f'unknown field "{path}.{name}"' for name in sorted(one.keys() - _FIELDS)]
        _check_resources(one.get("managedResources") or (), f"{path}.managedResources", names, faults)
        weight = int(one.get("weight") or 0)
        if one.get("prioritizeVerb") and weight <= 0:
            faults.append(
                f"{path}.weight: Invalid value: {weight}: must have a positive weight applied to it"
            )
        found.append(_read(one, path, weight, faults))
    binders = sum(bool(one.bind_verb) for one in found)
    if binders > 1:
        faults.append(
            f'extenders: Invalid value: "found {binders} extenders implementing bind": '
            "only one extender can implement bind"
        )
    return tuple(found)


def _read(one: dict[str, Any], path: str, weight: int, faults: list[str]) -> ExtenderSettings:
    managed = [entry for entry in one.get("managedResources") or () if entry.get("name")]
    return ExtenderSettings(
        url=str(one.get("urlPrefix") or "").rstrip("/"),
        filter_verb=str(one.get("filterVerb") or ""),
        prioritize_verb=str(one.get("prioritizeVerb") or ""),
        preempt_verb=str(one.get("preemptVerb") or ""),
        bind_verb=str(one.get("bindVerb") or ""),
        weight=weight,
        timeout_s=_timeout_s(one.get("httpTimeout"), f"{path}.httpTimeout", faults),
        caches_nodes=bool(one.get("nodeCacheCapable")),
        managed=frozenset(entry["name"] for entry in managed),
        unchecked=frozenset(entry["name"] for entry in managed if entry.get("ignoredByScheduler")),
        ignorable=bool(one.get("ignorable")),
        secure=bool(one.get("enableHTTPS")),
        tls=_tls(one.get("tlsConfig") or {}, f"{path}.tlsConfig", faults),
    )


def _check_resources(raw: Iterable[dict[str, Any]], path: str, names: set[str], faults: list[str]) -> None:
    for index, one in enumerate(raw):
        name, at = str(one.get("name") or ""), f"{path}[{index}].name"
        wrong = [f'{at}: Invalid value: "{name}": {text}' for text in is_qualified_name(name)]
        if not wrong and not _is_extended(name):
            wrong.append(f'{at}: Invalid value: "{name}": is an invalid extended resource name')
        if name in names:
            wrong.append(f'{at}: Invalid value: "{name}": duplicate extender managed resource name')
        names.add(name)
        faults += wrong


def _is_extended(name: str) -> bool:
    domain, slash, _ = name.partition("/")
    native = not slash or domain == "kubernetes.io" or domain.endswith(".kubernetes.io")
    return not native and not name.startswith("requests.")


def _timeout_s(text: object, path: str, faults: list[str]) -> float:
    if not text:
        return _TIMEOUT_S
    try:
        return parse_duration(str(text)).nanoseconds / 1e9 or _TIMEOUT_S
    except ValueError:
        faults.append(f'{path}: Invalid value: "{text}": time: invalid duration "{text}"')
        return _TIMEOUT_S


def _tls(raw: dict[str, Any], path: str, faults: list[str]) -> Tls:
    faults += [f'unknown field "{path}.{name}"' for name in sorted(raw.keys() - _TLS_FIELDS)]
    data = []
    for name in ("caData", "certData", "keyData"):
        try:
            data.append(base64.b64decode(str(raw.get(name) or ""), validate=True))
        except ValueError:
            faults.append(f"{path}.{name}: Invalid value: illegal base64 data")
            data.append(b"")
    files = [str(raw.get(name) or "") for name in ("caFile", "certFile", "keyFile")]
    return Tls(
        bool(raw.get("insecure")),
        str(raw.get("serverName") or ""),
        (files[0], files[1], files[2]),
        (data[0], data[1], data[2]),
    )
