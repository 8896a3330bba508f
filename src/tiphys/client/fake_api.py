"""A small API server over a dict, for tests of clients and controllers: any resource, no rules.

Speaks enough of the API for list, watch (resume, 410, bookmarks), CRUD, merge and strategic-as-merge
patches, subresources, finalizers and preconditions. It validates and defaults nothing: that is the real
server's work. Tests may edit ``objects`` through ``put`` and inspect ``calls``.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import orjson

from tiphys.apimachinery.clock import Clock, FakeClock, rfc3339
from tiphys.apimachinery.errors import (
    AlreadyExists,
    BadRequest,
    Conflict,
    Expired,
    NotFound,
    StatusError,
)
from tiphys.apimachinery.meta import GVR, Object, copy_object, generate_name, new_uid
from tiphys.wire.message import Request, Response

_Key = tuple[str, str]
Reactor = Callable[[Request], StatusError | None]


class FakeApi:
    """``handler`` is what an ``InProcessTransport`` calls."""

    def __init__(self, clock: Clock | None = None) -> None:
        self.clock = clock or FakeClock()
        self.objects: dict[GVR, dict[_Key, Object]] = {}
        self.kinds: dict[str, str] = {}
        self.calls: list[tuple[str, str]] = []
        self.reactors: list[Reactor] = []
        """Called before every request; an error they return is the answer."""
        self.discovery: dict[str, Object] = {}
        """Answers for GET on exact paths (``/api``, ``/apis/apps/v1``)."""
        self.revision = 0
        self.oldest = 0
        """Watches from before this revision answer 410."""
        self._log: list[tuple[int, GVR, str, Object]] = []
        self._changed = asyncio.Event()
        self._held = False

    async def handler(self, request: Request) -> Response:
        """Answer one request."""
        await asyncio.sleep(0)
        self.calls.append((request.method, request.path))
        try:
            for reactor in self.reactors:
                error = reactor(request)
                if error is not None:
                    raise error
            return self._answer(request)
        except StatusError as error:
            return _json(error.to_status(), error.status_code)

    def writes(self) -> list[tuple[str, str]]:
        """Return the calls that were not reads."""
        return [call for call in self.calls if call[0] != "GET"]

    def put(self, gvr: GVR, obj: Object) -> Any:
        """Write an object past all rules, as another client would have, and return what is stored."""
        obj = copy_object(obj)
        meta = obj["metadata"]
        key = (meta.get("namespace") or "", meta["name"])
        old = self.objects.setdefault(gvr, {}).get(key)
        meta.setdefault("uid", old["metadata"]["uid"] if old else new_uid())
        meta.setdefault("creationTimestamp", rfc3339(self.clock.now()))
        self._store(gvr, key, obj, "MODIFIED" if old else "ADDED")
        return copy_object(obj)

    def get(self, gvr: GVR, name: str, namespace: str = "") -> Object | None:
        found = self.objects.get(gvr, {}).get((namespace, name))
        return copy_object(found) if found else None

    def all(self, gvr: GVR, namespace: str = "") -> list[Object]:
        items = self.objects.get(gvr, {}).items()
        return [copy_object(obj) for key, obj in sorted(items) if not namespace or key[0] == namespace]

    def remove(self, gvr: GVR, name: str, namespace: str = "") -> None:
        obj = self.objects[gvr].pop((namespace, name))
        self.revision += 1
        gone = copy_object(obj)
        gone["metadata"]["resourceVersion"] = str(self.revision)
        self._announce(gvr, "DELETED", gone)

    def break_watches(self) -> None:
        """End every open watch, as a restarting server does."""
        self._log.append((-1, GVR("", "", ""), "BREAK", {}))
        self._wake()

    def hold_watches(self) -> None:
        """Have every watch fall behind."""
        self._held = True

    def release_watches(self) -> None:
        """Have every watch catch up."""
        self._held = False
        self._wake()

    def expire(self) -> None:
        """Forget the history: watches must list again."""
        self.oldest = self.revision + 1

    def _answer(self, request: Request) -> Response:
        if request.path in self.discovery:
            return _json(self.discovery[request.path])
        gvr, namespace, name, subresource = parse_path(request.path)
        query = {key: values[0] for key, values in request.query.items()}
        if request.method == "GET" and query.get("watch") == "true":
            return Response(stream=self._watch(gvr, namespace, query))
        if request.method == "GET" and not name:
            return _json(self._list(gvr, namespace, query))
        if request.method == "GET":
            return _json(self._live(gvr, namespace, name))
        body = orjson.loads(request.body) if request.body else {}
        if request.method == "POST":
            return _json(self._create(gvr, namespace, name, subresource, body), 201)
        if request.method == "PUT":
            return _json(self._update(gvr, namespace, name, subresource, body))
        if request.method == "PATCH":
            return _json(self._patch(gvr, namespace, name, subresource, body))
        if request.method == "DELETE" and name:
            return _json(self._delete(gvr, namespace, name, body))
        for key in [key for key in self.objects.get(gvr, {}) if not namespace or key[0] == namespace]:
            self._delete(gvr, *key, body)
        return _json({"kind": "Status", "apiVersion": "v1", "status": "Success"})

    def _list(self, gvr: GVR, namespace: str, query: dict[str, str]) -> Object:
        items = [obj for obj in self.all(gvr, namespace) if _selected(obj, query)]
        kind = items[0].get("kind", "Object") if items else "Object"
        meta = {"resourceVersion": str(self.revision)}
        return {"kind": f"{kind}List", "apiVersion": gvr.api_version, "metadata": meta, "items": items}

    async def _watch(self, gvr: GVR, namespace: str, query: dict[str, str]) -> AsyncIterator[bytes]:
        since = int(query.get("resourceVersion") or self.revision)
        if since < self.oldest - 1:
            status = Expired(f"too old resource version: {since} ({self.revision})").to_status()
            yield orjson.dumps({"type": "ERROR", "object": status}) + b"\n"
            return
        position = next((i for i, entry in enumerate(self._log) if entry[0] > since), len(self._log))
        while True:
            while position < len(self._log) and not self._held:
                revision, changed, kind, obj = self._log[position]
                position += 1
                if revision < 0:
                    return
                here = not namespace or obj["metadata"].get("namespace") == namespace
                if changed == gvr and here and _selected(obj, query):
                    yield orjson.dumps({"type": kind, "object": obj}) + b"\n"
            await self._changed.wait()

    def _create(self, gvr: GVR, namespace: str, name: str, subresource: str, body: Object) -> Any:
        if subresource == "eviction":
            return self._delete(gvr, namespace, name, body.get("deleteOptions") or {})
        if subresource:
            return self._live(gvr, namespace, name) and body
        obj = copy_object(body)
        meta = obj["metadata"]
        if not meta.get("name"):
            if not meta.get("generateName"):
                raise BadRequest("name or generateName is required")
            meta["name"] = generate_name(meta["generateName"])
        if (namespace, meta["name"]) in self.objects.get(gvr, {}):
            raise AlreadyExists.of(gvr.group, gvr.resource, meta["name"])
        meta.update(uid=new_uid(), creationTimestamp=rfc3339(self.clock.now()), generation=1)
        if namespace:
            meta["namespace"] = namespace
        self._store(gvr, (namespace, meta["name"]), obj, "ADDED")
        return copy_object(obj)

    def _update(self, gvr: GVR, namespace: str, name: str, subresource: str, body: Object) -> Any:
        old = self._live(gvr, namespace, name)
        expected = body["metadata"].get("resourceVersion")
        if expected and expected != old["metadata"]["resourceVersion"]:
            raise Conflict.of(gvr.group, gvr.resource, name)
        if subresource == "status":
            new = _with_status(old, body)
        else:
            new = {**copy_object(body)}
            if "status" in old and not subresource:
                new["status"] = copy_object(old["status"])
            for field in ("uid", "creationTimestamp", "deletionTimestamp", "generation"):
                if field in old["metadata"]:
                    new["metadata"][field] = old["metadata"][field]
            if new.get("spec") != old.get("spec"):
                new["metadata"]["generation"] = old["metadata"].get("generation", 1) + 1
        return self._settle(gvr, namespace, name, old, new)

    def _patch(self, gvr: GVR, namespace: str, name: str, subresource: str, body: Any) -> Any:
        old = self._live(gvr, namespace, name)
        if isinstance(body, list):
            raise BadRequest("the fake knows no JSON patches")
        uid = (body.get("metadata") or {}).get("uid")
        if uid and uid != old["metadata"]["uid"]:
            raise Conflict.of(gvr.group, gvr.resource, name)
        new = merge(copy_object(old), body)
        if subresource == "status":
            new = _with_status(old, new)
        new["metadata"]["resourceVersion"] = (body.get("metadata") or {}).get(
            "resourceVersion", old["metadata"]["resourceVersion"]
        )
        if new.get("spec") != old.get("spec"):
            new["metadata"]["generation"] = old["metadata"].get("generation", 1) + 1
        if new["metadata"]["resourceVersion"] != old["metadata"]["resourceVersion"]:
            raise Conflict.of(gvr.group, gvr.resource, name)
        return self._settle(gvr, namespace, name, old, new)

    def _settle(self, gvr: GVR, namespace: str, name: str, old: Object, new: Object) -> Any:
        """Write a change; nothing changed writes nothing, the last finalizer's removal deletes."""
        new["metadata"]["resourceVersion"] = old["metadata"]["resourceVersion"]
        if new == old:
            return new
        if new["metadata"].get("deletionTimestamp") and not _finalizers(gvr, new):
            self.objects[gvr][(namespace, name)] = new
            self.remove(gvr, name, namespace)
            return new
        self._store(gvr, (namespace, name), new, "MODIFIED")
        return copy_object(new)

    def _delete(self, gvr: GVR, namespace: str, name: str, options: Object) -> Object:
        obj = self._live(gvr, namespace, name)
        meta = obj["metadata"]
        for field, value in (options.get("preconditions") or {}).items():
            if meta.get(field) != value:
                raise Conflict.of(gvr.group, gvr.resource, name)
        policy = options.get("propagationPolicy")
        finalizer = {"Orphan": "orphan", "Foreground": "foregroundDeletion"}.get(policy or "")
        if finalizer and finalizer not in (meta.get("finalizers") or ()):
            meta.setdefault("finalizers", []).append(finalizer)
        if not _finalizers(gvr, obj):
            self.remove(gvr, name, namespace)
            return obj
        if not meta.get("deletionTimestamp"):
            meta["deletionTimestamp"] = rfc3339(self.clock.now())
            self._store(gvr, (namespace, name), obj, "MODIFIED")
        return obj

    def _live(self, gvr: GVR, namespace: str, name: str) -> Object:
        found = self.get(gvr, name, namespace)
        if found is None:
            raise NotFound.of(gvr.group, gvr.resource, name)
        return found

    def _store(self, gvr: GVR, key: _Key, obj: Object, kind: str) -> None:
        self.revision += 1
        obj["metadata"]["resourceVersion"] = str(self.revision)
        self.objects.setdefault(gvr, {})[key] = copy_object(obj)
        self._announce(gvr, kind, copy_object(obj))

    def _announce(self, gvr: GVR, kind: str, obj: Object) -> None:
        self._log.append((self.revision, gvr, kind, obj))
        self._wake()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()


