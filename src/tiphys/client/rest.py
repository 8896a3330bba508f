"""Typed errors and plain objects over a ``Transport``: the API's verbs, one method each.

Refuses to retry writes: what a conflict or a lost answer means is for the caller to know. A 429 with
Retry-After is waited out a bounded number of times, as the server did nothing yet.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Coroutine, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

import orjson

from tiphys.apimachinery.clock import Clock
from tiphys.apimachinery.errors import StatusError, TooManyRequests, from_status
from tiphys.apimachinery.meta import GVR, Object
from tiphys.client import kubeconfig
from tiphys.client.transport import Answer, Call, Transport
from tiphys.client.watch import WatchEvent, read_events

if TYPE_CHECKING:
    from tiphys.client.events import EventRecorder

_JSON = "application/json"
_PATCH_TYPES = {
    "merge": "application/merge-patch+json",
    "json": "application/json-patch+json",
    "strategic": "application/strategic-merge-patch+json",
    "apply": "application/apply-patch+yaml",
}
_MAX_RETRIES = 5
_MAX_RETRY_AFTER_S = 30
_WATCH_MIN_S = 300
_WATCH_SILENCE_S = 60
_BOOKMARK_SILENCE_S = 90.0
"""Bookmarks come every minute: a server that sends nothing for so long hangs, though connections stand."""


def resource_path(gvr: GVR, namespace: str = "", name: str = "", subresource: str = "") -> str:
    """Return the URL path of a collection, object or subresource, each part percent-encoded."""
    parts = ["/apis", gvr.group, gvr.version] if gvr.group else ["/api", gvr.version]
    if namespace:
        parts += ["namespaces", quote(namespace, safe="")]
    parts.append(gvr.resource)
    if name:
        parts.append(quote(name, safe=""))
    if subresource:
        parts.append(subresource)
    return "/".join(parts)


class Client:
    """The API server as this component sees it; safe for concurrent use on one event loop.

    Owns its transport and the senders of its event recorders: ``close`` ends them.
    """

    def __init__(
        self, transport: Transport, *, user_agent: str = "tiphys", clock: Clock | None = None
    ) -> None:
        self.transport = transport
        self._clock = clock
        self.user_agent = user_agent
        self._recorders: dict[tuple[str, str], EventRecorder] = {}
        self._background: set[asyncio.Task[None]] = set()

    @classmethod
    def from_kubeconfig(cls, path: str | Path, *, context: str = "", user_agent: str = "tiphys") -> Client:
        """Raises kubeconfig.ConfigError."""
        return cls(kubeconfig.load(path, context).transport(), user_agent=user_agent)

    @classmethod
    def in_cluster(cls, *, user_agent: str = "tiphys") -> Client:
        """Raises kubeconfig.ConfigError outside of a pod."""
        return cls(kubeconfig.in_cluster().transport(), user_agent=user_agent)

    async def close(self) -> None:
        """Stop background senders and close connections. Idempotent."""
        for task in list(self._background):
            task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.gather(*self._background, return_exceptions=True)
        await self.transport.close()

    async def get(self, gvr: GVR, name: str, namespace: str = "", *, subresource: str = "") -> Object:
        return await self.request("GET", resource_path(gvr, namespace, name, subresource))

    async def list(
        self,
        gvr: GVR,
        namespace: str = "",
        *,
        label_selector: str = "",
        field_selector: str = "",
        limit: int = 0,
        continue_token: str = "",
        resource_version: str = "",
    ) -> Object:
        """Return the List object; empty namespace: all of them."""
        query = {
            "labelSelector": label_selector,
            "fieldSelector": field_selector,
            "limit": str(limit) if limit else "",
            "continue": continue_token,
            "resourceVersion": resource_version,
        }
        return await self.request("GET", resource_path(gvr, namespace), query=query)

    async def create(self, gvr: GVR, obj: Object, *, field_manager: str = "") -> Object:
        """Create in the namespace that ``obj`` names and return what was stored."""
        path = resource_path(gvr, _namespace(obj))
        return await self.request("POST", path, query={"fieldManager": field_manager}, body=obj)

    async def update(
        self, gvr: GVR, obj: Object, subresource: str = "", *, field_manager: str = ""
    ) -> Object:
        """Replace; with ``metadata.resourceVersion`` set, raises Conflict when it is no longer live."""
        path = resource_path(gvr, _namespace(obj), obj["metadata"]["name"], subresource)
        return await self.request("PUT", path, query={"fieldManager": field_manager}, body=obj)

    async def patch(
        self,
        gvr: GVR,
        name: str,
        namespace: str = "",
        patch: Any = None,
        *,
        type: str = "merge",
        subresource: str = "",
        field_manager: str = "",
        force: bool = False,
    ) -> Object:
        """Patch; ``type`` is merge, json, strategic or apply (server-side apply needs ``field_manager``)."""
        query = {"fieldManager": field_manager, "force": "true" if force else ""}
        path = resource_path(gvr, namespace, name, subresource)
        return await self.request("PATCH", path, query=query, body=patch, content_type=_PATCH_TYPES[type])

    async def delete(
        self,
        gvr: GVR,
        name: str,
        namespace: str = "",
        *,
        propagation: str = "",
        grace_period_s: int | None = None,
        uid: str = "",
        resource_version: str = "",
    ) -> Object:
        """Delete, only if ``uid`` and ``resource_version`` (where given) still hold; else Conflict."""
        options = _delete_options(propagation, grace_period_s, uid, resource_version)
        return await self.request("DELETE", resource_path(gvr, namespace, name), body=options)

    async def delete_collection(
        self,
        gvr: GVR,
        namespace: str = "",
        *,
        label_selector: str = "",
        field_selector: str = "",
        propagation: str = "",
        grace_period_s: int | None = None,
    ) -> Object:
        query = {"labelSelector": label_selector, "fieldSelector": field_selector}
        options = _delete_options(propagation, grace_period_s, "", "")
        return await self.request("DELETE", resource_path(gvr, namespace), query=query, body=options)

    async def post(self, gvr: GVR, name: str, namespace: str, subresource: str, body: Object) -> Object:
        """Create on a subresource: ``binding``, ``eviction``, ``token``, ``finalize`` and the like."""
        return await self.request("POST", resource_path(gvr, namespace, name, subresource), body=body)

    @asynccontextmanager
    async def watch(
        self,
        gvr: GVR,
        namespace: str = "",
        *,
        resource_version: str = "",
        label_selector: str = "",
        field_selector: str = "",
        bookmarks: bool = True,
        timeout_s: int = 0,
    ) -> AsyncIterator[AsyncIterator[WatchEvent]]:
        """Open a watch. The iterator ends when the server closes it, raises Expired when history is gone.

        ``timeout_s`` 0: a random five to ten minutes, so that watches spread over servers.
        """
        timeout_s = timeout_s or int(_WATCH_MIN_S * (1 + random.random()))
        query = {
            "watch": "true",
            "resourceVersion": resource_version,
            "labelSelector": label_selector,
            "fieldSelector": field_selector,
            "allowWatchBookmarks": "true" if bookmarks else "",
            "timeoutSeconds": str(timeout_s),
        }
        call = Call(
            "GET",
            resource_path(gvr, namespace),
            _encode(query),
            self._headers(),
            timeout_s=_BOOKMARK_SILENCE_S if bookmarks else timeout_s + _WATCH_SILENCE_S,
        )
        async with self.transport.stream(call) as stream:
            if stream.status >= 400:
                body = b"".join([chunk async for chunk in stream.chunks])
                raise _error(Answer(stream.status, stream.headers, body))
            yield read_events(stream.chunks)

    async def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Any = None,
        content_type: str = _JSON,
    ) -> Object:
        """Send JSON, return the decoded answer. Raises the server's own StatusError, TransportError."""
        headers = self._headers()
        payload = b""
        if body is not None:
            payload = body if isinstance(body, bytes) else orjson.dumps(body)
            headers["Content-Type"] = content_type
        answer = await self.send(Call(method, path, _encode(query or {}), headers, payload))
        decoded: Object = orjson.loads(answer.body) if answer.body else {}
        return decoded

    async def send(self, call: Call) -> Answer:
        """Send a raw call and return a successful answer, whatever its type. Raises as ``request``."""
        for attempt in range(_MAX_RETRIES + 1):
            answer = await self.transport.send(call)
            if answer.status < 400:
                return answer
            error = _error(answer)
            retry_after = answer.headers.get("retry-after", "")
            may_retry = answer.status == 429 and retry_after.isdigit() and _may_wait(call)
            if not may_retry or attempt == _MAX_RETRIES:
                raise error
            await asyncio.sleep(min(int(retry_after), _MAX_RETRY_AFTER_S))
            call = replace(call, repeats=answer.status)
        raise AssertionError("unreachable: the last attempt returns or raises")

    def events(self, component: str, host: str = "") -> EventRecorder:
        """Return the recorder of this component, shared by all who ask for the same one."""
        from tiphys.client.events import EventRecorder

        key = (component, host)
        if key not in self._recorders:
            self._recorders[key] = EventRecorder(self, component, host, clock=self._clock)
        return self._recorders[key]

    def start_background(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run work that belongs to this client until it ends or the client is closed."""
        task = asyncio.get_running_loop().create_task(work)  # parent: this client
        self._background.add(task)
        task.add_done_callback(self._background.discard)
        return task

    def _headers(self) -> dict[str, str]:
        return {"Accept": _JSON, "User-Agent": self.user_agent}


def _may_wait(call: Call) -> bool:
    # An eviction's 429 says that a disruption budget forbids it: the caller decides what that means.
    return not call.path.endswith("/eviction")


def _namespace(obj: Object) -> str:
    return str(obj["metadata"].get("namespace") or "")


def _encode(query: Mapping[str, str]) -> str:
    given = {key: value for key, value in query.items() if value}
    return urlencode(given) if given else ""


def _delete_options(
    propagation: str, grace_period_s: int | None, uid: str, resource_version: str
) -> Object | None:
    options: Object = {}
    if propagation:
        options["propagationPolicy"] = propagation
    if grace_period_s is not None:
        options["gracePeriodSeconds"] = grace_period_s
    preconditions = {"uid": uid, "resourceVersion": resource_version}
    if uid or resource_version:
        options["preconditions"] = {key: value for key, value in preconditions.items() if value}
    return {"kind": "DeleteOptions", "apiVersion": "v1", **options} if options else None


def _error(answer: Answer) -> StatusError:
    try:
        status = orjson.loads(answer.body)
    except orjson.JSONDecodeError:
        status = {"message": answer.body.decode(errors="replace").strip()}
    error = from_status(status if isinstance(status, dict) else {}, answer.status)
    retry_after = answer.headers.get("retry-after", "")
    if isinstance(error, TooManyRequests) and retry_after.isdigit():
        error.retry_after_s = int(retry_after)
    return error
