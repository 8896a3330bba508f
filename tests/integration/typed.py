"""A client that speaks as Go's typed ones do: protobuf both ways, JSON for patches, frames for watches."""

from __future__ import annotations

import contextlib
import http.client
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlencode

from tiphys.apis.protobuf import codec

Object = dict[str, Any]
PROTOBUF = "application/vnd.kubernetes.protobuf"
MERGE, STRATEGIC = "application/merge-patch+json", "application/strategic-merge-patch+json"
WAIT_S = 20.0


class Refused(Exception):
    """An answer that is no success."""

    def __init__(self, status: Object) -> None:
        super().__init__(status.get("message"))
        self.code, self.reason, self.details = status["code"], status.get("reason"), status.get("details", {})


@dataclass(frozen=True)
class Typed:
    """Calls of one resource; ``namespace`` empty means cluster-wide, or all namespaces where one lists."""

    api: Any
    version: str
    plural: str
    namespace: str = ""
    form: str = PROTOBUF

    def within(self, namespace: str) -> Typed:
        return replace(self, namespace=namespace)

    def as_json(self) -> Typed:
        """The dynamic client."""
        return replace(self, form="application/json")

    def _path(self, name: str = "", subresource: str = "", **query: str) -> str:
        root = f"/api/{self.version}" if "/" not in self.version else f"/apis/{self.version}"
        parts = ["namespaces", self.namespace] if self.namespace else []
        parts += [part for part in (self.plural, name, subresource) if part]
        return "/".join([root, *parts]) + (f"?{urlencode(query)}" if query else "")

    def _read(self, raw: bytes) -> Object:
        return codec.decode(raw) if raw.startswith(b"k8s\x00") else _loads(raw)

    def _send(self, method: str, path: str, body: Object | None = None, content_type: str = "") -> Object:
        packed: Any = body
        if body is not None and not content_type and self.form == PROTOBUF:
            packed = codec.encode(body)
        answer = self.api(
            method,
            path,
            packed,
            content_type=content_type or self.form,
            accept=f"{self.form},application/json",
        )
        found = self._read(answer.raw)
        if answer.status >= 300:
            raise Refused(found)
        return found

    def create(self, obj: Object, name: str = "", subresource: str = "") -> Object:
        return self._send("POST", self._path(name, subresource), obj)

    def get(self, name: str, subresource: str = "") -> Object:
        return self._send("GET", self._path(name, subresource))

    def list(self, **query: str) -> Object:
        found = self._send("GET", self._path(**query))
        return found | {"items": found.get("items") or []}

    def update(self, obj: Object, subresource: str = "") -> Object:
        return self._send("PUT", self._path(obj["metadata"]["name"], subresource), obj)

    def patch(self, name: str, patch: Any, content_type: str = MERGE, subresource: str = "") -> Object:
        return self._send("PATCH", self._path(name, subresource), patch, content_type)

    def delete(self, name: str, **options: Any) -> Object:
        body = {"kind": "DeleteOptions", "apiVersion": "meta.k8s.io/v1", **options}
        return self.as_json()._send("DELETE", self._path(name), body)

    def delete_collection(self, *, grace_s: int | None = None, propagation: str = "", **query: str) -> Object:
        body: Object = {"kind": "DeleteOptions", "apiVersion": "meta.k8s.io/v1"}
        if grace_s is not None:
            body["gracePeriodSeconds"] = grace_s
        if propagation:
            body["propagationPolicy"] = propagation
        return self.as_json()._send("DELETE", self._path(**query), body)

    def changed(self, name: str, change: Callable[[Object], None], subresource: str = "") -> Object:
        """Read, change and write back until nobody came between, as ``RetryOnConflict`` does."""
        for _ in range(10):
            live = self.get(name)
            change(live)
            try:
                return self.update(live, subresource)
            except Refused as refused:
                if refused.reason != "Conflict":
                    raise
        raise AssertionError("always a conflict")

    def gone(self, name: str) -> bool:
        """Tell whether an object is not there."""
        try:
            self.get(name)
        except Refused as refused:
            return bool(refused.reason == "NotFound")
        return False

    def until(self, name: str, holds: Callable[[Object], Any]) -> Object:
        """Read an object again and again until it is as asked."""
        return eventually(lambda: (found := self.get(name)) if holds(found := self.get(name)) else None)

    @contextlib.contextmanager
    def watch(self, version: str, **query: str) -> Iterator[Iterator[tuple[str, Object]]]:
        """Events after a version: (type, object)."""
        connection = self.api.connect()
        headers = {"Accept": f"{self.form};stream=watch", "Authorization": f"Bearer {self.api.token}"}
        read = _events if self.form == PROTOBUF else _lines
        try:
            connection.request(
                "GET", self._path(watch="true", resourceVersion=version, **query), headers=headers
            )
            yield read(connection.getresponse())
        finally:
            connection.close()


def _loads(raw: bytes) -> Object:
    import json

    return json.loads(raw)


def _events(response: http.client.HTTPResponse) -> Iterator[tuple[str, Object]]:
    assert response.status == 200, response.read()
    data = b""
    while chunk := response.read1(65536):
        data += chunk
        while (read := codec.read_watch_frame(data)) is not None:
            kind, obj, used = read
            data = data[used:]
            yield kind, obj


def _lines(response: http.client.HTTPResponse) -> Iterator[tuple[str, Object]]:
    assert response.status == 200, response.read()
    while line := response.readline():
        event = _loads(line)
        yield event["type"], event["object"]


def eventually(look: Callable[[], Any], wait_s: float = WAIT_S) -> Any:
    """Return the first true answer."""
    end = time.monotonic() + wait_s
    while time.monotonic() < end:
        if found := look():
            return found
        time.sleep(0.02)
    raise AssertionError(f"not within {wait_s} s")


def condition(obj: Object, kind: str) -> Object:
    """Return a condition of an object's status; empty where it has none of this type."""
    found = (obj.get("status") or {}).get("conditions") or []
    return next((one for one in found if one["type"] == kind), {})
