"""Discovery documents from a ``ResourceTable``: which groups, versions and resources the server has.

Pure: the apiserver's handlers encode and cache them (``table.revision`` says when they are stale). The legacy
documents are one for each path; the aggregated ones answer ``/api`` and ``/apis`` whole.

Source: meta/v1 ``APIGroupList``, ``APIResourceList``; apidiscovery.k8s.io/v2.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable
from typing import Any

from tiphys.apimachinery.meta import GVK
from tiphys.apimachinery.resource import Resource
from tiphys.apis.table import ResourceTable

Document = dict[str, Any]


def storage_version_hash(gvk: GVK) -> str:
    """Return the opaque mark of the version that a resource is stored in; equal marks mean equal storage."""
    digest = hashlib.sha256(f"{gvk.group}/{gvk.version}/{gvk.kind}".encode()).digest()
    return base64.b64encode(digest[:8]).decode()


def api_versions(server_address: str) -> Document:
    """Return the legacy answer to ``/api``; ``server_address`` is ``host:port``."""
    return {
        "kind": "APIVersions",
        "versions": ["v1"],
        "serverAddressByClientCIDRs": [{"clientCIDR": "0.0.0.0/0", "serverAddress": server_address}],
    }


def group_list(table: ResourceTable) -> Document:
    """Return the legacy answer to ``/apis``."""
    groups = [_group(table, group) for group in table.groups() if group]
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}


def group(table: ResourceTable, name: str) -> Document | None:
    """Return the answer to ``/apis/<group>``, None for an unknown group."""
    if not name or not table.versions(name):
        return None
    return {"kind": "APIGroup", "apiVersion": "v1", **_group(table, name)}


def _group(table: ResourceTable, name: str) -> Document:
    versions = [{"groupVersion": f"{name}/{version}", "version": version} for version in table.versions(name)]
    return {"name": name, "versions": versions, "preferredVersion": versions[0]}


def resource_list(
    table: ResourceTable, group_name: str, version: str, *, hashes: bool = True
) -> Document | None:
    """Return the answer to ``/api/v1`` or ``/apis/<group>/<version>``, None where nothing is served.

    ``hashes`` says whether it tells which resources are stored alike.
    """
    rows = table.resources(group_name, version)
    if not rows:
        return None
    head: Document = {"kind": "APIResourceList"}
    if group_name:
        head["apiVersion"] = "v1"
    head["groupVersion"] = f"{group_name}/{version}" if group_name else version
    head["resources"] = [entry for row in rows for entry in _legacy_entries(row, hashes=hashes)]
    return head


def _legacy_entries(row: Resource, *, hashes: bool) -> Iterable[Document]:
    entry: Document = {
        "name": row.plural,
        "singularName": row.singular,
        "namespaced": row.namespaced,
        "kind": row.kind,
        "verbs": list(row.told_verbs or row.verbs),
    }
    if row.short_names:
        entry["shortNames"] = list(row.short_names)
    if row.categories:
        entry["categories"] = list(row.categories)
    stored = row.stored_as if row.custom else row.storage
    if row.storage_prefix and stored and hashes:
        entry["storageVersionHash"] = storage_version_hash(stored)
    yield entry
    for sub in row.subresources:
        entry = {"name": f"{row.plural}/{sub.name}", "singularName": "", "namespaced": row.namespaced}
        if (sub.kind.group, sub.kind.version) != (row.group, row.version):
            entry |= {"group": sub.kind.group, "version": sub.kind.version}
        yield {**entry, "kind": sub.kind.kind, "verbs": list(sub.verbs)}


def aggregated(table: ResourceTable, *, core: bool, version: str = "v2") -> Document:
    """Return the aggregated answer to ``/api`` (``core``) or ``/apis``; ``version`` is v2 or v2beta1."""
    names = [name for name in table.groups() if (name == "") is core]
    return {
        "kind": "APIGroupDiscoveryList",
        "apiVersion": f"apidiscovery.k8s.io/{version}",
        "metadata": {},
        "items": [_discovery_group(table, name) for name in names],
    }


def _discovery_group(table: ResourceTable, name: str) -> Document:
    return {
        "metadata": {"name": name} if name else {},
        "versions": [
            {
                "version": version,
                "resources": [_discovery_resource(row) for row in table.resources(name, version)],
                "freshness": "Current",
            }
            for version in table.versions(name)
        ],
    }


def _discovery_resource(row: Resource) -> Document:
    entry: Document = {
        "resource": row.plural,
        # Definitions spell out what the server's own kinds leave to the group version around them.
        "responseKind": {
            "group": row.group if row.custom else "",
            "version": row.version if row.custom else "",
            "kind": row.kind,
        },
        "scope": "Namespaced" if row.namespaced else "Cluster",
        "singularResource": row.singular,
        "verbs": list(row.told_verbs or row.verbs),
    }
    if row.short_names:
        entry["shortNames"] = list(row.short_names)
    if row.categories:
        entry["categories"] = list(row.categories)
    if row.subresources:
        entry["subresources"] = [_discovery_subresource(row, sub.name) for sub in row.subresources]
    return entry


def _discovery_subresource(row: Resource, name: str) -> Document:
    sub = row.subresource(name)
    assert sub is not None
    own = not row.custom and (sub.kind.group, sub.kind.version) == (row.group, row.version)
    group_name, version = ("", "") if own else (sub.kind.group, sub.kind.version)
    return {
        "subresource": sub.name,
        "responseKind": {"group": group_name, "version": version, "kind": sub.kind.kind},
        "verbs": list(sub.verbs),
    }
