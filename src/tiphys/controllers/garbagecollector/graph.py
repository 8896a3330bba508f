"""Who owns whom, over all resources, by uid. Pure: events in, uids that need a look out."""

from __future__ import annotations

from dataclasses import field
from typing import Any

from tiphys.apimachinery.dataclass import dataclass
from tiphys.apimachinery.meta import GVR, Object, split_api_version

FOREGROUND = "foregroundDeletion"
ORPHAN = "orphan"


@dataclass(slots=True)
class Node:
    """One object. ``owners`` are its owner references as last seen."""

    gvr: GVR
    namespace: str
    name: str
    uid: str
    owners: list[dict[str, Any]] = field(default_factory=list)
    dependents: set[str] = field(default_factory=set)
    deleting: bool = False
    finalizers: tuple[str, ...] = ()
    kind: str = ""

    @property
    def deleting_dependents(self) -> bool:
        return self.deleting and FOREGROUND in self.finalizers

    @property
    def orphaning(self) -> bool:
        return self.deleting and ORPHAN in self.finalizers

    def blocks(self, owner_uid: str) -> bool:
        """True if this object keeps that owner from going until it is gone itself."""
        return any(ref.get("uid") == owner_uid and ref.get("blockOwnerDeletion") for ref in self.owners)

    def is_meant_by(self, ref: dict[str, Any], namespace: str) -> bool:
        """True if all that a reference from that namespace says of its owner is so, whichever the version."""
        group, _ = split_api_version(ref["apiVersion"])
        said = (group, ref["kind"], ref["name"])
        return said == (self.gvr.group, self.kind, self.name) and self.namespace in ("", namespace)


class Graph:
    """Dependents of an owner are known even before the owner is."""

    def __init__(self) -> None:
        self._nodes: dict[str, Node] = {}
        self._dependents: dict[str, set[str]] = {}

    def __contains__(self, uid: object) -> bool:
        return uid in self._nodes

    def get(self, uid: str) -> Node | None:
        return self._nodes.get(uid)

    def dependents(self, uid: str) -> list[Node]:
        return [self._nodes[item] for item in sorted(self._dependents.get(uid, ())) if item in self._nodes]

    def put(self, gvr: GVR, kind: str, obj: Object) -> set[str]:
        """Take in an object; return the uids that need a look because of it."""
        meta = obj["metadata"]
        uid = meta["uid"]
        old = self._nodes.get(uid)
        node = Node(
            gvr,
            meta.get("namespace") or "",
            meta["name"],
            uid,
            owners=list(meta.get("ownerReferences") or ()),
            deleting=bool(meta.get("deletionTimestamp")),
            finalizers=tuple(meta.get("finalizers") or ()),
            kind=kind,
        )
        if old is not None and _same(old, node):
            return set()
        before = {ref["uid"] for ref in old.owners} if old else set()
        after = {ref["uid"] for ref in node.owners}
        for owner in before - after:
            self._unlink(owner, uid)
        for owner in after:
            self._dependents.setdefault(owner, set()).add(uid)
        node.dependents = self._dependents.get(uid, set())
        self._nodes[uid] = node
        return self._affected(old, node, before - after)

    def _affected(self, old: Node | None, node: Node, left: set[str]) -> set[str]:
        # An owner that waits for this dependent may be free now.
        looks = {owner for owner in left if owner in self._nodes and self._nodes[owner].deleting_dependents}
        if any(self._needs_look(ref, node) for ref in node.owners):
            looks.add(node.uid)
        if node.orphaning or node.deleting_dependents:
            looks.add(node.uid)
        if node.deleting_dependents and not (old and old.deleting_dependents):
            looks |= node.dependents
        if old is not None and old.owners != node.owners:
            # blockOwnerDeletion may have been lifted.
            looks |= {ref["uid"] for ref in node.owners if self._is_waiting(ref["uid"])}
        return looks

    def remove(self, uid: str) -> set[str]:
        """Forget an object that is gone; return the uids that need a look."""
        node = self._nodes.pop(uid, None)
        looks = {item for item in self._dependents.get(uid, ()) if item in self._nodes}
        if node is not None:
            for ref in node.owners:
                self._unlink(ref["uid"], uid)
                if self._is_waiting(ref["uid"]):
                    looks.add(ref["uid"])
        return looks

    def uids_of(self, gvr: GVR) -> list[str]:
        return [uid for uid, node in self._nodes.items() if node.gvr == gvr]

    def _is_waiting(self, uid: str) -> bool:
        owner = self._nodes.get(uid)
        return owner is not None and owner.deleting_dependents

    def _needs_look(self, ref: dict[str, Any], node: Node) -> bool:
        owner = self._nodes.get(ref["uid"])
        return owner is None or owner.deleting_dependents or not owner.is_meant_by(ref, node.namespace)

    def _unlink(self, owner: str, uid: str) -> None:
        bucket = self._dependents.get(owner)
        if bucket is not None:
            bucket.discard(uid)
            if not bucket and owner not in self._nodes:
                del self._dependents[owner]


def _same(old: Node, new: Node) -> bool:
    return (old.owners, old.deleting, old.finalizers, old.gvr) == (
        new.owners,
        new.deleting,
        new.finalizers,
        new.gvr,
    )
