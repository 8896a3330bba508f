"""Keeps StatefulSets: pods with names and storage of their own, in order. Decisions are in ``plan``."""

from __future__ import annotations

from tiphys.apimachinery.errors import AlreadyExists, Conflict, NotFound, StatusError
from tiphys.apimachinery.meta import Object, object_key, split_key
from tiphys.client.kinds import CONTROLLER_REVISIONS, PERSISTENT_VOLUME_CLAIMS, PODS, STATEFUL_SETS
from tiphys.controllers import podstate
from tiphys.controllers.context import Context
from tiphys.controllers.history import (
    Collision,
    apply_history,
    claim_revisions,
    plan_history,
    pod_hash,
    template_of,
)
from tiphys.controllers.metrics import STATEFULSET_ALLOWED, STATEFULSET_MISSING
from tiphys.controllers.owned import index_owned
from tiphys.controllers.statefulset.plan import MAX_UNAVAILABLE, Revisions, plan
from tiphys.controllers.statefulset.pods import (
    build_claims,
    build_pod,
    claim_keys,
    claim_owners,
    follows_a_former_pod,
    identity,
    pod_name,
    replicas_of,
)
from tiphys.controllers.workload import WorkloadController

REVISION_HASH_LABEL = "controller.kubernetes.io/hash"
"""On the revisions of StatefulSets; their pods bear a revision's name, not its hash."""
_CLAIM_WAIT_S = 1.0


