"""Applies and updates in turn: what results, and who owns what, for every sort of list and map."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import orjson
import pytest

from tiphys.apimachinery.errors import Conflict, StatusError
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


def texts(values: str | list[str]) -> set[Path]:
    return paths(*(("list", item(value)) for value in values))


SETS: dict[str, Case] = {
    "apply twice": (
        NESTED,
        [("apply", "me", {"list": AC}), ("apply", "me", {"list": ABCD})],
        {"list": ABCD},
        {"me": texts(ABCD)},
    ),
    "others add in between": (
        NESTED,
        [
            ("apply", "me", {"list": AC}),
            ("update", "other", {"list": ABCD}),
            ("apply", "me", {"list": ["a", "aprime", "c", "cprime"]}),
        ],
        {"list": ["a", "b", "aprime", "c", "d", "cprime"]},
        {"me": texts(["a", "aprime", "c", "cprime"]), "other": texts("bd")},
    ),
    "others add the same": (
        NESTED,
        [
            ("apply", "me", {"list": AC}),
            ("update", "other", {"list": ABCD}),
            ("apply", "me", {"list": ["a", "b", "c"]}),
        ],
        {"list": ABCD},
        {"me": texts("abc"), "other": texts("bd")},
    ),
    "another order": (
        NESTED,
        [("apply", "me", {"list": ABCD}), ("apply", "me", {"list": ["a", "d", "c", "b"]})],
        {"list": ["a", "d", "c", "b"]},
        {"me": texts(ABCD)},
    ),
    "others order": (
        NESTED,
        [
            ("apply", "me", {"list": ABCD}),
            ("update", "other", {"list": ["a", "d", "c", "b"]}),
            ("apply", "me", {"list": ABCD}),
        ],
        {"list": ABCD},
        {"me": texts(ABCD)},
    ),
    "fewer": (
        NESTED,
        [("apply", "me", {"list": ABCD}), ("apply", "me", {"list": AC})],
        {"list": AC},
        {"me": texts(AC)},
    ),
}


def twice(first: Any, second: Any, owned: set[Path]) -> Case:
    return NESTED, [("apply", "me", first), ("apply", "me", second)], second, {"me": owned}


def nested_item(name: str, *inner: str) -> set[Path]:
    return paths(*under((name, key(name="b")), "name", *((("value", step)) for step in inner)))


def lists(name: str, value: Any) -> Any:
    return {"listOfLists": [{"name": name, "value": value}]}


def maps(name: str, value: Any) -> Any:
    return {"listOfMaps": [{"name": name, "value": value}]}


BC, AC_MAP, A_AND_C = {"b": "x", "c": "y"}, {"a": "x", "c": "z"}, (item("a"), item("c"))
NAMED_A = {"struct": {"name": "a"}}
NAMED_A_1 = {"struct": {"name": "a", "value": 1}}
VALUE_1 = {"struct": {"value": 1}}
NESTS: dict[str, Case] = {
    "lists of lists, value": twice(
        lists("b", ["b", "c"]), lists("b", ["a", "c"]), nested_item("listOfLists", *A_AND_C)
    ),
    "lists of lists, key": twice(
        lists("a", ["b", "c"]), lists("b", ["a", "c"]), nested_item("listOfLists", *A_AND_C)
    ),
    "lists of maps, value": twice(maps("b", BC), maps("b", AC_MAP), nested_item("listOfMaps", "a", "c")),
    "lists of maps, key": twice(maps("a", BC), maps("b", AC_MAP), nested_item("listOfMaps", "a", "c")),
    "maps of lists, value": twice(
        {"mapOfLists": {"b": ["b", "c"]}},
        {"mapOfLists": {"b": ["a", "c"]}},
        paths(*under(("mapOfLists", "b"), *A_AND_C)),
    ),
    "maps of lists, key": twice(
        {"mapOfLists": {"a": ["b", "c"]}},
        {"mapOfLists": {"b": ["a", "c"]}},
        paths(*under(("mapOfLists", "b"), *A_AND_C)),
    ),
    "maps of maps, value": twice(
        {"mapOfMaps": {"b": BC}}, {"mapOfMaps": {"b": AC_MAP}}, paths(*under(("mapOfMaps", "b"), "a", "c"))
    ),
    "maps of maps, key": twice(
        {"mapOfMaps": {"a": BC}}, {"mapOfMaps": {"b": AC_MAP}}, paths(*under(("mapOfMaps", "b"), "a", "c"))
    ),
    "recursive, a key in the middle": twice(
        {"recursive": {"a": {"b": {"c": None}}}},
        {"recursive": {"a": {"d": {"c": None}}}},
        paths(*under(("recursive", "a"), "d", ("d", "c"))),
    ),
    "nothing left": (NESTED, [("apply", "me", NAMED_A_1), ("apply", "me", None)], None, {}),
    "nothing left in it": (
        NESTED,
        [("apply", "me", NAMED_A), ("apply", "me", {"struct": None})],
        {"struct": None},
        {"me": paths("struct")},
    ),
    "another's stays, without the parent": (
        NESTED,
        [("apply", "me", NAMED_A), ("update", "other", NAMED_A_1), ("apply", "me", None)],
        VALUE_1,
        {"other": paths(("struct", "value"))},
    ),
    "another's stays, an empty parent": (
        NESTED,
        [("apply", "me", NAMED_A), ("update", "other", NAMED_A_1), ("apply", "me", {"struct": {}})],
        VALUE_1,
        {"me": paths("struct"), "other": paths(("struct", "value"))},
    ),
    "another's stays, a null parent": (
        NESTED,
        [("apply", "me", NAMED_A), ("update", "other", NAMED_A_1), ("apply", "me", {"struct": None})],
        VALUE_1,
        {"me": paths("struct"), "other": paths(("struct", "value"))},
    ),
    "another took over": (
        NESTED,
        [
            ("apply", "me", NAMED_A),
            ("update", "other", {"struct": {"name": "b", "value": 1}}),
            ("apply", "me", {"struct": None}),
        ],
        {"struct": {"name": "b", "value": 1}},
        {"me": paths("struct"), "other": paths(("struct", "name"), ("struct", "value"))},
    ),
}
A1, A2, A3, B3, B4 = (
    {"name": name, "value1": value} for name, value in (("a", 1), ("a", 2), ("a", 3), ("b", 3), ("b", 4))
)
LIST_A, LIST_B = ("list", key(name="a")), ("list", key(name="b"))
WHOLE_A, WHOLE_B = under(LIST_A, "name", "value1"), under(LIST_B, "name", "value1")
ONE, THREE, FOUR, FIVE = (("set", item(number)) for number in (1, 3, 4, 5))
DOUBLES: dict[str, Case] = {
    "set": (
        DOUBLED,
        [("update", "one", {"set": [1, 1, 3, 4]})],
        {"set": [1, 1, 3, 4]},
        {"one": paths("set", ONE, THREE, FOUR)},
    ),
    "set, doubled by another": (
        DOUBLED,
        [("update", "one", {"set": [1, 3, 4]}), ("update", "two", {"set": [1, 1, 3, 4]})],
        {"set": [1, 1, 3, 4]},
        {"one": paths("set", THREE, FOUR), "two": paths(ONE)},
    ),
    "set, no longer doubled": (
        DOUBLED,
        [("update", "one", {"set": [1, 1, 3, 4]}), ("update", "two", {"set": [1, 3, 4]})],
        {"set": [1, 3, 4]},
        {"one": paths("set", THREE, FOUR), "two": paths(ONE)},
    ),
    "set, a doubled one applied": (
        DOUBLED,
        [
            ("update", "one", {"set": [1, 1, 3, 4]}),
            ("apply", "me", {"set": [1]}, {("one", ".spec.set[=1]")}),
            ("force", "me", {"set": [1]}),
        ],
        {"set": [1, 3, 4]},
        {"one": paths("set", THREE, FOUR), "me": paths(ONE)},
    ),
    "set, another one applied": (
        DOUBLED,
        [("update", "one", {"set": [1, 1, 3, 4]}), ("apply", "me", {"set": [5]})],
        {"set": [1, 1, 3, 4, 5]},
        {"one": paths("set", ONE, THREE, FOUR), "me": paths(FIVE)},
    ),
    "list": (
        DOUBLED,
        [("update", "one", {"list": [A1, A2, B3]})],
        {"list": [A1, A2, B3]},
        {"one": paths("list", LIST_A, *WHOLE_B)},
    ),
    "list, a doubled one changed": (
        DOUBLED,
        [("update", "one", {"list": [A1, A2, B3]}), ("update", "two", {"list": [A1, A3, B3]})],
        {"list": [A1, A3, B3]},
        {"one": paths("list", *WHOLE_B), "two": paths(LIST_A)},
    ),
    "list, a field added to a doubled one": (
        DOUBLED,
        [
            ("update", "one", {"list": [A1, A2, B3]}),
            ("update", "two", {"list": [A1, {**A2, "value2": 3}, B3]}),
        ],
        {"list": [A1, {**A2, "value2": 3}, B3]},
        {"one": paths("list", *WHOLE_B), "two": paths(LIST_A)},
    ),
    "list, doubled by another": (
        DOUBLED,
        [
            ("update", "one", {"list": [A1, B3]}),
            ("update", "two", {"list": [A1, {"name": "a", "value2": 3}, B3]}),
        ],
        {"list": [A1, {"name": "a", "value2": 3}, B3]},
        {"one": paths("list", *WHOLE_B), "two": paths(LIST_A)},
    ),
    "list, another item": (
        DOUBLED,
        [("update", "one", {"list": [A1, A2]}), ("update", "two", {"list": [A1, A2, B3]})],
        {"list": [A1, A2, B3]},
        {"one": paths("list", LIST_A), "two": paths(*WHOLE_B)},
    ),
    "list, something else applied": (
        DOUBLED,
        [("update", "one", {"list": [A1, A2, B3]}), ("force", "me", {"unrelated": 5})],
        {"list": [A1, A2, B3], "unrelated": 5},
        {"one": paths("list", LIST_A, *WHOLE_B), "me": paths("unrelated")},
    ),
    "list, a doubled one applied": (
        DOUBLED,
        [
            ("update", "one", {"list": [A1, A2, B3]}),
            ("apply", "me", {"list": [A3]}, {("one", '.spec.list[name="a"]')}),
            ("force", "me", {"list": [A3]}),
        ],
        {"list": [A3, B3]},
        {"one": paths("list", *WHOLE_B), "me": paths(*WHOLE_A)},
    ),
    "list, a doubled one applied as it is": (
        DOUBLED,
        [
            ("update", "one", {"list": [A1, A2, B3]}),
            ("apply", "me", {"list": [A2]}, {("one", '.spec.list[name="a"]')}),
            ("force", "me", {"list": [A3]}),
        ],
        {"list": [A3, B3]},
        {"one": paths("list", *WHOLE_B), "me": paths(*WHOLE_A)},
    ),
    "list, one beside doubled ones applied": (
        DOUBLED,
        [("update", "one", {"list": [A1, A2, B3]}), ("force", "me", {"list": [B4]})],
        {"list": [A1, A2, B4]},
        {"one": paths("list", LIST_A, *under(LIST_B, "name")), "me": paths(*WHOLE_B)},
    ),
    "list, what was doubled is no longer applied": (
        DOUBLED,
        [
            ("apply", "me", {"list": [A1, B3]}),
            ("update", "one", {"list": [A1, A2, B3]}),
            ("apply", "me", {"list": [B3]}),
        ],
        {"list": [A1, A2, B3]},
        {"me": paths(*WHOLE_B), "one": paths(LIST_A)},
    ),
}
ONLY_VALUE, ONLY_NAME = {"struct": {"value": 1}}, {"struct": {"name": "b"}}
SCHEMAS: dict[str, Case] = {
    "parts that become one": (
        NESTED,
        [
            ("apply", "one", ONLY_VALUE),
            ("schema", ATOMIC),
            ("apply", "two", ONLY_NAME, {("one", ".spec.struct")}),
            ("force", "two", ONLY_NAME),
        ],
        ONLY_NAME,
        {"two": paths("struct")},
    ),
    "parts that become one, of which one lost all": (
        NESTED,
        [
            ("apply", "one", ONLY_VALUE),
            ("force", "two", {"struct": {"value": 2}}),
            ("schema", ATOMIC),
            ("apply", "three", ONLY_NAME, {("two", ".spec.struct")}),
            ("force", "two", ONLY_NAME),
        ],
        ONLY_NAME,
        {"two": paths("struct")},
    ),
    "one that comes to have parts": (
        ATOMIC,
        [
            ("apply", "one", NAMED_A_1),
            ("apply", "two", ONLY_NAME, {("one", ".spec.struct")}),
            ("schema", NESTED),
            ("apply", "two", ONLY_NAME, {("one", ".spec.struct.name")}),
            ("force", "two", ONLY_NAME),
        ],
        {"struct": {"name": "b", "value": 1}},
        {"one": paths("struct", ("struct", "value")), "two": paths(("struct", "name"))},
    ),
}
TCP, UDP = ("ports", key(port=80, protocol="TCP")), ("ports", key(port=80, protocol="UDP"))
LINE = ("book", key(chapter=1, section="A"), "sentences", key(line=3, page=2))
KEYS: dict[str, Case] = {
    "a key that defaults": (
        PORTS,
        [("apply", "me", {"ports": [{"port": 80}]})],
        {"ports": [{"port": 80}]},
        {"me": paths(*under(TCP, "port"))},
    ),
    "a key that defaults beside one that is given": (
        PORTS,
        [("apply", "me", {"ports": [{"port": 80}, {"port": 80, "protocol": "UDP"}]})],
        {"ports": [{"port": 80}, {"port": 80, "protocol": "UDP"}]},
        {"me": paths(*under(TCP, "port"), *under(UDP, "port", "protocol"))},
    ),
    "a key that defaults, in conflict": (
        PORTS,
        [
            ("apply", "one", {"ports": [{"port": 80, "protocol": "TCP", "name": "foo"}]}),
            (
                "apply",
                "two",
                {"ports": [{"port": 80, "name": "bar"}]},
                {("one", '.spec.ports[port=80,protocol="TCP"].name')},
            ),
        ],
        {"ports": [{"port": 80, "protocol": "TCP", "name": "foo"}]},
        {"one": paths(*under(TCP, "port", "protocol", "name"))},
    ),
    "every key defaults": (
        BOOK,
        [("apply", "me", {"book": [{"sentences": [{"text": "blah"}]}]})],
        {"book": [{"sentences": [{"text": "blah"}]}]},
        {"me": paths(LINE[:2], *under(LINE, "text"))},
    ),
    "a whole number where the default has a point": (
        BOOK,
        [
            ("apply", "me", {"book": [{"sentences": [{"text": "blah"}]}]}),
            ("apply", "me", {"book": [{"sentences": [{"text": "blah", "page": 2}]}]}),
        ],
        {"book": [{"sentences": [{"text": "blah", "page": 2}]}]},
        {"me": paths(LINE[:2], *under(LINE, "text", "page"))},
    ),
}
CASES = {
    f"{group}: {name}": case
    for group, found in (
        ("sets", SETS), ("nested", NESTS), ("doubled", DOUBLES), ("schemas", SCHEMAS), ("keys", KEYS)
    )
    for name, case in found.items()
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_in_turn(name: str) -> None:
    schema, ops, expected, owned = CASES[name]
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


@pytest.mark.parametrize(
    "ports",
    [[{"protocol": "TCP"}], [{"port": 80}, {"port": 80}], [{"port": 80}, {"port": 80, "protocol": "TCP"}]],
)
def test_items_that_cannot_be_told_apart_are_not_applied(ports: list[Any]) -> None:
    with pytest.raises(StatusError):
        World(PORTS).act("apply", "me", {"ports": ports})
