"""``/apis`` and ``/apis/<group>`` where some groups are served elsewhere: local and remote ones together.

Owns: the documents and their encoding. Refuses: ``/apis/<group>/<version>`` of remote APIs, which is passed
on to them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from tiphys.apimachinery.dataclass import dataclass
from tiphys.apimachinery.meta import Object
from tiphys.apis import discovery_docs
from tiphys.apis.table import ResourceTable, version_rank
from tiphys.apiserver.aggregation.counts import Counts
from tiphys.apiserver.aggregation.objects import local_priority
from tiphys.apiserver.endpoints.discovery import encoded, format_of, unless_known
from tiphys.apiserver.endpoints.negotiation import NO_PEERS, Format
from tiphys.apiserver.peers.merging import Groups, merged
from tiphys.wire.message import Request, Response

Make = Callable[["Remote"], Object]
PeerGroups = Callable[[], Mapping[str, Groups]]


@dataclass(frozen=True, slots=True)
class Remote:
    """One remote group version: its APIService's spec and what its server says of it, if that is known."""

    spec: Object
    resources: list[Object]
    fresh: bool
    entry: Object | None = None
    """What its aggregated discovery has, in the place of ``resources``."""

    @property
    def group(self) -> str:
        return str(self.spec.get("group") or "")

    @property
    def version(self) -> str:
        return str(self.spec["version"])


class Documents:
    """Answers of a server with remote APIs, each encoded once until something of it changes."""

    def __init__(self, table: ResourceTable, remotes: Callable[[], list[Remote]]) -> None:
        self._table = table
        self.counts = Counts()
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
        if form.transform:
            self._count(form, made=found is None)
        if found is None:
            found = self._encoded[name, form] = encoded(self._document(name, form), form)
        return unless_known(request, found)

    def _shows_peers(self, form: Format) -> bool:
        return self.peers is not None and form.transform_version == "v2" and form.profile != NO_PEERS

    def _count(self, form: Format, *, made: bool) -> None:
        counts = self.counts
        counts.without_peers += form.profile == NO_PEERS
        if self._shows_peers(form):
            counts.peers_joined += made
            counts.peers_known += not made
        counts.aggregated += made

    def _document(self, name: str, form: Format) -> Object:
        document = _document(self._table, self._remotes, name, form)
        if self.peers is not None and form.transform and self._shows_peers(form):
            document["items"] = merged(document["items"], self.peers())
        return document


def _document(table: ResourceTable, remotes: list[Remote], name: str, form: Format) -> Object:
    if name:
        group = next(item for item in _groups(table, remotes) if item["name"] == name)
        return {"kind": "APIGroup", "apiVersion": "v1", **group}
    if form.transform:
        return _aggregated(table, remotes, form.transform_version)
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": _groups(table, remotes)}


@dataclass(frozen=True, slots=True)
class _Version:
    """One version of a group: what is said of it, and how much it counts."""

    name: str
    entry: Object
    group_priority: int
    priority: int


def _in_order(
    groups: dict[str, dict[str, _Version]], *, by_service: bool
) -> list[tuple[str, list[_Version]]]:
    """Return groups by priority, each with its versions by theirs.

    Of groups that count the same the first is that of the first APIService by name, or the first by name.
    """

    def rank(name: str) -> tuple[int, str]:
        versions = groups[name].values()
        most = max(one.group_priority for one in versions)
        services = [f"{one.name}.{name}" for one in versions if one.group_priority == most]
        return -most, min(services) if by_service else name

    return [
        (name, sorted(groups[name].values(), key=lambda one: (-one.priority, version_rank(one.name))))
        for name in sorted(groups, key=rank)
    ]


def _joined(
    table: ResourceTable, remotes: list[Remote], local: dict[str, list[tuple[str, Object]]], make: Make
) -> dict[str, dict[str, _Version]]:
    """Return the versions of each group, local ones but where a remote one took their place."""
    groups: dict[str, dict[str, _Version]] = {}
    for group, versions in local.items():
        for version, entry in versions:
            own = local_priority(table, group, version)
            groups.setdefault(group, {})[version] = _Version(version, entry, *own)
    for remote in remotes:
        least, priority = int(remote.spec["groupPriorityMinimum"]), int(remote.spec["versionPriority"])
        made = _Version(remote.version, make(remote), least, priority)
        groups.setdefault(remote.group, {})[remote.version] = made
    return groups


