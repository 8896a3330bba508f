"""Pods that a node runs from files of its own, with a mirror of each in the API.

Owns reading the folder, starting and ending those pods, and keeping their mirrors. A pod is its manifest's,
known by the manifest's hash: it runs whether or not there is an API server (which may be one of them), and
goes on when somebody deletes its mirror. The mirrors show its status, and are never run.
Source: "Create static Pods".
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

import orjson

from tiphys.apimachinery import go_yaml
from tiphys.apimachinery.clock import Clock, rfc3339, rfc3339_micro
from tiphys.apimachinery.errors import AlreadyExists, Conflict, NotFound, StatusError
from tiphys.apimachinery.meta import Object, object_key
from tiphys.client.kinds import NODES, PODS
from tiphys.client.rest import Client
from tiphys.client.transport import TransportError
from tiphys.kubelet.lifecycle import grace_period_s
from tiphys.kubelet.status.mirror import HASH, MIRROR, SOURCE, is_static, mirrored_by

log = logging.getLogger(__name__)

SEEN = "kubernetes.io/config.seen"
_SCAN_S = 2.0


class Worker(Protocol):
    """What looks after a pod."""

    @property
    def pod(self) -> Object: ...
    def update(self, pod: Object) -> None: ...
    def mirrored(self, mirror: Object | None) -> None: ...


class Pods(Protocol):
    """Who has the workers: the kubelet."""

    @property
    def workers(self) -> Mapping[str, Worker]: ...
    def add_pod(self, pod: Object) -> None: ...


def static_pod(manifest: dict[str, Any], node_name: str) -> Object:
    """Return the pod of a manifest: named after its node, marked, bound, complete. Raises ValueError."""
    if not isinstance(manifest, dict) or manifest.get("kind") != "Pod" or not manifest.get("spec"):
        raise ValueError("not a Pod manifest")
    try:
        text = orjson.dumps(manifest, option=orjson.OPT_SORT_KEYS)
    except TypeError as error:
        raise ValueError(f"the manifest is no JSON: {error}") from error
    pod: Object = orjson.loads(text)
    digest = hashlib.md5(text + node_name.encode(), usedforsecurity=False).hexdigest()
    _complete(pod)
    meta = pod["metadata"]
    if not meta.get("name"):
        raise ValueError("the Pod has no name")
    meta["name"], meta["uid"] = f"{meta['name']}-{node_name}", digest
    meta.setdefault("namespace", "default")
    meta["annotations"].update({SOURCE: "file", HASH: digest})
    pod["spec"]["nodeName"] = node_name
    pod["spec"]["tolerations"].append({"operator": "Exists", "effect": "NoExecute"})
    pod.pop("status", None)
    _check(pod)
    return pod


def _complete(pod: Object) -> None:
    """Make what is about to be added to, where it is missing or null. Raises ValueError."""
    for key in ("metadata", "spec"):
        _hold(pod, key, dict)
    _hold(pod["metadata"], "annotations", dict)
    _hold(pod["spec"], "tolerations", list)


def _hold(holder: Object, key: str, kind: type) -> None:
    if holder.get(key) is None:
        holder[key] = kind()
    if not isinstance(holder[key], kind):
        raise ValueError(f"{key} is no {'map' if kind is dict else 'list'}")


def _check(pod: Object) -> None:
    """Complete a pod as the API server would, and refuse what it would. Raises ValueError."""
    from tiphys.apis.core.pod_defaults import default_pod  # most nodes have no such pods
    from tiphys.apis.core.pod_validation import validate_pod

    try:
        default_pod(pod)
        faults = validate_pod(pod)
    except (TypeError, AttributeError, KeyError) as error:
        raise ValueError(f"malformed: {error}") from error
    if faults:
        raise ValueError("; ".join(str(fault) for fault in faults))


class StaticPods:
    """``run`` runs the folder's pods, ``keep_mirrors`` their mirrors, each until cancelled.

    Without a folder there are none: mirrors of an earlier run are removed.
    """

    def __init__(
        self, kubelet: Pods, node_name: str, folder: Path | None, client: Client, clock: Clock
    ) -> None:
        self._kubelet = kubelet
        self._node_name = node_name
        self._folder = folder
        self._client = client
        self._clock = clock
        self._wanted: dict[str, Object] = {}
        self._mirrors: dict[str, Object] = {}
        self._changed = asyncio.Event()

    async def run(self) -> None:
        """Look again and again; the first look has been taken."""
        while True:
            await asyncio.sleep(_SCAN_S)
            await self.look()

    async def look(self) -> None:
        """See what lies in the folder, and run that and nothing else."""
        try:
            wanted = await asyncio.to_thread(self._read)
        except OSError as error:
            log.warning("static pods not read folder=%s error=%s", self._folder, error)
            return
        if wanted != self._wanted:
            self._wanted = wanted
            self._changed.set()
        running = {
            object_key(worker.pod): worker
            for worker in list(self._kubelet.workers.values())
            if is_static(worker.pod)
        }
        for key, worker in running.items():
            if wanted.get(key, {}).get("metadata", {}).get("uid") != worker.pod["metadata"]["uid"]:
                self._end(worker)
        for key, pod in wanted.items():
            if key not in running:  # where an earlier one has not ended yet, the next look begins it
                self._begin(key, pod)

    def _begin(self, key: str, pod: Object) -> None:
        self._kubelet.add_pod(pod)
        worker, mirror = self._kubelet.workers.get(pod["metadata"]["uid"]), self._mirrors.get(key)
        if worker is not None and mirror is not None and mirrored_by(mirror) == pod["metadata"]["uid"]:
            worker.mirrored(mirror)

    def _end(self, worker: Worker) -> None:
        meta = worker.pod["metadata"]
        if "deletionTimestamp" not in meta:
            going = {
                "deletionTimestamp": rfc3339(self._clock.now()),
                "deletionGracePeriodSeconds": grace_period_s(worker.pod),
            }
            worker.update({**worker.pod, "metadata": {**meta, **going}})

    def _read(self) -> dict[str, Object]:
        found: dict[str, Object] = {}
        if self._folder is None or not self._folder.is_dir():
            return found
        for path in sorted(self._folder.iterdir()):
            if path.suffix not in (".yaml", ".yml", ".json") or path.name.startswith("."):
                continue
            try:
                pod = static_pod(go_yaml.load(path.read_text())[0], self._node_name)
            except (OSError, ValueError) as error:  # the others shall run all the same
                log.warning("static pod manifest refused file=%s error=%s", path, error)
                continue
            found[object_key(pod)] = pod
        return found

    # -- mirrors

    def on_mirror(self, old: Object | None, new: Object | None) -> None:
        """Informer handler, of mirrors alone."""
        mirror = new or old
        if mirror is None:
            return
        if new is None:
            self._mirrors.pop(object_key(mirror), None)
        else:
            self._mirrors[object_key(mirror)] = new
        worker = self._kubelet.workers.get(mirrored_by(mirror))
        if worker is not None:
            worker.mirrored(new)
        self._changed.set()

    async def keep_mirrors(self) -> None:
        """Have one mirror of each pod in the API, and no others; begin once its pods are known."""
        self._changed.set()
        while True:
            await self._changed.wait()
            self._changed.clear()
            try:
                await self.reconcile()
            except (StatusError, TransportError) as error:
                log.warning("mirrors of static pods not in step error=%s", error)
                self._changed.set()
                await asyncio.sleep(_SCAN_S)

    async def reconcile(self) -> None:
        """Delete mirrors of nothing and those that are going, make what is missing. Raises as the client."""
        for key, mirror in list(self._mirrors.items()):
            meta, pod = mirror["metadata"], self._wanted.get(key)
            if pod is None or pod["metadata"]["uid"] != mirrored_by(mirror) or "deletionTimestamp" in meta:
                with contextlib.suppress(NotFound, Conflict):  # it has gone meanwhile
                    await self._client.delete(
                        PODS, meta["name"], meta["namespace"], grace_period_s=0, uid=meta["uid"]
                    )
        missing = [pod for key, pod in self._wanted.items() if key not in self._mirrors]
        if missing:
            node = await self._client.get(NODES, self._node_name)
            refused = [pod for pod in missing if not await self._make(pod, node)]
            if refused:
                raise TransportError(f"{len(refused)} mirrors could not be made")

    async def _make(self, pod: Object, node: Object) -> bool:
        try:
            await self._client.create(PODS, mirror_of(pod, node, self._clock.now()))
        except AlreadyExists:
            pass  # the watch tells more
        except StatusError as error:  # the others shall have theirs all the same
            log.warning("mirror of static pod not made pod=%s error=%s", object_key(pod), error)
            return False
        return True


def mirror_of(pod: Object, node: Object, now: datetime) -> Object:
    """Return a static pod's mirror: its node's, as the API takes no other from a kubelet. Pure."""
    meta = {key: value for key, value in pod["metadata"].items() if key != "uid"}
    marks = {MIRROR: pod["metadata"]["uid"], SEEN: rfc3339_micro(now)}
    owner = {
        "apiVersion": "v1",
        "kind": "Node",
        "name": node["metadata"]["name"],
        "uid": node["metadata"]["uid"],
        "controller": True,
    }
    return {
        **pod,
        "metadata": {**meta, "annotations": {**meta["annotations"], **marks}, "ownerReferences": [owner]},
    }
