"""Which resources the server has right now: groups, versions, kinds, verbs. For GC and namespace deletion.

Reads aggregated discovery where the server speaks it, else the documents of each group.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import orjson

from tiphys.apimachinery.errors import StatusError
from tiphys.apimachinery.meta import GVK, GVR, split_api_version
from tiphys.client.rest import Client
from tiphys.client.transport import Call

_AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json"


@dataclass(frozen=True, slots=True)
class ServedResource:
    gvr: GVR
    kind: str
    namespaced: bool
    verbs: frozenset[str]

    @property
    def gvk(self) -> GVK:
        return GVK(self.gvr.group, self.gvr.version, self.kind)


@dataclass(frozen=True, slots=True)
class Discovered:
    """``resources`` holds every version, a group's preferred one first; ``failed`` the unreachable groups."""

    resources: tuple[ServedResource, ...]
    failed: tuple[str, ...] = ()

    def preferred(self) -> list[ServedResource]:
        """Each resource once, at its group's first version."""
        found: dict[tuple[str, str], ServedResource] = {}
        for item in self.resources:
            found.setdefault((item.gvr.group, item.gvr.resource), item)
        return list(found.values())


async def discover(client: Client) -> Discovered:
    """Ask the server. Raises StatusError, TransportError when even the lists of groups cannot be read."""
    resources: list[ServedResource] = []
    failed: list[str] = []
    for path in ("/api", "/apis"):
        document = await _get(client, path)
        if document.get("kind") == "APIGroupDiscoveryList":
            _read_aggregated(document, resources, failed)
        elif path == "/api":
            for version in document.get("versions") or ():
                await _read_version(client, f"/api/{version}", resources, failed)
        else:
            for group in document.get("groups") or ():
                for version in _preferred_first(group):
                    await _read_version(client, f"/apis/{version}", resources, failed)
    return Discovered(tuple(resources), tuple(failed))


async def _get(client: Client, path: str) -> dict[str, Any]:
    answer = await client.send(Call("GET", path, headers={"Accept": _AGGREGATED}))
    document: dict[str, Any] = orjson.loads(answer.body)
    return document


def _preferred_first(group: dict[str, Any]) -> list[str]:
    first = (group.get("preferredVersion") or {}).get("groupVersion")
    versions = [item["groupVersion"] for item in group.get("versions") or ()]
    return sorted(versions, key=lambda version: version != first)


async def _read_version(
    client: Client, path: str, resources: list[ServedResource], failed: list[str]
) -> None:
    try:
        document = await _get(client, path)
    except StatusError:
        failed.append(path.removeprefix("/apis/").removeprefix("/api/"))
        return
    group, version = split_api_version(document["groupVersion"])
    for item in document.get("resources") or ():
        if "/" not in item["name"]:
            gvr = GVR(group, version, item["name"])
            verbs = frozenset(item.get("verbs") or ())
            resources.append(ServedResource(gvr, item["kind"], bool(item.get("namespaced")), verbs))


def _read_aggregated(document: dict[str, Any], resources: list[ServedResource], failed: list[str]) -> None:
    for group in document.get("items") or ():
        name = group["metadata"].get("name") or ""
        for version in group.get("versions") or ():
            if version.get("freshness") == "Stale":
                failed.append(f"{name}/{version['version']}")
                continue
            resources.extend(
                ServedResource(
                    GVR(name, version["version"], item["resource"]),
                    item["responseKind"]["kind"],
                    item.get("scope") == "Namespaced",
                    frozenset(item.get("verbs") or ()),
                )
                for item in version.get("resources") or ()
            )
