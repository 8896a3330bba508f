"""Keeps the authorizers' indexes current from the object store."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tiphys.apimachinery.meta import Object
from tiphys.apiserver.authz.rbac import Rbac
from tiphys.apiserver.feed import Feed
from tiphys.apiserver.objects import Cached, ObjectStore

_GROUP = "rbac.authorization.k8s.io"


class PodsByNode:
    """Which pods run where, without decoding a pod before somebody asks."""

    def __init__(self) -> None:
        self._nodes: dict[str, dict[str, Cached]] = {}

    def __call__(self, node: str) -> Iterator[Object]:
        for cached in list(self._nodes.get(node, {}).values()):
            yield cached.object

    def observe(self, old: Cached | None, new: Cached | None) -> None:
        for cached in (old,):
            node = cached.fields.get("spec.nodeName", "") if cached is not None else ""
            if cached is not None and node:
                self._nodes.get(node, {}).pop(cached.key, None)
        node = new.fields.get("spec.nodeName", "") if new is not None else ""
        if new is not None and node:
            self._nodes.setdefault(node, {})[new.key] = new


def rbac_feeds(store: ObjectStore, table: Any, rbac: Rbac) -> list[Feed]:
    """Return the feeds of roles and bindings."""

    def role(old: Cached | None, new: Cached | None) -> None:
        if new is not None:
            rbac.set_role(new.object)
        elif old is not None:
            rbac.remove_role(old.namespace, old.name)

    def binding(old: Cached | None, new: Cached | None) -> None:
        if new is not None:
            rbac.set_binding(new.object)
        elif old is not None:
            rbac.remove_binding(old.namespace, old.name)

    plurals = (
        ("roles", role), ("clusterroles", role), ("rolebindings", binding), ("clusterrolebindings", binding)
    )  # fmt: skip
    return [Feed(store, table.by_path(_GROUP, "v1", plural), handler) for plural, handler in plurals]
