"""``TABLE``: every resource that the server knows, built-in ones and CRDs as they come.

The facts are in ``data/resources.json``. Owns lookup by path and by kind, the order of groups and versions,
storage versions and prefixes. Handlers, discovery, OpenAPI and the client's kinds read it; only the CRD
machinery changes it (on the event loop).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from importlib import resources as package_files
from typing import Any

import orjson

from tiphys.apimachinery.meta import GVK, GVR, split_api_version
from tiphys.apimachinery.resource import Resource, Subresource

ALL_VERBS = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")
_CUSTOM_PRIORITY = 1000
_VERSION = re.compile(r"v([1-9][0-9]*)(?:(alpha|beta)([1-9][0-9]*))?")
_STAGES = {"alpha": 0, "beta": 1, None: 2}


def version_rank(version: str) -> tuple[int, ...]:
    """Return a sort key: v2 over v1 over v1beta1 over v1alpha1 over anything else, highest first.

    Source: version priority of CustomResourceDefinitions.
    """
    match = _VERSION.fullmatch(version)
    if match is None:
        return (1, *map(ord, version))
    major, stage, minor = match.groups()
    return (0, -_STAGES[stage], -int(major), -int(minor or 0))


def _nobody() -> None:
    return


class ResourceTable:
    """Rows by path and by kind. ``revision`` grows with every change, so caches know when they are stale.

    ``on_change`` is called after each one, for who must act on it without being asked; copies have none.
    """

    def __init__(self, rows: Iterable[Resource] = (), priorities: dict[str, int] | None = None) -> None:
        self._paths: dict[tuple[str, str, str], Resource] = {}
        self._kinds: dict[tuple[str, str, str], Resource] = {}
        self._versions: dict[str, dict[str, dict[str, Resource]]] = {}
        self._priorities = priorities or {}
        self._positions = {group: position for position, group in enumerate(self._priorities)}
        self._orders: dict[str, list[str]] = {}
        self._equivalents: dict[GVR, tuple[Resource, ...]] = {}
        self._equivalents_at = 0
        self._hidden: frozenset[GVR] = frozenset()
        self._declared: dict[str, frozenset[tuple[str, str]]] = {}
        self.revision = 0
        self.on_change: Callable[[], None] = _nobody
        for row in rows:
            self.add(row)

    def by_path(self, group: str, version: str, plural: str) -> Resource | None:
        """Return the resource served at a path, None where there is none."""
        return self._paths.get((group, version, plural))

    def served_at(self, group: str, version: str, plural: str) -> Resource | None:
        """Return the resource that requests for a path reach: None where it is hidden too."""
        row = self._paths.get((group, version, plural))
        return None if row is not None and row.gvr in self._hidden else row

    def hide(self, rows: Iterable[GVR]) -> None:
        """Keep rows for this server's own use: nobody finds or reaches them any more."""
        self._hidden |= frozenset(rows)
        self._orders.clear()
        self._changed()

    def declare(self, definition: str, versions: frozenset[tuple[str, str]]) -> None:
        """Note the group versions that a definition is to be served at, whether it is already or not."""
        if versions == self._declared.get(definition, frozenset()):
            return
        self._declared[definition] = versions
        if not versions:
            del self._declared[definition]
        self._changed()

    def declared(self) -> set[tuple[str, str]]:
        """Return the group versions of all definitions."""
        return set[tuple[str, str]]().union(*self._declared.values())

    def by_kind(self, gvk: GVK) -> Resource | None:
        return self._kinds.get(gvk)

    def stored(self, resource: Resource) -> Resource:
        """Return the row of the version (and group) that the resource's objects are kept in."""
        return self._kinds.get(resource.storage, resource)

    def equivalents(self, resource: Resource) -> tuple[Resource, ...]:
        """Return the other rows that the same objects are served at: other versions, in other groups too."""
        if self._equivalents_at != self.revision:
            self._equivalents.clear()
            self._equivalents_at = self.revision
        found = self._equivalents.get(resource.gvr)
        if found is None:
            own = (resource.storage_prefix, resource.plural)
            found = self._equivalents[resource.gvr] = tuple(
                row
                for row in self._paths.values()
                if (row.storage_prefix, row.plural) == own and row.gvr != resource.gvr
            )
        return found

    def kinds_by_prefix(self) -> dict[str, tuple[str, str]]:
        """Return (group, plural) by storage prefix; events are the core group's, as upstream has it."""
        found: dict[str, tuple[str, str]] = {}
        for row in self:
            if row.storage_prefix and not (row.plural == "events" and row.group):
                found.setdefault(row.storage_prefix, (row.group, row.plural))
        return found

    def groups(self) -> list[str]:
        """Return the groups, core first, in the order that discovery shows them."""
        if not self._hidden:
            return sorted(self._versions, key=self._position)
        return sorted((group for group in self._versions if self.versions(group)), key=self._position)

    def versions(self, group: str) -> list[str]:
        """Return a group's versions, the preferred one first; empty for an unknown group."""
        order = self._orders.get(group)
        if order is None:
            found = self._versions.get(group)
            if found is None:
                return []  # anybody can ask for any: of these nothing is kept
            order = sorted((one for one in found if self.resources(group, one)), key=version_rank)
            self._orders[group] = order
        return list(order)

    def resources(self, group: str, version: str) -> list[Resource]:
        """Return the rows of one group version by plural."""
        rows = self._versions.get(group, {}).get(version, {})
        return [rows[plural] for plural in sorted(rows) if rows[plural].gvr not in self._hidden]

    def group_priority(self, group: str) -> int:
        """Return what an APIService of the group says as groupPriorityMinimum."""
        return self._priorities.get(group, _CUSTOM_PRIORITY)

    def add(self, row: Resource) -> None:
        """Serve a row, replacing the one at the same path."""
        self.remove(row.gvr)
        self._paths[(row.group, row.version, row.plural)] = row
        self._kinds[(row.group, row.version, row.kind)] = row
        self._versions.setdefault(row.group, {}).setdefault(row.version, {})[row.plural] = row
        self._orders.pop(row.group, None)
        self._changed()

    def remove(self, gvr: GVR) -> None:
        """Serve a path no more; nothing happens where it is unknown."""
        row = self._paths.pop((gvr.group, gvr.version, gvr.resource), None)
        if row is None:
            return
        if self._kinds.get(row.gvk) is row:
            del self._kinds[row.gvk]
        versions = self._versions[row.group]
        del versions[row.version][row.plural]
        if not versions[row.version]:
            del versions[row.version]
        if not versions:
            del self._versions[row.group]
        self._orders.pop(row.group, None)
        self._changed()

    def _changed(self) -> None:
        self.revision += 1
        self.on_change()

    def copy(self) -> ResourceTable:
        """Return a table of its own with the same rows: each API server in a process takes one."""
        made = ResourceTable(self._paths.values(), self._priorities)
        made.hide(self._hidden)
        return made

    def __iter__(self) -> Iterator[Resource]:
        return iter(self._paths.values())

    def __len__(self) -> int:
        return len(self._paths)

    def _position(self, group: str) -> tuple[int, str]:
        """Built-in groups keep the file's order, custom ones follow by name."""
        position = self._positions.get(group)
        return (len(self._positions), group) if position is None else (position, "")


