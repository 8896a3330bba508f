"""``/apis`` and ``/apis/<group>`` where some groups are served elsewhere: local and remote ones together.

Owns: the documents and their encoding. Refuses: ``/apis/<group>/<version>`` of remote APIs, which is passed
on to them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from tiphys.apimachinery.dataclass import dataclass
from tiphys.apimachinery.meta import Object
from tiphys.apis import discovery_docs
from tiphys.apis.table import ResourceTable, version_rank
from tiphys.apiserver.discovery import encoded, format_of, unless_known
from tiphys.apiserver.negotiation import NO_PEERS, Format
from tiphys.apiserver.peers.merging import Groups, merged
from tiphys.wire.message import Request, Response

PeerGroups = Callable[[], Mapping[str, Groups]]


@dataclass(frozen=True, slots=True)
class Remote:
    """One remote group version: its APIService's spec and the resources last seen."""

    spec: Object
    resources: list[Object]
    fresh: bool

    @property
    def group(self) -> str:
        return str(self.spec["group"])

    @property
    def version(self) -> str:
        return str(self.spec["version"])


class Documents:
    """Answers of a server with remote APIs, each encoded once until something of it changes."""

    def __init__(self, table: ResourceTable, remotes: Callable[[], list[Remote]]) -> None:
        self._table = table
        self.peers: PeerGroups | None = None
        """What of other servers is shown; None: they are not known."""
        self._find = remotes
        self._remotes: list[Remote] = []
        self._revision = -1
        self._encoded: dict[tuple[str, Format], Response] = {}

    def forget(self) -> None:
        """Begin anew: remote APIs are others now."""
        self._revision = -1

    def answer(self, request: Request, rest: list[str]) -> Response | None:
        """Answer ``/apis`` (``rest`` empty) or ``/apis/<group>``; None where no remote API is concerned."""
        if self._revision != self._table.revision:
            self._encoded.clear()
            self._remotes = self._find()
            self._revision = self._table.revision
        name = rest[0] if rest else ""
        if name and all(remote.group != name for remote in self._remotes):
            return None
        form = format_of(request, aggregated=not name)
        found = self._encoded.get((name, form))
        if found is None:
            found = self._encoded[name, form] = encoded(self._document(name, form), form)
        return unless_known(request, found)

    def _document(self, name: str, form: Format) -> Object:
        document = _document(self._table, self._remotes, name, form)
        if self.peers is not None and form.transform_version == "v2" and form.profile != NO_PEERS:
            document["items"] = merged(document["items"], self.peers())
        return document


def _document(table: ResourceTable, remotes: list[Remote], name: str, form: Format) -> Object:
    if name:
        group = next(item for item in _groups(table, remotes) if item["name"] == name)
        return {"kind": "APIGroup", "apiVersion": "v1", **group}
    if form.transform:
        return _aggregated(table, remotes, form.transform_version)
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": _groups(table, remotes)}


def _by_group(remotes: list[Remote]) -> dict[str, list[Remote]]:
    found: dict[str, list[Remote]] = {}
    ordered = sorted(remotes, key=lambda one: (-one.spec["versionPriority"], version_rank(one.version)))
    for remote in ordered:
        found.setdefault(remote.group, []).append(remote)
    return found


def _merged(
    table: ResourceTable, remotes: list[Remote], local: dict[str, Object], make: Any, blank: Any
) -> list[Object]:
    """Return groups in order of priority, each with its local versions and then the remote ones."""
    groups = dict(local)
    priority = {name: table.group_priority(name) for name in local}
    for name, members in _by_group(remotes).items():
        group = dict(groups.get(name) or blank(name))
        group["versions"] = [*group["versions"], *(make(member) for member in members)]
        groups[name] = group
        most = max(int(member.spec["groupPriorityMinimum"]) for member in members)
        priority[name] = max(priority.get(name, 0), most)
    return [groups[name] for name in sorted(groups, key=lambda name: -priority[name])]


def _groups(table: ResourceTable, remotes: list[Remote]) -> list[Object]:
    local = {group["name"]: group for group in discovery_docs.group_list(table)["groups"]}

    def version(remote: Remote) -> Object:
        return {"groupVersion": f"{remote.group}/{remote.version}", "version": remote.version}

    groups = _merged(table, remotes, local, version, lambda name: {"name": name, "versions": []})
    return [{**group, "preferredVersion": group["versions"][0]} for group in groups]


def _aggregated(table: ResourceTable, remotes: list[Remote], version: str) -> Object:
    document = discovery_docs.aggregated(table, core=False, version=version)
    local = {item["metadata"]["name"]: item for item in document["items"]}

    def blank(name: str) -> Object:
        return {"metadata": {"name": name}, "versions": []}

    document["items"] = _merged(table, remotes, local, _version_entry, blank)
    return document


def _version_entry(remote: Remote) -> Object:
    subresources: dict[str, list[Object]] = {}
    for one in remote.resources:
        plural, slash, name = str(one["name"]).partition("/")
        if slash:
            entry = {"subresource": name, "responseKind": _kind(one, remote), "verbs": one.get("verbs") or []}
            subresources.setdefault(plural, []).append(entry)
    entries = [_resource(one, remote) for one in remote.resources if "/" not in one["name"]]
    for entry in entries:
        if subresources.get(entry["resource"]):
            entry["subresources"] = subresources[entry["resource"]]
    freshness = "Current" if remote.fresh else "Stale"
    return {"version": remote.version, "resources": entries, "freshness": freshness}


def _resource(one: Object, remote: Remote) -> Object:
    entry: Object = {
        "resource": one["name"],
        "responseKind": _kind(one, remote),
        "scope": "Namespaced" if one.get("namespaced") else "Cluster",
        "singularResource": one.get("singularName") or "",
        "verbs": one.get("verbs") or [],
    }
    for key in ("shortNames", "categories"):
        if one.get(key):
            entry[key] = one[key]
    return entry


def _kind(one: Object, remote: Remote) -> Object:
    return {
        "group": one.get("group") or remote.group,
        "version": one.get("version") or remote.version,
        "kind": one.get("kind") or "",
    }
