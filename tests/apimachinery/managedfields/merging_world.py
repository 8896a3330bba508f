"""Schemas of every sort of list and map, and one object in whose fields managers take turns."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import orjson
import pytest

from tiphys.apimachinery.errors import Conflict
from tiphys.apimachinery.managedfields import apply, update
from tiphys.apimachinery.meta import copy_object
from tiphys.apimachinery.schema.node import Schema

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
VERSION = "demo.io/v1"
TEXT, NUMBER = Schema(type="string"), Schema(type="integer")


def struct(**fields: Schema) -> Schema:
    return Schema(type="object", properties=fields)


def mapping(value: Schema) -> Schema:
    return Schema(type="object", additional=value)


def keyed(item: Schema, *keys: str) -> Schema:
    return Schema(type="array", items=item, list_type="map", list_map_keys=keys)


TEXTS = Schema(type="array", items=TEXT, list_type="set")
STRUCT = struct(name=TEXT, value=NUMBER)
RECURSIVE = mapping(TEXT)
RECURSIVE.additional = RECURSIVE
NESTED = struct(
    list=TEXTS,
    listOfLists=keyed(struct(name=TEXT, value=TEXTS), "name"),
    listOfMaps=keyed(struct(name=TEXT, value=mapping(TEXT)), "name"),
    mapOfLists=mapping(TEXTS),
    mapOfMaps=mapping(mapping(TEXT)),
    recursive=RECURSIVE,
    struct=STRUCT,
)
DOUBLED = struct(
    list=keyed(struct(name=TEXT, value1=NUMBER, value2=NUMBER), "name"),
    unrelated=NUMBER,
    set=Schema(type="array", items=NUMBER, list_type="set"),
)
ATOMIC = struct(struct=Schema(type="object", properties=STRUCT.properties, map_type="atomic"))
PORTS = struct(
    ports=keyed(
        struct(port=NUMBER, protocol=Schema(type="string", default="TCP"), name=TEXT), "port", "protocol"
    )
)
LINES = keyed(
    struct(page=Schema(type="number", default=2.0), line=Schema(type="integer", default=3), text=TEXT),
    "page",
    "line",
)
BOOK = struct(
    book=keyed(
        struct(
            chapter=Schema(type="integer", default=1),
            section=Schema(type="string", default="A"),
            sentences=LINES,
        ),
        "chapter",
        "section",
    )
)


def key(**fields: Any) -> str:
    return f"k:{orjson.dumps(fields, option=orjson.OPT_SORT_KEYS).decode()}"


def item(value: Any) -> str:
    return f"v:{orjson.dumps(value).decode()}"


Path = tuple[str, ...]


def paths(*found: str | Path) -> set[Path]:
    """Return paths, with plain names as fields."""
    whole = ((path,) if isinstance(path, str) else path for path in found)
    return {tuple(step if step[:2] in ("k:", "v:") else f"f:{step}" for step in path) for path in whole}


def under(base: Path, *rest: str | Path) -> list[Path]:
    """Return a path and those below it."""
    return [base, *((*base, step) if isinstance(step, str) else (*base, *step) for step in rest)]


def members(node: dict[str, Any], at: Path = ()) -> set[Path]:
    found: set[Path] = set()
    for name, inner in node.items():
        if name == ".":
            found.add(at)
        elif inner:
            found |= members(inner, (*at, name))
        else:
            found.add((*at, name))
    return found


class OneVersion:
    """The only version of a kind, whose schema may change."""

    may_change = True

    def __init__(self, world: World) -> None:
        self._world = world

    def convert(self, obj: dict[str, Any], _api_version: str) -> dict[str, Any]:
        return obj

    def schema(self, _api_version: str) -> Schema:
        return self._world.schema


class World:
    """One object and what its managers do with it."""

    def __init__(self, spec: Schema) -> None:
        self.spec = spec
        self.live: dict[str, Any] | None = None

    @property
    def schema(self) -> Schema:
        return struct(apiVersion=TEXT, kind=TEXT, metadata=Schema(type="object"), spec=self.spec)

    def act(self, act: str, manager: str, spec: Any) -> None:
        obj = {"apiVersion": VERSION, "kind": "Gadget", "metadata": {"name": "g"}}
        if spec is not None:
            obj["spec"] = copy_object(spec)
        options: dict[str, Any] = {"manager": manager, "api_version": VERSION, "now": NOW}
        options["versions"] = OneVersion(self)
        if act == "update":
            self.live = update(self.live, obj, self.schema, **options)
        else:
            self.live = apply(self.live, obj, self.schema, force=act == "force", **options)

    def owned(self) -> dict[str, set[Path]]:
        assert self.live is not None
        found = {}
        for entry in self.live["metadata"].get("managedFields", ()):
            all_paths = members(entry["fieldsV1"])
            found[entry["manager"]] = {path[1:] for path in all_paths if path[0] == "f:spec" and path[1:]}
        return {manager: owned for manager, owned in found.items() if owned}


Ops = list[tuple[Any, ...]]
Case = tuple[Schema, Ops, Any, dict[str, set[Path]]]
ABCD, AC = ["a", "b", "c", "d"], ["a", "c"]
NAMED_A, NAMED_A_1 = {"struct": {"name": "a"}}, {"struct": {"name": "a", "value": 1}}


def check_turns(case: Case) -> None:
    """Let the managers act, and compare: conflicts on the way, what results, who owns what."""
    schema, ops, expected, owned = case
    world = World(schema)
    for act, *given in ops:
        if act == "schema":
            (world.spec,) = given
            continue
        manager, spec, *conflicts = given
        if not conflicts:
            world.act(act, manager, spec)
            continue
        with pytest.raises(Conflict) as caught:
            world.act(act, manager, spec)
        causes = (caught.value.details or {})["causes"]
        found = {(cause["message"].split('"')[1], cause["field"]) for cause in causes}
        assert found == conflicts[0]
    assert world.live is not None
    assert world.live.get("spec") == expected
    assert world.owned() == owned
