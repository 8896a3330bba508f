"""``--runtime-config``: which versions and resources an API server does not serve. Pure.

Owns: the keys (``api/all``, ``api/beta``, ``group/version``, ``group/version/resource``), their order of
precedence and upstream's words for wrong ones. Refuses: serving; it names rows, ``ResourceTable.hide`` hides.
Finished versions are served unless a key turns them off, alpha and beta ones only where a key turns them on;
what belongs to a feature whose gate is off is served in neither case.

Source: "API Overview: API versioning", "Feature Gates"; KEP-3136 (beta APIs are off by default).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from tiphys.apimachinery.featuregates import FeatureGates
from tiphys.apimachinery.go_text import BOOLS, bool_fault
from tiphys.apimachinery.meta import GVR
from tiphys.apis.table import ResourceTable

_STAGES: Final = {
    "api/all": re.compile(r".*"),
    "api/ga": re.compile(r"v\d+"),
    "api/beta": re.compile(r"v\d+beta\d+"),
    "api/alpha": re.compile(r"v\d+alpha\d+"),
}
_GATES: Final[Mapping[tuple[str, str], str]] = {
    ("certificates.k8s.io", "clustertrustbundles"): "ClusterTrustBundle",
    ("certificates.k8s.io", "podcertificaterequests"): "PodCertificateRequest",
    ("resource.k8s.io", "resourcepoolstatusrequests"): "DRAResourcePoolStatus",
    ("scheduling.k8s.io", "podgroups"): "GenericWorkload",
    ("scheduling.k8s.io", "workloads"): "GenericWorkload",
    ("storagemigration.k8s.io", "storageversionmigrations"): "StorageVersionMigrator",
}
"""Kinds that are served only while a feature is on, whatever the configuration says of their versions."""


class RuntimeConfigError(ValueError):
    """A key or value that means nothing. Its text is upstream's."""


def parse(text: str) -> dict[str, str]:
    """Read ``key=value`` by commas; a key alone turns on."""
    pairs = (part.strip().partition("=") for part in text.split(",") if part.strip())
    return {key: value.strip() for key, _, value in pairs}


def hidden(table: ResourceTable, config: Mapping[str, str]) -> frozenset[GVR]:
    """Return the rows that the configuration keeps from being served. Raises RuntimeConfigError."""
    _check(table, config)
    served = {row.gvr: _STAGES["api/ga"].fullmatch(row.gvr.version) is not None for row in table}
    for stage, pattern in _STAGES.items():
        if stage in config:
            value = _stage_value(stage, config[stage])
            served |= {gvr: value for gvr in served if pattern.fullmatch(gvr.version)}
    for depth in (2, 3):  # what names a resource beats what names its version
        for key, text in config.items():
            parts = key.split("/")
            if key not in _STAGES and len(parts) == depth:
                value = _value(key, text)
                served |= {gvr: value for gvr in served if [*gvr][:depth] == parts}
    return frozenset(gvr for gvr, value in served.items() if not value)


def gated(table: ResourceTable, gates: FeatureGates) -> frozenset[GVR]:
    """Return the rows that belong to features whose gates are off."""
    off = {kind for kind, gate in _GATES.items() if not gates.enabled(gate)}
    return frozenset(row.gvr for row in table if (row.group, row.plural.partition("/")[0]) in off)


def _check(table: ResourceTable, config: Mapping[str, str]) -> None:
    if dict(config) == {"api/all": "false"}:
        raise RuntimeConfigError("invalid key with only api/all=false")
    named = [key for key in config if key not in _STAGES]
    known = {row.group: set(table.versions(row.group)) for row in table}
    for key in named:
        if len(key.split("/")) not in (2, 3):
            raise RuntimeConfigError(f"runtime-config invalid key {key}")
    unknown = [group for group in (key.split("/")[0] for key in named) if group not in known]
    if unknown:
        raise RuntimeConfigError(f"unknown api groups {','.join(unknown)}")
    for key in named:
        group, version, *resource = key.split("/")
        if version not in known[group]:
            shown = f"{group}/{version}" if group else version
            raise RuntimeConfigError(f"group version {shown} that has not been registered")
        if resource and resource[0] != resource[0].lower():
            raise RuntimeConfigError(
                f"invalid key {key}: group/version/resource and resource is always lowercase plural, "
                f'not "{resource[0]}"'
            )


def _stage_value(stage: str, text: str) -> bool:
    if text not in ("true", "false"):
        raise RuntimeConfigError(f"invalid value {stage}={text}")
    return text == "true"


def _value(key: str, text: str) -> bool:
    if not text:
        return True
    if fault := bool_fault(text):
        raise RuntimeConfigError(f"invalid value of {key}: {text}, err: {fault}")
    return BOOLS[text]
