"""Pods that a node runs from files of its own, with a mirror of each in the API.

Owns reading the folder and keeping the mirrors; the pods themselves are run like any other.
Source: "Create static Pods".
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from tiphys.apimachinery import go_yaml
from tiphys.apimachinery.clock import Clock, rfc3339_micro
from tiphys.apimachinery.errors import AlreadyExists, Conflict, NotFound, StatusError
from tiphys.apimachinery.meta import Object
from tiphys.client.kinds import NODES, PODS
from tiphys.client.rest import Client
from tiphys.client.transport import TransportError
from tiphys.kubelet.pod_events import MIRROR

if TYPE_CHECKING:
    from tiphys.kubelet.kubelet import Kubelet

log = logging.getLogger(__name__)

SOURCE = "kubernetes.io/config.source"
HASH = "kubernetes.io/config.hash"
SEEN = "kubernetes.io/config.seen"
_SCAN_S = 2.0


def static_pod(manifest: dict[str, Any], node_name: str) -> Object:
    """Return the mirror pod for a manifest: named after its node, marked, bound. Raises ValueError."""
    if not isinstance(manifest, dict) or manifest.get("kind") != "Pod" or not manifest.get("spec"):
        raise ValueError("not a Pod manifest")
    try:
        text = orjson.dumps(manifest, option=orjson.OPT_SORT_KEYS)
    except TypeError as error:
        raise ValueError(f"the manifest is no JSON: {error}") from error
    pod: Object = orjson.loads(text)
    digest = hashlib.md5(text + node_name.encode(), usedforsecurity=False)
    _complete(pod)
    meta = pod["metadata"]
    if not meta.get("name"):
        raise ValueError("the Pod has no name")
    meta["name"] = f"{meta['name']}-{node_name}"
    meta.setdefault("namespace", "default")
    meta["annotations"].update({SOURCE: "file", HASH: digest.hexdigest(), MIRROR: digest.hexdigest()})
    pod["spec"]["nodeName"] = node_name
    pod["spec"]["tolerations"].append({"operator": "Exists", "effect": "NoExecute"})
    pod.pop("status", None)
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


class StaticPods:
    """Keeps the API's mirrors equal to the folder; ``run`` until cancelled."""

    def __init__(self, kubelet: Kubelet, folder: Path, client: Client, clock: Clock) -> None:
        self._kubelet = kubelet
        self._folder = folder
        self._client = client
        self._clock = clock

    async def run(self) -> None:
        while True:
            try:
                wanted = await asyncio.to_thread(self._read)
                await self._sync(wanted)
            except (StatusError, TransportError, OSError) as error:
                log.warning("static pods not in step folder=%s error=%s", self._folder, error)
            await asyncio.sleep(_SCAN_S)

    def _read(self) -> dict[str, Object]:
        found = {}
        for path in sorted(self._folder.iterdir()) if self._folder.is_dir() else ():
            if path.suffix not in (".yaml", ".yml", ".json") or path.name.startswith("."):
                continue
            try:
                pod = static_pod(go_yaml.load(path.read_text())[0], self._kubelet.options.node_name)
            except (OSError, ValueError) as error:  # the others shall run all the same
                log.warning("static pod manifest refused file=%s error=%s", path, error)
                continue
            found[f"{pod['metadata']['namespace']}/{pod['metadata']['name']}"] = pod
        return found

    async def _sync(self, wanted: dict[str, Object]) -> None:
        mirrors = {
            f"{worker.pod['metadata']['namespace']}/{worker.pod['metadata']['name']}": worker.pod
            for worker in list(self._kubelet.workers.values())
            if MIRROR in (worker.pod["metadata"].get("annotations") or {})
        }
        for key, mirror in mirrors.items():
            meta = mirror["metadata"]
            same = (
                key in wanted and wanted[key]["metadata"]["annotations"][HASH] == meta["annotations"][MIRROR]
            )
            if not same and "deletionTimestamp" not in meta:
                with contextlib.suppress(NotFound, Conflict):  # it has gone meanwhile
                    await self._client.delete(PODS, meta["name"], meta["namespace"], uid=meta["uid"])
        for key, pod in wanted.items():
            if key not in mirrors:
                await self._make(key, pod)

    async def _make(self, key: str, pod: Object) -> None:
        node = await self._client.get(NODES, self._kubelet.options.node_name)
        try:
            await self._client.create(PODS, owned(seen(pod, self._clock.now()), node))
        except AlreadyExists:
            return  # the old one is still going
        except StatusError as error:  # the others shall run all the same
            log.warning("static pod not made pod=%s error=%s", key, error)


def seen(pod: Object, now: datetime) -> Object:
    """Return a mirror pod that tells when its manifest was found. Pure."""
    meta = pod["metadata"]
    return {**pod, "metadata": {**meta, "annotations": {**meta["annotations"], SEEN: rfc3339_micro(now)}}}


def owned(pod: Object, node: Object) -> Object:
    """Return a mirror pod as its node's: the API takes no other from a kubelet. Pure."""
    owner = {
        "apiVersion": "v1",
        "kind": "Node",
        "name": node["metadata"]["name"],
        "uid": node["metadata"]["uid"],
        "controller": True,
    }
    return {**pod, "metadata": {**pod["metadata"], "ownerReferences": [owner]}}
