"""OpenAPI documents of one server, encoded on first demand and kept until the resource table changes.

The handlers of ``/openapi/v2`` and ``/openapi/v3`` hold one ``OpenApi``; encoding a document takes some
tenths of a second of CPU, so they call it in a thread where that matters.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import orjson

from tiphys.apis import openapi_proto, openapi_proto_v3, openapi_v2, openapi_v3
from tiphys.apis.openapi_definitions import CustomSchemas, Definition, no_custom_schemas, source_definitions
from tiphys.apis.openapi_merge import RemoteSpec, merge
from tiphys.apis.table import TABLE, ResourceTable

V2_PROTOBUF = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf"
V2_PROTOBUF_OLD = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"
Remotes = Callable[[], Sequence[RemoteSpec]]
"""What aggregated API servers publish: the same sequence object until something of it changes."""


def no_remotes() -> Sequence[RemoteSpec]:
    """Know of no aggregated API servers."""
    return ()


class OpenApi:
    """Documents as bytes. ``changed`` forgets them when a CRD's schema changed without its row changing."""

    def __init__(
        self,
        table: ResourceTable = TABLE,
        custom: CustomSchemas = no_custom_schemas,
        version: str = "v1.36.0",
        remotes: Remotes = no_remotes,
    ) -> None:
        self._table = table
        self._custom = custom
        self._version = version
        self._remotes = remotes
        self._merged: Sequence[RemoteSpec] = ()
        self._revision = table.revision
        self._bytes: dict[str, bytes] = {}
        self._v3: dict[str, bytes] = {}
        self._v3_protobuf: dict[str, bytes] = {}
        self._hashes: dict[str, str] = {}

    def changed(self) -> None:
        """Forget everything that was encoded."""
        self._bytes.clear()
        self._v3.clear()
        self._v3_protobuf.clear()
        self._hashes.clear()
        self._revision = self._table.revision

    def v2_json(self) -> bytes:
        self._refresh()
        if "json" not in self._bytes:
            tree = self._v2_tree()
            self._bytes["json"] = orjson.dumps(tree)
        return self._bytes["json"]

    def v2_protobuf(self) -> bytes:
        self._refresh()
        if "protobuf" not in self._bytes:
            tree = self._v2_tree()
            self._bytes["protobuf"] = openapi_proto.document(tree)
        return self._bytes["protobuf"]

    def v3_index(self) -> bytes:
        """Return ``/openapi/v3``, with the hash of each document in its URL."""
        self._refresh()
        if "index" not in self._bytes:
            definitions = self._definitions()
            for path, gv in openapi_v3.paths_of(self._table).items():
                tree = openapi_v3.document(self._table, definitions, gv, self._version)
                # Only the hashes stay: most documents are never asked for.
                self._hashes[path] = _hash(orjson.dumps(tree))
            for path, tree in openapi_v3.small_documents(self._table, definitions, self._version).items():
                self._hashes[path] = _hash(orjson.dumps(tree))
            index = openapi_v3.index(self._hashes)
            for remote in self._merged:
                index["paths"][remote.path[1:]] = {"serverRelativeURL": self._url(remote)}
            self._bytes["index"] = orjson.dumps(index)
        return self._bytes["index"]

    def v3_group(self, path: str) -> bytes | None:
        """Return the document at ``api/v1`` or ``apis/apps/v1``, None for any other path."""
        self._refresh()
        if path not in self._v3:
            tree = self._v3_tree(path)
            if tree is None:
                return None
            self._v3[path] = orjson.dumps(tree)
        return self._v3[path]

    def v3_protobuf(self, path: str) -> bytes | None:
        """Return the same document as protobuf."""
        body = self.v3_group(path)
        if body is None:
            return None
        if path not in self._v3_protobuf:
            self._v3_protobuf[path] = openapi_proto_v3.document(orjson.loads(body))
        return self._v3_protobuf[path]

    def _v3_tree(self, path: str) -> Mapping[str, Any] | None:
        gv = openapi_v3.paths_of(self._table).get(path)
        if gv is not None:
            return openapi_v3.document(self._table, self._definitions(), gv, self._version)
        remote = next((one.document_v3 for one in self._merged if one.path[1:] == path), None)
        if remote is not None:
            return remote
        return openapi_v3.small_documents(self._table, self._definitions(), self._version).get(path)

    def _url(self, remote: RemoteSpec) -> str:
        """Return where a document is that the resource table knows nothing of."""
        if remote.document_v3 is None:
            return remote.url_v3
        path = remote.path[1:]
        digest = self._hashes[path] = _hash(orjson.dumps(remote.document_v3))
        return openapi_v3.url_of(path, digest)

    def v3_hash(self, path: str) -> str | None:
        """Return the hash that the index gives a document: its ETag."""
        self.v3_index()
        return self._hashes.get(path)

    def _definitions(self) -> dict[str, Definition]:
        return source_definitions(self._table, self._custom)

    def _v2_tree(self) -> dict[str, Any]:
        tree = openapi_v2.document(self._table, self._definitions(), self._version)
        return merge(tree, self._merged) if self._merged else tree

    def _refresh(self) -> None:
        if self._revision != self._table.revision:
            self.changed()
        remotes = self._remotes()
        if remotes is not self._merged:
            self._merged = remotes
            for form in ("json", "protobuf", "index"):
                self._bytes.pop(form, None)
            for kept in (self._v3, self._v3_protobuf, self._hashes):
                kept.clear()


def _hash(body: bytes) -> str:
    return hashlib.sha512(body).hexdigest().upper()