def _gvk(text: str) -> GVK:
    api_version, _, kind = text.rpartition("/")
    group, version = split_api_version(api_version)
    return GVK(group, version, kind)


def _row(group: str, version: str, storage_version: str, facts: dict[str, Any]) -> Resource:
    kind, plural = facts["kind"], facts["plural"]
    own = GVK(group, version, kind)
    prefix = facts.get("prefix", plural)
    return Resource(
        group=group,
        version=version,
        kind=kind,
        plural=plural,
        singular=facts.get("singular", kind.lower()),
        namespaced=facts.get("namespaced", False),
        verbs=tuple(facts.get("verbs", ALL_VERBS)),
        storage=_gvk(facts["storage"]) if "storage" in facts else GVK(group, storage_version, kind),
        storage_prefix=f"/registry/{prefix}/" if prefix else "",
        short_names=tuple(facts.get("short", ())),
        categories=tuple(facts.get("categories", ())),
        subresources=tuple(
            Subresource(name, tuple(parts[0]), _gvk(parts[1]) if len(parts) > 1 else own)
            for name, parts in facts.get("subresources", {}).items()
        ),
        selectable_fields=tuple(facts.get("fields", ())),
        deprecation=facts.get("deprecated", ""),
    )


def _load() -> ResourceTable:
    text = package_files.files("tiphys.apis").joinpath("data/resources.json").read_bytes()
    rows: list[Resource] = []
    priorities: dict[str, int] = {}
    for entry in orjson.loads(text):
        group = entry["group"]
        priorities[group] = entry["priority"]
        kept_in: dict[str, str] = {}
        for version, resources in entry["versions"].items():
            for facts in resources:
                kept_in.setdefault(facts["plural"], version)
                rows.append(_row(group, version, kept_in[facts["plural"]], facts))
    return ResourceTable(rows, priorities)


TABLE = _load()
