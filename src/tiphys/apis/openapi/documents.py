"""OpenAPI documents of one server, made when they are asked for and kept while what they tell is the same.

Owns: which documents there are, and their hashes. A document of built-in kinds is named by the hash of what
it says. One of custom kinds is named by what it is made of: to list hundreds of them takes only knowing
their definitions. The handlers of ``/openapi/v2`` and ``/openapi/v3`` hold one ``OpenApi``; they take the
steps to a document one at a time.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from typing import Any, Final

import orjson

from tiphys.apimachinery.meta import GVK
from tiphys.apimachinery.release import RELEASE
from tiphys.apimachinery.resource import Resource, Subresource
from tiphys.apis.openapi import proto_v3, v3
from tiphys.apis.openapi.definitions import CustomSchemas, built_in_v3, no_custom_schemas
from tiphys.apis.openapi.merge import Joined, RemoteSpec, additions
from tiphys.apis.openapi.pages import Page, group_pages, server_pages
from tiphys.apis.openapi.pieces import Basis, GroupVersion, Pieces, definitions_for, with_built_in_v3
from tiphys.apis.table import ALL_VERBS, TABLE, ResourceTable

Remotes = Callable[[], Sequence[RemoteSpec]]
"""What aggregated API servers publish: the same sequence object until something of it changes."""
_KEPT_BYTES: Final = 24 * 1024 * 1024
"""Of v3 documents, in both forms."""


def no_remotes() -> Sequence[RemoteSpec]:
    """Know of no aggregated API servers."""
    return ()


class OpenApi:
    """Documents as bytes."""

    def __init__(
        self,
        table: ResourceTable = TABLE,
        custom: CustomSchemas = no_custom_schemas,
        version: str = RELEASE,
        remotes: Remotes = no_remotes,
        pages: Sequence[Page] | None = None,
    ) -> None:
        self._table = table
        self._custom = custom
        self._version = version
        self._remotes = remotes
        self._merged: Sequence[RemoteSpec] = ()
        self._revision = table.revision
        self._own: Sequence[Page] = server_pages() if pages is None else pages
        self._pieces = Pieces(table, custom, version, self._own)
        self._bytes: dict[str, bytes] = {}
        self._hashes: dict[str, str] = {}
        self._known: dict[str, tuple[Basis, str]] = {}
        """Of each group version's document what it was made of and its hash."""
        self._pages: dict[Page, str] = {}
        self._documents: OrderedDict[tuple[str, str, str], bytes] = OrderedDict()

    def steps(self, form: str) -> Iterator[None]:
        """Do what the index (``v3``) or a v2 document (``json``, ``protobuf``) takes, a little at a time."""
        self._refresh()
        if form in self._bytes:
            return
        if form != "v3":
            yield from self._pieces.steps(form)
            return
        for path, gv in v3.paths_of(self._table).items():
            known = self._known.get(path)
            if known is None or not known[0].is_of(self._table, gv):
                self._version_hash(path, gv)
                yield

    def v2_json(self) -> bytes:
        return self._v2("json")

    def v2_protobuf(self) -> bytes:
        return self._v2("protobuf")

    def _v2(self, form: str) -> bytes:
        self._refresh()
        if form not in self._bytes:
            pieces = self._pieces
            joined = Joined()
            if self._merged:
                joined = additions(pieces.has_path, pieces.definitions(), self._merged)
            self._bytes[form] = pieces.document(form, joined)
        return self._bytes[form]

    def v3_index(self) -> bytes:
        """Return ``/openapi/v3``, with the hash of each document in its URL."""
        self._refresh()
        if "v3" not in self._bytes:
            paths = v3.paths_of(self._table)
            self._known = {path: known for path, known in self._known.items() if path in paths}
            hashes = {path: self._version_hash(path, gv) for path, gv in paths.items()}
            for page in self._small_pages():
                hashes.setdefault(page.document, self._page_hash(page))
            index = v3.index(hashes)
            for remote in self._merged:
                path, url = remote.path[1:], remote.url_v3
                if remote.document_v3 is not None:
                    digest = hashes[path] = _hash(orjson.dumps(remote.document_v3))
                    url = v3.url_of(path, digest)
                if url:  # some publish nothing
                    index["paths"][path] = {"serverRelativeURL": url}
            for remote in self._merged:
                for path, url in remote.others_v3.items():
                    index["paths"].setdefault(path, {"serverRelativeURL": url})
            self._hashes = hashes
            self._bytes["v3"] = orjson.dumps(index)
        return self._bytes["v3"]

    def v3_group(self, path: str) -> bytes | None:
        """Return the document at ``api/v1`` or ``apis/apps/v1``, None for any other path."""
        return self._v3(path, "json", lambda tree: orjson.dumps(tree))

    def v3_protobuf(self, path: str) -> bytes | None:
        """Return the same document as protobuf."""
        return self._v3(path, "protobuf", proto_v3.document)

    def v3_hash(self, path: str) -> str | None:
        """Return the hash that the index gives a document: its ETag."""
        self.v3_index()
        return self._hashes.get(path)

    def _v3(self, path: str, form: str, encode: Callable[[Any], bytes]) -> bytes | None:
        digest = self.v3_hash(path)
        if digest is None:
            return None
        key = (path, form, digest)
        body = self._documents.get(key)
        if body is None:
            body = self._documents[key] = encode(self._v3_tree(path))
            while len(self._documents) > 1 and sum(map(len, self._documents.values())) > _KEPT_BYTES:
                self._documents.popitem(last=False)
        self._documents.move_to_end(key)
        return body

    def _v3_tree(self, path: str) -> Mapping[str, Any]:
        gv = v3.paths_of(self._table).get(path)
        if gv is not None:
            return self._version_document(gv)
        for remote in self._merged:
            if remote.path[1:] == path and remote.document_v3 is not None:
                return remote.document_v3
        page = next(page for page in self._small_pages() if page.document == path)
        return v3.page_document(page, built_in_v3(), self._version)

    def _version_document(self, gv: GroupVersion) -> Mapping[str, Any]:
        own = definitions_for(self._table.resources(*gv), self._custom, v3=True)
        return v3.document(self._table, with_built_in_v3(own), gv, self._version)

    def _version_hash(self, path: str, gv: GroupVersion) -> str:
        known = self._known.get(path)
        if known is not None and known[0].is_of(self._table, gv):
            return known[1]
        rows = self._table.resources(*gv)
        if all(row.custom for row in rows):
            parts = [f"{row!r}".encode() + b"\0" + self._digest_of(row) for row in rows]
            digest = _hash(b"\0".join((_rendering(self._version), *parts)))
        else:
            digest = _hash(orjson.dumps(self._version_document(gv)))
        self._known[path] = (Basis(self._table, gv), digest)
        return digest

    def _digest_of(self, row: Resource) -> bytes:
        """Return what tells one state of a custom kind's schema from others."""
        known: bytes | None = getattr(row.definition, "digest", None)
        return known if known is not None else orjson.dumps(self._custom(row.gvk))

    def _small_pages(self) -> Iterator[Page]:
        """Yield the pages whose documents are of no group version."""
        yield from self._own
        versions = v3.paths_of(self._table)
        for group in self._table.groups():
            for page in group_pages(self._table, group):
                if page.document not in versions:
                    yield page

    def _page_hash(self, page: Page) -> str:
        if page not in self._pages:
            tree = v3.page_document(page, built_in_v3(), self._version)
            self._pages[page] = _hash(orjson.dumps(tree))
        return self._pages[page]

    def _refresh(self) -> None:
        remotes = self._remotes()
        if self._revision != self._table.revision or remotes is not self._merged:
            self._revision, self._merged = self._table.revision, remotes
            self._bytes.clear()
            self._hashes.clear()


