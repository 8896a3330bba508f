"""JSON seen through its declared types: views that convert a field or an item when it is asked for.

An object shows its declared fields; undeclared ones count in comparisons only. A field that is null is
absent. Lists of type ``set`` and ``map`` compare without order and join as sets and maps do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from tiphys.apimachinery.cel.lexer import ESCAPED_RESERVED
from tiphys.apimachinery.cel.values import ABSENT, ListView, MapView, equals, find, is_list, is_map

Wrap = Callable[[Any], Any]
"""Makes a CEL value of JSON; None stands for values that are the same in both."""


class TypedObject(MapView):
    """An object with declared fields; ``fields`` maps names in expressions to JSON names and wraps.

    The checker knows its type by name; where it runs it is a map.
    """

    __slots__ = ("_fields", "raw")
    type_name = "map"

    def __init__(self, raw: dict[str, Any], fields: Mapping[str, tuple[str, Wrap | None]]) -> None:
        self.raw = raw
        self._fields = fields

    def __len__(self) -> int:
        return len(self.raw)

    def find(self, key: Any) -> Any:
        field = self._fields.get(key)
        if field is None:
            field = self._fields.get(ESCAPED_RESERVED.get(key, ""))
            if field is None:
                return ABSENT
        value = self.raw.get(field[0])
        if value is None:
            return ABSENT
        return value if field[1] is None else field[1](value)

    def __iter__(self) -> Iterator[Any]:
        return (name for name, (raw_name, _) in self._fields.items() if raw_name in self.raw)

    def equals(self, other: Any) -> bool:
        if not is_map(other) or len(self) != len(other):
            return False
        if isinstance(other, TypedObject) and self.raw == other.raw:
            return True
        declared = {raw_name for raw_name, _ in self._fields.values()}
        for name, value in self.raw.items():
            if name not in declared and not (
                isinstance(other, TypedObject) and equals(other.raw.get(name, ABSENT), value)
            ):
                return False
        return all(equals(self.find(name), find(other, name)) for name in self)


class TypedMap(MapView):
    """A map with string keys whose values have one declared type."""

    __slots__ = ("_wrap", "raw")
    type_name = "map"

    def __init__(self, raw: dict[str, Any], wrap: Wrap | None) -> None:
        self.raw = raw
        self._wrap = wrap

    def __len__(self) -> int:
        return len(self.raw)

    def find(self, key: Any) -> Any:
        value = self.raw.get(key, ABSENT) if type(key) is str else ABSENT
        return value if value is ABSENT or self._wrap is None else self._wrap(value)

    def __iter__(self) -> Iterator[Any]:
        return iter(self.raw)

    def equals(self, other: Any) -> bool:
        if not is_map(other) or len(self) != len(other):
            return False
        return all(equals(self.find(key), find(other, key)) for key in self.raw)


class TypedList(ListView):
    """A list whose items have one declared type. Views are read-only; joining makes a new one."""

    __slots__ = ("_wrap", "raw")

    def __init__(self, raw: list[Any], wrap: Wrap | None) -> None:
        self.raw = raw
        self._wrap = wrap

    def __len__(self) -> int:
        return len(self.raw)

    def item(self, index: int) -> Any:
        value = self.raw[index]
        return value if self._wrap is None else self._wrap(value)

    def __iter__(self) -> Iterator[Any]:
        return iter(self.raw) if self._wrap is None else map(self._wrap, self.raw)

    def equals(self, other: Any) -> bool:
        return is_list(other) and len(self) == len(other) and all(map(equals, self, other))

    def plus(self, other: Any) -> Any:
        return [*self, *other]


class TypedSet(TypedList):
    """A list of type ``set``: order does not matter, nothing is there twice."""

    __slots__ = ()

    def equals(self, other: Any) -> bool:
        if not is_list(other) or len(self) != len(other):
            return False
        mine = list(self)
        return all(any(equals(item, one) for one in mine) for item in other)

    def plus(self, other: Any) -> Any:
        joined = list(self)
        for item in other:
            if not any(equals(item, one) for one in joined):
                joined.append(item)
        return JoinedSet(joined, None)


class JoinedSet(TypedSet):
    """What joining sets gives; its items are CEL values already."""

    __slots__ = ()


class TypedMapList(TypedList):
    """A list of type ``map``: items are known by their keys."""

    __slots__ = ("_keys",)

    def __init__(self, raw: list[Any], wrap: Wrap | None, keys: Sequence[str]) -> None:
        super().__init__(raw, wrap)
        self._keys = keys

    def _key_of(self, item: Any) -> tuple[str, ...]:
        return tuple(repr(find(item, key)) if is_map(item) else "" for key in self._keys)

    def equals(self, other: Any) -> bool:
        if not is_list(other) or len(self) != len(other):
            return False
        mine = {self._key_of(item): item for item in self}
        return all((key := self._key_of(item)) in mine and equals(mine[key], item) for item in other)

    def plus(self, other: Any) -> Any:
        joined = {self._key_of(item): item for item in self}
        for item in other:
            joined[self._key_of(item)] = item
        return TypedMapList(list(joined.values()), None, self._keys)
