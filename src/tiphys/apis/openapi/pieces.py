"""The OpenAPI v2 document in pieces, one for each group version, each made anew only when its kinds change.

Owns: which pieces there are and when one is stale. Refuses: what stands in them (``v2``). Called by
``openapi``. With hundreds of definitions the document is tens of megabytes: a changed definition costs its
own piece, and nothing until somebody asks.
"""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import field
from operator import is_
from typing import Any, Final

import orjson

from tiphys.apimachinery.dataclass import dataclass
from tiphys.apimachinery.resource import Resource
from tiphys.apis.openapi import proto, v2
from tiphys.apis.openapi.definitions import (
    CustomSchemas,
    Definition,
    built_in,
    built_in_v3,
    custom_definitions,
    render_v2,
)
from tiphys.apis.openapi.merge import KINDS, Joined, told_apart
from tiphys.apis.openapi.operations import definition_name, list_kind
from tiphys.apis.openapi.pages import Page, group_pages
from tiphys.apis.openapi.wire import Buffer
from tiphys.apis.table import ResourceTable

GroupVersion = tuple[str, str]
_WHOLE: Final[GroupVersion] = ("", "")
"""Stands for what is of no group version: paths of the server, definitions of built-in kinds."""


class Basis:
    """What a document of one group version is made of: it is stale once any of this is another."""

    __slots__ = ("_pages", "_rows")

    def __init__(self, table: ResourceTable, gv: GroupVersion) -> None:
        self._rows: tuple[Resource, ...] = tuple(table.resources(*gv))
        self._pages: tuple[Page, ...] = tuple(group_pages(table, gv[0]))

    def is_of(self, table: ResourceTable, gv: GroupVersion) -> bool:
        """Tell whether the table still has the very same rows."""
        rows = table.resources(*gv)
        return (
            len(rows) == len(self._rows)
            and all(map(is_, rows, self._rows))
            and self._pages == tuple(group_pages(table, gv[0]))
        )


def definitions_for(rows: Iterable[Resource], custom: CustomSchemas, *, v3: bool) -> dict[str, Definition]:
    """Return the definitions that custom kinds among the rows add."""
    found: dict[str, Definition] = {}
    for row in rows:
        if row.custom:
            found |= custom_definitions(row, custom(row.gvk), v3=v3)
    return found


def with_built_in(own: dict[str, Definition]) -> Mapping[str, Definition]:
    """Return definitions beside those that are built in."""
    return ChainMap(own, built_in()) if own else built_in()  # type: ignore[arg-type]


def with_built_in_v3(own: dict[str, Definition]) -> Mapping[str, Definition]:
    """Return the same in the words of v3."""
    return ChainMap(own, built_in_v3()) if own else built_in_v3()  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True)
class _Form:
    """How pieces are written, and a whole document around them: as the chunks that it consists of."""

    paths: Callable[[Any], bytes]
    definitions: Callable[[Any], bytes]
    frame: Callable[[str, list[Buffer], list[Buffer]], list[Buffer]]


def _inside(tree: Any) -> bytes:
    return orjson.dumps(tree)[1:-1]


def _json_frame(version: str, paths: list[Buffer], definitions: list[Buffer]) -> list[Buffer]:
    return [
        orjson.dumps(v2.head(version))[:-1], b',"paths":{', *_separated(paths), b'},"definitions":{',
        *_separated(definitions), b"},", orjson.dumps(v2.tail())[1:],
    ]  # fmt: skip


def _separated(chunks: list[Buffer]) -> Iterator[Buffer]:
    first = True
    for chunk in chunks:
        if chunk:
            if not first:
                yield b","
            first = False
            yield chunk


def _protobuf_frame(version: str, paths: list[Buffer], definitions: list[Buffer]) -> list[Buffer]:
    return proto.framed(v2.head(version) | v2.tail(), paths, definitions)


FORMS: Final = {
    "json": _Form(_inside, _inside, _json_frame),
    "protobuf": _Form(proto.encode_paths, proto.encode_definitions, _protobuf_frame),
}


@dataclass(slots=True)
class _Piece:
    basis: Basis
    encoded: dict[str, tuple[Buffer, Buffer]] = field(default_factory=dict)
    """Paths and definitions by form; once there is a document, a part of its bytes."""
    kinds: dict[str, list[Any]] = field(default_factory=dict)
    """What built-in definitions are of besides, as custom kinds are described word for word as they are."""