def _groups(table: ResourceTable, remotes: list[Remote]) -> list[Object]:
    local = {
        group["name"]: [(one["version"], one) for one in group["versions"]]
        for group in discovery_docs.group_list(table)["groups"]
    }

    def make(remote: Remote) -> Object:
        return {"groupVersion": f"{remote.group}/{remote.version}", "version": remote.version}

    found = []
    for name, versions in _in_order(_joined(table, remotes, local, make), by_service=True):
        entries = [one.entry for one in versions]
        found.append({"name": name, "versions": entries, "preferredVersion": entries[0]})
    return found


def _aggregated(table: ResourceTable, remotes: list[Remote], version: str) -> Object:
    document = discovery_docs.aggregated(table, core=False, version=version)
    local = {
        item["metadata"]["name"]: [(one["version"], one) for one in item["versions"]]
        for item in document["items"]
    }
    groups = _joined(table, remotes, local, _version_entry)
    document["items"] = [
        {"metadata": {"name": name}, "versions": [one.entry for one in versions]}
        for name, versions in _in_order(groups, by_service=False)
    ]
    return document


def _version_entry(remote: Remote) -> Object:
    entries = _entries(remote.resources) if remote.entry is None else _shown(remote.entry)
    resources = {"resources": entries} if entries else {}
    return {"version": remote.version, **resources, "freshness": "Current" if remote.fresh else "Stale"}


def _entries(resources: list[Object]) -> list[Object]:
    """Return a list of resources as the entries that aggregated discovery has of them.

    A subresource of nothing has an entry made for its parent: metrics are served so.
    """
    entries: dict[str, Object] = {}
    for one in resources:
        plural, slash, name = str(one["name"]).partition("/")
        if not slash:
            entries[plural] = {**_resource(one), **_subresources(entries.get(plural))}
            continue
        parent = entries.setdefault(plural, _parent(plural, one))
        entry = {"subresource": name, "responseKind": _kind(one), "verbs": one.get("verbs")}
        parent.setdefault("subresources", []).append(entry)
    return list(entries.values())


def _shown(version: Object) -> list[Object]:
    """Return the resources of a version as another server's aggregated discovery has them.

    Kinds that it leaves out are told empty: clients look into them.
    """
    return [
        _told(one, ("resource", "scope", "singularResource"), ("shortNames", "categories"))
        | ({"subresources": parts} if (parts := _parts(one)) else {})
        for one in _listed(version, "resources")
    ]


def _parts(one: Object) -> list[Object]:
    return [_told(part, ("subresource",), ("acceptedTypes",)) for part in _listed(one, "subresources")]


def _told(one: Object, texts: tuple[str, ...], lists: tuple[str, ...]) -> Object:
    said = one.get("responseKind")
    found: Object = {key: one.get(key) or "" for key in texts}
    found |= {"responseKind": _kind(said if isinstance(said, dict) else {}), "verbs": one.get("verbs")}
    return found | {key: one[key] for key in lists if one.get(key)}


def _listed(node: Object, key: str) -> list[Object]:
    value = node.get(key)
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def _subresources(made: Object | None) -> Object:
    return {"subresources": made["subresources"]} if made and "subresources" in made else {}


def _scope(one: Object) -> str:
    return "Namespaced" if one.get("namespaced") else "Cluster"


def _parent(plural: str, one: Object) -> Object:
    return {
        "resource": plural, "responseKind": _kind({}), "scope": _scope(one), "singularResource": "",
        "verbs": None,
    }  # fmt: skip


def _resource(one: Object) -> Object:
    entry: Object = {
        "resource": one["name"],
        "responseKind": _kind(one),
        "scope": _scope(one),
        "singularResource": one.get("singularName") or "",
        "verbs": one.get("verbs"),
    }
    for key in ("shortNames", "categories"):
        if one.get(key):
            entry[key] = one[key]
    return entry


def _kind(one: Object) -> Object:
    """Return a kind as it was said: without a group and a version it is one of those around it."""
    return {key: one.get(key) or "" for key in ("group", "version", "kind")}