def parse_path(path: str) -> tuple[GVR, str, str, str]:
    """Split an API path into resource, namespace, name and subresource."""
    parts = path.strip("/").split("/")
    if parts[0] == "api" and len(parts) > 2:
        group, version, rest = "", parts[1], parts[2:]
    elif parts[0] == "apis" and len(parts) > 3:
        group, version, rest = parts[1], parts[2], parts[3:]
    else:
        raise NotFound.path()
    namespace = ""
    # /namespaces/x/finalize and /namespaces/x/status are about the namespace itself.
    if rest[0] == "namespaces" and len(rest) > 2 and rest[2] not in ("finalize", "status"):
        namespace, rest = rest[1], rest[2:]
    rest += ["", ""]
    return GVR(group, version, rest[0]), namespace, rest[1], rest[2]


def merge(target: Any, patch: Any) -> Any:
    """Apply a JSON merge patch (RFC 7386) in place and return the result."""
    if not isinstance(patch, dict):
        return patch
    if not isinstance(target, dict):
        target = {}
    for key, value in patch.items():
        if value is None:
            target.pop(key, None)
        else:
            target[key] = merge(target.get(key), value)
    return target


def _finalizers(gvr: GVR, obj: Object) -> list[str]:
    found: list[str] = list(obj["metadata"].get("finalizers") or ())
    if gvr.resource == "namespaces":
        found += (obj.get("spec") or {}).get("finalizers") or ()
    return found


def _selected(obj: Object, query: dict[str, str]) -> bool:
    labels = obj["metadata"].get("labels") or {}
    for term in filter(None, query.get("labelSelector", "").split(",")):
        key, _, value = term.replace("==", "=").partition("=")
        if labels.get(key) != value:
            return False
    for term in filter(None, query.get("fieldSelector", "").split(",")):
        path, _, value = term.replace("==", "=").partition("=")
        found: Any = obj
        for part in path.split("."):
            found = (found or {}).get(part)
        if (found or "") != value:
            return False
    return True


def _with_status(old: Object, new: Object) -> Object:
    """Return what a write of a status makes of an object: annotations go along."""
    whole: Object = {**copy_object(old), "status": new.get("status")}
    annotations = (new.get("metadata") or {}).get("annotations")
    if annotations is not None:
        whole["metadata"]["annotations"] = copy_object(annotations)
    return whole


def _json(value: Any, status: int = 200) -> Response:
    return Response(status, {"Content-Type": "application/json"}, orjson.dumps(value))