class Pieces:
    """The v2 document of one server."""

    def __init__(
        self, table: ResourceTable, custom: CustomSchemas, version: str, pages: Sequence[Page]
    ) -> None:
        self._table = table
        self._custom = custom
        self._version = version
        self._pages = pages
        self._pieces: dict[GroupVersion, _Piece] = {}
        self._kinds: dict[str, list[Any]] = {}
        """What others make built-in definitions be of, besides what they say."""

    def steps(self, form: str) -> Iterator[None]:
        """Make what is missing, a piece a step: others may have their turn in between."""
        for gv in self._wanted():
            if self._stale(gv, form):
                self._make(gv, form)
                yield

    def document(self, form: str, joined: Joined) -> bytes:
        """Return the whole document with what others add."""
        wanted = self._wanted()
        for _ in self.steps(form):
            pass
        kinds = {name: kinds for gv in wanted for name, kinds in self._pieces[gv].kinds.items()}
        if kinds | joined.kinds != self._kinds:
            self._kinds = kinds | joined.kinds
            del self._pieces[_WHOLE]
            self._make(_WHOLE, form)
        self._pieces = {gv: self._pieces[gv] for gv in wanted}
        how = FORMS[form]
        found = [piece.encoded[form] for piece in self._pieces.values()]
        added = how.paths(joined.paths), how.definitions(joined.definitions)
        paths, definitions = ([pair[at] for pair in (*found, added)] for at in (0, 1))
        chunks = how.frame(self._version, paths, definitions)
        body = b"".join(chunks)
        self._point(form, body, chunks)
        return body

    def has_path(self, path: str) -> bool:
        """Tell whether a path below a group version is this server's own."""
        parts = path.strip("/").split("/")
        gv = (parts[1], parts[2]) if parts[0] == "apis" and len(parts) > 2 else ("", parts[-1])
        if gv[1] not in self._table.versions(gv[0]):
            return False
        own = definitions_for(self._table.resources(*gv), self._custom, v3=False)
        return path in v2.version_paths(self._table, gv, with_built_in(own))

    def definitions(self) -> Mapping[str, Definition]:
        """Return the definitions of the document, each made when it is looked at."""
        return _Rendered(self._table, self._custom)

    def _wanted(self) -> list[GroupVersion]:
        table = self._table
        served = [(group, version) for group in table.groups() for version in table.versions(group)]
        return [_WHOLE, *served]

    def _stale(self, gv: GroupVersion, form: str) -> bool:
        piece = self._pieces.get(gv)
        if piece is None or not (gv == _WHOLE or piece.basis.is_of(self._table, gv)):
            return True
        return form not in piece.encoded

    def _make(self, gv: GroupVersion, form: str) -> None:
        piece = self._pieces.get(gv)
        if piece is None or not (gv == _WHOLE or piece.basis.is_of(self._table, gv)):
            piece = self._pieces[gv] = _Piece(Basis(self._table, gv))
        how = FORMS[form]
        if gv == _WHOLE:
            paths, own = v2.server_paths(self._pages, built_in()), v2.rendered(built_in())
            for name, kinds in self._kinds.items():
                if name in own:
                    own[name] = {**own[name], KINDS: kinds}
        else:
            added = definitions_for(self._table.resources(*gv), self._custom, v3=False)
            paths = v2.version_paths(self._table, gv, with_built_in(added))
            own = v2.rendered(added)
            if any(name in built_in() for name in own):
                found = told_apart(paths, own, _Rendered(self._table, self._custom))
                paths, own, piece.kinds = found.paths, found.definitions, found.kinds
        piece.encoded[form] = (how.paths(paths), how.definitions(own))

    def _point(self, form: str, body: bytes, chunks: list[Buffer]) -> None:
        """Let pieces be parts of the document, lest everything is kept twice."""
        at, view = 0, memoryview(body)
        places: dict[int, Buffer] = {}
        for chunk in chunks:
            places[id(chunk)] = view[at : at + len(chunk)]
            at += len(chunk)
        for piece in self._pieces.values():
            paths, definitions = piece.encoded[form]
            piece.encoded[form] = (places.get(id(paths), paths), places.get(id(definitions), definitions))


class _Rendered(Mapping[str, Definition]):
    """All definitions in the words of v2."""

    def __init__(self, table: ResourceTable, custom: CustomSchemas) -> None:
        self._custom = custom
        self._rows: dict[str, Resource] = {}
        for row in table:
            if row.custom:
                for kind in (row.kind, list_kind(row)):
                    name = definition_name(row.gvk._replace(kind=kind))
                    if name not in built_in():  # who has the name of another gets a number
                        self._rows[name] = row

    def __getitem__(self, name: str) -> Definition:
        row = self._rows.get(name)
        if row is None:
            return render_v2(name, built_in()[name])
        return render_v2(name, custom_definitions(row, self._custom(row.gvk), v3=False)[name])

    def __contains__(self, name: object) -> bool:
        return name in self._rows or name in built_in()

    def __iter__(self) -> Iterator[str]:
        yield from built_in()
        yield from self._rows

    def __len__(self) -> int:
        return len(built_in()) + len(self._rows)
