"""Keeps StatefulSets: pods with names and storage of their own, in order. Decisions are in ``plan``."""

from __future__ import annotations

from tiphys.apimachinery.errors import AlreadyExists, NotFound, StatusError
from tiphys.apimachinery.labels import from_label_selector
from tiphys.apimachinery.meta import Object, controller_of, object_key
from tiphys.client.controller import run_controller
from tiphys.client.kinds import CONTROLLER_REVISIONS, PERSISTENT_VOLUME_CLAIMS, PODS, STATEFUL_SETS
from tiphys.controllers.context import Context
from tiphys.controllers.history import apply_history, hash_of, plan_history, pod_hash, template_of
from tiphys.controllers.owned import (
    BY_CONTROLLER,
    Writes,
    apply_claims,
    candidates,
    index_owned,
    plan_claims,
)
from tiphys.controllers.statefulset.plan import Revisions, plan
from tiphys.controllers.statefulset.pods import build_claims, build_pod, claim_keys, claim_owners, pod_name


class StatefulSetController:
    """A key is a StatefulSet's."""

    name = "statefulset-controller"
    account = "statefulset-controller"

    def __init__(self, context: Context) -> None:
        self._client = context.client
        self._clock = context.clock
        self._workers = context.options.workers
        self._recorder = context.recorder(self.name)
        self.queue = context.queue(self.name)
        self._sets = context.informers.get(STATEFUL_SETS)
        self._pods = context.informers.get(PODS)
        self._revisions = context.informers.get(CONTROLLER_REVISIONS)
        self._claims = context.informers.get(PERSISTENT_VOLUME_CLAIMS)
        index_owned(self._pods)
        index_owned(self._revisions)
        self._writes = Writes(self._pods, context.clock)
        self._set_writes = Writes(self._sets, context.clock)
        self._sets.add_handler(self._set_changed)
        self._pods.add_handler(self._pod_changed)

    async def run(self) -> None:
        for informer in (self._sets, self._pods, self._revisions, self._claims):
            await informer.wait_synced()
        await run_controller(self.queue, self.reconcile, workers=self._workers, name=self.name)

    def _set_changed(self, old: Object | None, new: Object | None) -> None:
        obj = new or old
        if obj is not None:
            self.queue.add(object_key(obj))

    def _pod_changed(self, old: Object | None, new: Object | None) -> None:
        for pod in (old, new):
            ref = controller_of(pod) if pod else None
            if pod and ref and ref.get("kind") == "StatefulSet":
                self.queue.add(f"{pod['metadata']['namespace']}/{ref['name']}")

    async def reconcile(self, key: str) -> float | None:
        owner = self._sets.get(key)
        if owner is None:
            self._writes.forget(key)
            self._set_writes.forget(key)
            return None
        if not (self._writes.settled(key) and self._set_writes.settled(key)):
            return None
        claims = plan_claims(
            owner, from_label_selector(owner["spec"].get("selector")), candidates(self._pods, owner)
        )
        pods = await apply_claims(self._client, PODS, STATEFUL_SETS, owner, claims)
        current, update = await self._keep_history(owner, pods)
        planned = plan(owner, pods, Revisions(hash_of(current), hash_of(update)), self._clock.now())
        if planned.status != (owner.get("status") or {}):
            stored = await self._client.update(STATEFUL_SETS, {**owner, "status": planned.status}, "status")
            self._set_writes.wrote(key, stored)
        await self._keep_claims(owner, pods)
        templates = {hash_of(item): template_of(item) for item in (current, update)}
        for ordinal, digest in planned.create:
            await self._create(key, owner, build_pod(owner, templates[digest], ordinal, digest), ordinal)
        for pod in planned.delete:
            await self._delete(key, owner, pod)
        return planned.recheck_s

    async def _keep_history(self, owner: Object, pods: list[Object]) -> tuple[Object, Object]:
        """Return the revision in use and the one wanted."""
        revisions = self._revisions.by_index(BY_CONTROLLER, owner["metadata"]["uid"])
        noted = (owner.get("status") or {}).get("currentRevision")
        used = {pod_hash(pod) for pod in pods}
        live = [item["metadata"]["name"] for item in revisions if hash_of(item) in used]
        history = plan_history(owner, revisions, live=[*live, *([noted] if noted else [])])
        update = await apply_history(self._client, history)
        current = next((item for item in revisions if item["metadata"]["name"] == noted), update)
        return current, update

    async def _create(self, key: str, owner: Object, pod: Object, ordinal: int) -> None:
        name, who = pod_name(owner, ordinal), owner["metadata"]["name"]
        try:
            await self._create_claims(owner, ordinal)
            stored = await self._client.create(PODS, pod)
        except AlreadyExists:
            raise
        except StatusError as error:
            message = f"create Pod {name} in StatefulSet {who} failed error: {error.message}"
            self._recorder.record(owner, "Warning", "FailedCreate", message)
            raise
        self._writes.wrote(key, stored)
        message = f"create Pod {name} in StatefulSet {who} successful"
        self._recorder.record(owner, "Normal", "SuccessfulCreate", message)

    async def _create_claims(self, owner: Object, ordinal: int) -> None:
        for claim in build_claims(owner, ordinal):
            if self._claims.get(object_key(claim)) is not None:
                continue
            try:
                await self._client.create(PERSISTENT_VOLUME_CLAIMS, claim)
            except AlreadyExists:
                continue
            name, who = claim["metadata"]["name"], owner["metadata"]["name"]
            message = f"create Claim {name} Pod {pod_name(owner, ordinal)} in StatefulSet {who} success"
            self._recorder.record(owner, "Normal", "SuccessfulCreate", message)

    async def _keep_claims(self, owner: Object, pods: list[Object]) -> None:
        """Before pods go, say whom their claims belong to."""
        for pod in pods:
            for key in claim_keys(owner, pod):
                claim = self._claims.get(key)
                owners = claim_owners(owner, claim, pod) if claim else None
                if claim is not None and owners is not None:
                    meta = {**claim["metadata"], "ownerReferences": owners}
                    await self._client.update(PERSISTENT_VOLUME_CLAIMS, {**claim, "metadata": meta})

    async def _delete(self, key: str, owner: Object, pod: Object) -> None:
        meta = pod["metadata"]
        try:
            await self._client.delete(PODS, meta["name"], meta["namespace"], uid=meta["uid"])
        except NotFound:
            return
        self._writes.deleted(key, pod)
        message = f"delete Pod {meta['name']} in StatefulSet {owner['metadata']['name']} successful"
        self._recorder.record(owner, "Normal", "SuccessfulDelete", message)
