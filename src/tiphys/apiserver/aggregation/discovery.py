"""``/apis`` and ``/apis/<group>``: local groups and those that are served elsewhere together.

Groups are named by the APIServices that there are, whether their kinds are served yet or not; what aggregated
discovery has of them is what is served.

Owns: the documents and their encoding. Refuses: ``/apis/<group>/<version>`` of remote APIs, which is passed
on to them; groups of which there is no APIService.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Final

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

Services = dict[str, dict[str, Object]]
"""The specs of APIServices, by group and version."""
_OWN_GROUP: Final = "apiregistration.k8s.io"
"""Of which there need be no APIService; it comes first."""
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

    def __init__(
        self, table: ResourceTable, remotes: Callable[[], list[Remote]], specs: Callable[[], list[Object]]
    ) -> None:
        """``specs``: those of all APIServices."""
        self._table = table
        self._list_specs = specs
        self._services: Services = {}
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
        """Answer ``/apis`` (``rest`` empty) or ``/apis/<group>``; None where there is no APIService of it."""
        if self._revision != self._table.revision:
            self._encoded.clear()
            self._remotes = self._find()
            self._services = _by_group(self._list_specs())
            self._revision = self._table.revision
        name = rest[0] if rest else ""
        if name and name not in self._services:
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
        document = _document(self._table, self._services, self._remotes, name, form)
        if self.peers is not None and form.transform and self._shows_peers(form):
            document["items"] = merged(document["items"], self.peers())
        return document


def _by_group(specs: Iterable[Object]) -> Services:
    """Return the specs of APIServices by group and version, but of those that have no group of their own."""
    found: Services = {}
    for spec in specs:
        if spec.get("group") and spec["group"] != _OWN_GROUP:
            found.setdefault(spec["group"], {})[spec["version"]] = spec
    return found


def _document(
    table: ResourceTable, services: Services, remotes: list[Remote], name: str, form: Format
) -> Object:
    if name:
        (group,) = _groups({name: services[name]})
        return {"kind": "APIGroup", "apiVersion": "v1", **group}
    if form.transform:
        return _aggregated(table, services, remotes, form.transform_version)
    own = [group for group in discovery_docs.group_list(table)["groups"] if group["name"] == _OWN_GROUP]
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": own + _groups(services)}


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


def _priorities(spec: Object) -> tuple[int, int]:
    return int(spec.get("groupPriorityMinimum") or 0), int(spec.get("versionPriority") or 0)


def _groups(services: Services) -> list[Object]:
    """Return the groups that APIServices name, as ``/apis`` shows them."""
    groups = {
        name: {
            version: _Version(
                version, {"groupVersion": f"{name}/{version}", "version": version}, *_priorities(spec)
            )
            for version, spec in versions.items()
        }
        for name, versions in services.items()
    }
    found = []
    for name, versions in _in_order(groups, by_service=True):
        entries = [one.entry for one in versions]
        found.append({"name": name, "versions": entries, "preferredVersion": entries[0]})
    return found


def _aggregated(table: ResourceTable, services: Services, remotes: list[Remote], version: str) -> Object:
    """Return what is served, local versions but where a remote one took their place."""
    document = discovery_docs.aggregated(table, core=False, version=version)
    groups: dict[str, dict[str, _Version]] = {}
    for item in document["items"]:
        name = item["metadata"]["name"]
        for one in item["versions"]:
            spec = services.get(name, {}).get(one["version"])
            own = _priorities(spec) if spec is not None else local_priority(table, name, one["version"])
            groups.setdefault(name, {})[one["version"]] = _Version(one["version"], one, *own)
    for remote in remotes:
        made = _Version(remote.version, _version_entry(remote), *_priorities(remote.spec))
        groups.setdefault(remote.group, {})[remote.version] = made
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
