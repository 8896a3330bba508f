"""ControllerRevisions: numbered snapshots of a template, for DaemonSets and StatefulSets. Planning is pure.

Source: apps/v1 ControllerRevision; ``kubectl rollout undo`` reads ``data`` as a strategic merge patch.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import field

import orjson

from tiphys.apimachinery.dataclass import dataclass
from tiphys.apimachinery.errors import AlreadyExists, NotFound, TiphysError
from tiphys.apimachinery.labels import Selector
from tiphys.apimachinery.meta import GVR, Object, copy_object, owner_reference
from tiphys.client.informer import Informer
from tiphys.client.kinds import CONTROLLER_REVISIONS
from tiphys.client.rest import Client
from tiphys.controllers.owned import apply_claims, candidates, plan_claims
from tiphys.controllers.podtemplate import template_hash

HASH_LABEL = "controller-revision-hash"
"""Which revision a pod is of: a DaemonSet's by its hash, a StatefulSet's by its name."""


@dataclass(slots=True)
class History:
    """``update`` is the revision of the present template: to be created, renumbered, or right as it is."""

    update: Object
    create: bool = False
    renumber: bool = False
    delete: list[Object] = field(default_factory=list)
    duplicates: list[Object] = field(default_factory=list)
    """Other revisions of the same template."""


class Collision(TiphysError):
    """The name of a new revision is another one's: it must be hashed anew, with a greater collisionCount."""


def plan_history(
    owner: Object, revisions: Sequence[Object], *, live: Collection[str] = (), label: str = HASH_LABEL
) -> History:
    """Find or build the revision of the owner's template; drop what exceeds ``revisionHistoryLimit``.

    ``live`` names revisions that pods still run; ``label`` is where a revision bears its hash.
    """
    data = {"spec": {"template": {**copy_object(owner["spec"]["template"]), "$patch": "replace"}}}
    ordered = sorted(revisions, key=lambda item: (item.get("revision", 0), item["metadata"]["name"]))
    newest = ordered[-1].get("revision", 0) if ordered else 0
    same = [item for item in ordered if item.get("data") == data]
    if not same:
        history = History(_build(owner, data, newest + 1, label), create=True)
    elif same[-1].get("revision", 0) < newest:
        history = History({**same[-1], "revision": newest + 1}, renumber=True)
    else:
        history = History(same[-1])
    history.duplicates = same[:-1]
    limit = owner["spec"].get("revisionHistoryLimit", 10)
    keep = {history.update["metadata"]["name"], *live}
    spare = [item for item in ordered if item["metadata"]["name"] not in keep]
    history.delete = spare[: max(len(spare) - limit, 0)]
    return history


def _build(owner: Object, data: Object, revision: int, label: str) -> Object:
    collisions = (owner.get("status") or {}).get("collisionCount") or 0
    digest = template_hash(data, collisions)
    meta = owner["metadata"]
    labels = (owner["spec"]["template"].get("metadata") or {}).get("labels") or {}
    return {
        "apiVersion": "apps/v1",
        "kind": "ControllerRevision",
        "metadata": {
            "name": f"{meta['name']}-{digest}",
            "namespace": meta["namespace"],
            "labels": {**labels, label: digest},
            "annotations": dict(meta.get("annotations") or {}),
            "ownerReferences": [owner_reference(owner)],
        },
        "data": _in_order(data),
        "revision": revision,
    }


def _in_order(data: Object) -> Object:
    """Return the snapshot with its keys in order: others compare its bytes with their own."""
    ordered: Object = orjson.loads(orjson.dumps(data, option=orjson.OPT_SORT_KEYS))
    return ordered


def hash_of(revision: Object) -> str:
    return str((revision["metadata"].get("labels") or {}).get(HASH_LABEL, ""))


def pod_hash(pod: Object) -> str:
    """Return the revision that a pod is of, as its owner's kind tells it."""
    return str((pod["metadata"].get("labels") or {}).get(HASH_LABEL, ""))


def template_of(revision: Object) -> Object:
    """Return the template that a revision keeps."""
    template: Object = copy_object(revision["data"]["spec"]["template"])
    template.pop("$patch", None)
    return template


async def claim_revisions(
    client: Client, informer: Informer, owner_gvr: GVR, owner: Object, selector: Selector
) -> list[Object]:
    """Return the owner's revisions; those that a deleted owner left behind are taken over, like its pods."""
    claims = plan_claims(owner, selector, candidates(informer, owner))
    return await apply_claims(client, CONTROLLER_REVISIONS, owner_gvr, owner, claims)


async def apply_history(client: Client, history: History) -> Object:
    """Write the plan; return the update revision as it is stored. Raises Collision, StatusError."""
    meta = history.update["metadata"]
    stored = history.update
    if history.create:
        try:
            stored = await client.create(CONTROLLER_REVISIONS, history.update)
        except AlreadyExists:
            stored = await client.get(CONTROLLER_REVISIONS, meta["name"], meta["namespace"])
            if stored.get("data") != history.update["data"]:
                raise Collision(meta["name"]) from None
    elif history.renumber:
        patch = {"revision": history.update["revision"]}
        stored = await client.patch(CONTROLLER_REVISIONS, meta["name"], meta["namespace"], patch)
    for item in history.delete:
        try:
            await client.delete(
                CONTROLLER_REVISIONS, item["metadata"]["name"], meta["namespace"], uid=item["metadata"]["uid"]
            )
        except NotFound:
            continue
    return stored
