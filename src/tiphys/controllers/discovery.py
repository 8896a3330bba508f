"""Which resources the server has right now: groups, versions, kinds, verbs. For GC and namespace deletion.

Reads aggregated discovery where the server speaks it, else the documents of each group.
"""

from __future__ import annotations

from typing import Any

import orjson

from tiphys.apimachinery.dataclass import dataclass
from tiphys.apimachinery.errors import StatusError
from tiphys.apimachinery.meta import GVK, GVR, split_api_version
from tiphys.client.rest import Client
from tiphys.client.transport import Answer, Call

_AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json"
_NOT_MODIFIED = 304


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
    """``resources`` holds every version, a group's preferred one first; ``failed`` what is missing: why."""

    resources: tuple[ServedResource, ...]
    failed: tuple[str, ...] = ()

    def preferred(self) -> list[ServedResource]:
        """Each resource once, at its group's first version."""
        found: dict[tuple[str, str], ServedResource] = {}
        for item in self.resources:
            found.setdefault((item.gvr.group, item.gvr.resource), item)
        return list(found.values())


class Discovery:
    """What a server serves, by the ETags of its documents: what is unchanged is neither sent nor read."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._parts: dict[str, tuple[str, Discovered]] = {}
        self._whole: tuple[list[Discovered], Discovered] | None = None

    async def look(self) -> Discovered:
        """Ask the server; the very same answer while it tells of no change.

        Raises StatusError, TransportError when even the lists of groups cannot be read.
        """
        parts = [await self._part("/api"), await self._part("/apis")]
        if self._whole is None or any(new is not old for new, old in zip(parts, self._whole[0], strict=True)):
            resources = tuple(item for part in parts for item in part.resources)
            failed = tuple(name for part in parts for name in part.failed)
            self._whole = parts, Discovered(resources, failed)
        return self._whole[1]

    async def _part(self, path: str) -> Discovered:
        tag, known = self._parts.get(path, ("", None))
        answer = await _ask(self._client, path, tag)
        if answer.status == _NOT_MODIFIED and known is not None:
            return known
        part = await _read(self._client, path, orjson.loads(answer.body))
        if tag := answer.headers.get("etag", ""):
            self._parts[path] = tag, part
        else:
            self._parts.pop(path, None)
        return part


async def discover(client: Client) -> Discovered:
    """Ask the server once. Raises StatusError, TransportError as ``Discovery.look``."""
    return await Discovery(client).look()


async def _read(client: Client, path: str, document: dict[str, Any]) -> Discovered:
    resources: list[ServedResource] = []
    failed: list[str] = []
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


async def _ask(client: Client, path: str, tag: str = "") -> Answer:
    headers = {"Accept": _AGGREGATED} | ({"If-None-Match": tag} if tag else {})
    return await client.send(Call("GET", path, headers=headers))


def _preferred_first(group: dict[str, Any]) -> list[str]:
    first = (group.get("preferredVersion") or {}).get("groupVersion")
    versions = [item["groupVersion"] for item in group.get("versions") or ()]
    return sorted(versions, key=lambda version: version != first)


async def _read_version(
    client: Client, path: str, resources: list[ServedResource], failed: list[str]
) -> None:
    try:
        answer = await _ask(client, path)
    except StatusError as error:
        failed.append(f"{path.removeprefix('/apis/').removeprefix('/api/')}: {error}")
        return
    document = orjson.loads(answer.body)
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
                stale = f"{name}/{version['version']}"
                failed.append(f"{stale}: stale GroupVersion discovery: {stale}")
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