class StatefulSetController(WorkloadController):
    """A key is a StatefulSet's."""

    gvr = STATEFUL_SETS
    kind = "StatefulSet"
    name = "statefulset-controller"
    account = "statefulset-controller"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._revisions = self._follow(CONTROLLER_REVISIONS)
        self._claims = self._follow(PERSISTENT_VOLUME_CLAIMS)
        index_owned(self._revisions)
        self._shown: dict[str, tuple[str, str, str]] = {}

    async def look(self, key: str, owner: Object) -> float | None:
        pods = await self._claim(owner)
        try:
            current, update = await self._keep_history(owner, pods)
        except Collision:
            await self._collide(key, owner)
            return None
        planned = plan(owner, pods, Revisions(_name(current), _name(update)), self._clock.now())
        await self._write_status(key, owner, planned.status)
        self._show(key, owner, planned.status)
        await self._keep_claims(owner, pods)
        for pod in planned.rename:
            await self._repair(key, owner, pod)
        for ordinal in planned.claimless:
            await self._create_claims(owner, ordinal)
        templates = {_name(item): template_of(item) for item in (current, update)}
        for ordinal, revision in planned.create:
            if self._waits_for_claims(owner, ordinal):
                planned.recheck_s = podstate.earliest((planned.recheck_s, _CLAIM_WAIT_S))
                continue
            await self._create_claims(owner, ordinal, with_pod=True)
            await self._create_child(key, owner, build_pod(owner, templates[revision], ordinal, revision))
        for event in planned.events:
            self._recorder.record(owner, *event)
        for pod in planned.delete:
            await self._delete_child(key, owner, pod)
        return planned.recheck_s

    def _show(self, key: str, owner: Object, status: Object) -> None:
        """Set the gauges of a set, in place of those that it had under another policy."""
        policy = owner["spec"].get("podManagementPolicy") or "OrderedReady"
        labels = (*split_key(key), policy)
        if self._shown.get(key) not in (None, labels):
            self._hide(key)
        self._shown[key] = labels
        missing = max(replicas_of(owner) - (status.get("availableReplicas") or 0), 0)
        STATEFULSET_ALLOWED.labels(*labels).set(MAX_UNAVAILABLE)
        STATEFULSET_MISSING.labels(*labels).set(missing)

    def _hide(self, key: str) -> None:
        labels = self._shown.pop(key, None)
        if labels is not None:
            for family in (STATEFULSET_ALLOWED, STATEFULSET_MISSING):
                family.remove(*labels)

    async def _gone(self, key: str) -> None:
        await super()._gone(key)
        self._hide(key)

    async def _keep_history(self, owner: Object, pods: list[Object]) -> tuple[Object, Object]:
        """Return the revision in use and the one wanted."""
        selector = self._selector(owner)
        revisions = await claim_revisions(self._client, self._revisions, self.gvr, owner, selector)
        noted = (owner.get("status") or {}).get("currentRevision")
        used = {pod_hash(pod) for pod in pods}
        live = [_name(item) for item in revisions if _name(item) in used]
        kept = [*live, *([noted] if noted else [])]
        history = plan_history(owner, revisions, live=kept, label=REVISION_HASH_LABEL)
        update = await apply_history(self._client, history)
        current = next((item for item in revisions if _name(item) == noted), update)
        return current, update

    def _waits_for_claims(self, owner: Object, ordinal: int) -> bool:
        """Whether claims of the former pod are still to go with it."""
        found = [self._claims.get(object_key(claim)) for claim in build_claims(owner, ordinal)]
        name = pod_name(owner, ordinal)
        return any(claim and follows_a_former_pod(owner, claim, name) for claim in found)

    async def _create_claims(self, owner: Object, ordinal: int, *, with_pod: bool = False) -> None:
        """Make the claims of an ordinal that are missing; events say so if its pod waits for them."""
        for claim in build_claims(owner, ordinal):
            present = self._claims.get(object_key(claim))
            if present is not None and podstate.is_deleting(present):
                text = f"pvc {claim['metadata']['name']} is being deleted"
                if with_pod:
                    who = f"create Pod {pod_name(owner, ordinal)} in StatefulSet {owner['metadata']['name']}"
                    self._recorder.record(owner, "Warning", "FailedCreate", f"{who} failed error: {text}")
                raise Conflict(text)
            if present is not None:
                continue
            name, who = claim["metadata"]["name"], owner["metadata"]["name"]
            words = f"create Claim {name} Pod {pod_name(owner, ordinal)} in StatefulSet {who}"
            try:
                await self._client.create(PERSISTENT_VOLUME_CLAIMS, claim)
            except AlreadyExists:
                continue
            except StatusError as error:
                self._recorder.record(
                    owner, "Warning", "FailedCreate", f"{words} failed error: {error.message}"
                )
                raise
            message = f"{words} success"
            self._recorder.record(owner, "Normal", "SuccessfulCreate", message)

    async def _repair(self, key: str, owner: Object, pod: Object) -> None:
        """Give a pod back the labels that say which one it is."""
        meta = pod["metadata"]
        patch = {"metadata": {"uid": meta["uid"], "labels": identity(pod)}}
        who = _who(owner, pod)
        try:
            stored = await self._client.patch(PODS, meta["name"], meta["namespace"], patch)
        except NotFound:
            return
        except StatusError as error:
            text = f"update {who} failed error: {error.message}"
            self._recorder.record(owner, "Warning", "FailedUpdate", text)
            raise
        self._writes.wrote(key, stored)
        self._recorder.record(owner, "Normal", "SuccessfulUpdate", f"update {who} successful")

    async def _keep_claims(self, owner: Object, pods: list[Object]) -> None:
        """Before pods go, say whom their claims belong to."""
        for pod in pods:
            for key in claim_keys(owner, pod):
                claim = self._claims.get(key)
                owners = claim_owners(owner, claim, pod) if claim else None
                if claim is not None and owners is not None:
                    meta = {**claim["metadata"], "ownerReferences": owners}
                    await self._client.update(PERSISTENT_VOLUME_CLAIMS, {**claim, "metadata": meta})

    # -- words of events

    def _create_failed(self, owner: Object, wanted: Object, error: StatusError) -> str:
        return f"create {_who(owner, wanted)} failed error: {error.message}"

    def _created(self, owner: Object, child: Object) -> str:
        return f"create {_who(owner, child)} successful"

    def _deleted(self, owner: Object, child: Object) -> str:
        return f"delete {_who(owner, child)} successful"

    def _delete_failed(self, owner: Object, child: Object, error: StatusError) -> str:
        return f"delete {_who(owner, child)} failed error: {error.message}"


def _who(owner: Object, pod: Object) -> str:
    return f"Pod {pod['metadata']['name']} in StatefulSet {owner['metadata']['name']}"


def _name(revision: Object) -> str:
    return str(revision["metadata"]["name"])