def _hash(body: bytes) -> str:
    return hashlib.sha512(body).hexdigest().upper()


@cache
def _rendering(version: str) -> bytes:
    """Return what tells how this release words documents of custom kinds: that of a kind with everything."""
    gvk = GVK("sample.example.com", "v1", "Sample")
    parts = tuple(
        Subresource(name, ("get", "patch", "update"), spoken)
        for name, spoken in (("scale", GVK("autoscaling", "v1", "Scale")), ("status", gvk))
    )
    row = Resource(
        *(gvk.group, gvk.version, gvk.kind, "samples", "sample"),
        namespaced=True, verbs=ALL_VERBS, storage=gvk, storage_prefix="", subresources=parts,
        selectable_fields=("spec.text",), custom=True,
    )  # fmt: skip
    table = ResourceTable((row,))
    own = definitions_for((row,), lambda _gvk: _SAMPLE, v3=True)
    tree = v3.document(table, with_built_in_v3(own), (gvk.group, gvk.version), version)
    return hashlib.sha512(orjson.dumps(tree)).digest()


_SAMPLE: Final[dict[str, Any]] = {
    "type": "object",
    "description": "Every way to say something.",
    "properties": {
        "spec": {
            "type": "object",
            "required": ["text"],
            "properties": {
                "text": {"type": "string", "nullable": True, "default": "a", "maxLength": 9},
                "number": {"x-kubernetes-int-or-string": True},
                "list": {
                    "type": "array",
                    "items": {"type": "object", "additionalProperties": {"type": "string"}},
                },
                "embedded": {
                    "type": "object",
                    "x-kubernetes-embedded-resource": True,
                    "x-kubernetes-preserve-unknown-fields": True,
                },
                "either": {"type": "integer", "oneOf": [{"minimum": 3}, {"not": {"maximum": 5}}]},
            },
            "x-kubernetes-validations": [{"rule": "true"}],
        }
    },
}
