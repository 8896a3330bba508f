"""What definitions make this server serve: rows of the resource table, and what is counted of them.

Owns: which rows a definition has there. Refuses: writing anything. Called by the controller with each state
of a definition that is seen.
"""

from __future__ import annotations

import hashlib

import orjson

from tiphys.apimachinery.meta import Object
from tiphys.apimachinery.resource import Resource
from tiphys.apiserver.crd.counts import Counts
from tiphys.apiserver.crd.rows import is_true, rows_of
from tiphys.apiserver.crd.text import Text
from tiphys.apiserver.endpoints.call import Backend


class Serving:
    """The custom kinds of one server."""

    def __init__(self, backend: Backend, counts: Counts) -> None:
        self._backend = backend
        self._counts = counts
        self._rows: dict[str, list[Resource]] = {}
        self._served: dict[str, Object] = {}
        self._versions: dict[str, dict[str, object]] = {}
        """What tells one state of a served version from others, by definition."""

    def serve(self, name: str, crd: Object | None, text: Text | None) -> None:
        """Bring the resource table in line with a definition, where anything that it shows changed."""
        shown = None if crd is None or text is None else _shown(crd, text)
        if shown == self._served.get(name):
            return
        table, before = self._backend.table, self._rows.pop(name, [])
        table.declare(name, _declared(crd))
        rows = [] if crd is None else [row for row in rows_of(crd, text) if not self._is_built_in(row)]
        if shown is None or shown["terminating"]:
            for row in before:  # those who hold them are under way still
                row.definition.terminating = True
        kept = {row.gvr for row in rows}
        for row in before:
            if row.gvr not in kept:
                table.remove(row.gvr)
                self._end_watches(row)
        for row in rows:
            row.definition.compared = self._counts.compared
            table.add(row)
        if rows:
            self._rows[name] = rows
        self._counts.changed(
            name, _published(self._served.get(name) if before else None), _published(shown if rows else None)
        )
        if rows or before:
            versions = _versions(crd, rows)
            group = (rows or before)[0].group
            self._counts.versions_changed(name, group, self._versions.pop(name, {}), versions)
            self._versions[name] = versions
        if shown is None:
            self._served.pop(name, None)
        else:
            self._served[name] = shown

    def _is_built_in(self, row: Resource) -> bool:
        """Tell whether a row's version of its group is this server's own: nobody adds to it."""
        return any(not one.custom for one in self._backend.table.resources(row.group, row.version))

    def _end_watches(self, row: Resource) -> None:
        end = getattr(self._backend.store, "end_watches", None)
        if end is not None:
            end(row)


def _declared(crd: Object | None) -> frozenset[tuple[str, str]]:
    """Return the group versions that a definition is to be served at, whether it is by now or not."""
    if crd is None:
        return frozenset()
    spec = crd["spec"]
    return frozenset((spec["group"], one["name"]) for one in spec["versions"] if one.get("served"))


def _published(shown: Object | None) -> object:
    """Return what of a definition its part of OpenAPI documents depends on; None: there is none."""
    return None if shown is None else (shown["spec"], shown["names"])


def _versions(crd: Object | None, rows: list[Resource]) -> dict[str, object]:
    """Return of each version that is served what its document depends on, by its hash."""
    if crd is None:
        return {}
    names, served = (crd.get("status") or {}).get("acceptedNames"), {row.version for row in rows}
    return {
        one["name"]: hashlib.sha256(orjson.dumps([one, names, crd["spec"]["scope"]])).digest()
        for one in crd["spec"]["versions"]
        if one["name"] in served
    }


def _shown(crd: Object, text: Text) -> Object:
    """Return all of a definition that its rows depend on."""
    status = crd.get("status") or {}
    return {
        "spec": text.digest,
        "uid": crd["metadata"].get("uid"),
        "names": status.get("acceptedNames"),
        "established": is_true(crd, "Established"),
        "terminating": bool(crd["metadata"].get("deletionTimestamp")),
    }
