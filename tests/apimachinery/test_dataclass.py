"""Our dataclasses are the standard library's in all but what it takes to make one."""

from __future__ import annotations

import copy
import dataclasses
import inspect
import pickle
from collections.abc import Callable
from dataclasses import FrozenInstanceError, field, fields, replace
from typing import Any, ClassVar

import pytest

from tiphys.apimachinery.dataclass import _dataclass

Decorator = Callable[..., Any]
MAKERS: dict[str, Decorator] = {"ours": _dataclass, "the standard library's": dataclasses.dataclass}
OPTIONS: dict[str, dict[str, bool]] = {
    "plain": {},
    "slots": {"slots": True},
    "frozen": {"frozen": True},
    "frozen, slots": {"frozen": True, "slots": True},
    "slots, no equality": {"slots": True, "eq": False},
    "frozen, slots, no equality": {"frozen": True, "slots": True, "eq": False},
}
EVERY = [
    pytest.param(make, options, id=f"{maker}: {name}")
    for name, options in OPTIONS.items()
    for maker, make in MAKERS.items()
]


def point(make: Decorator, options: dict[str, bool]) -> Any:
    @make(**options)
    class Point:
        """A point."""

        x: int
        y: int = 2
        seen: list[int] = field(default_factory=list)
        note: str = field(default="", compare=False)
        secret: str = field(default="s", repr=False)
        extra: Any = field(default=None, hash=False, repr=False)
        kept: int = field(default=9, init=False)
        made: list[int] = field(default_factory=list, init=False, compare=False, repr=False)
        total: int = field(init=False)
        SHARED: ClassVar[int] = 7

        def __post_init__(self) -> None:
            object.__setattr__(self, "total", self.x + self.y)

    return Point


@pytest.mark.parametrize(("make", "options"), EVERY)
def test_objects_are_made_from_values_names_and_defaults(make: Decorator, options: dict[str, bool]) -> None:
    cls = point(make, options)
    one = cls(1)
    assert (one.x, one.y, one.seen, one.note, one.secret) == (1, 2, [], "", "s")
    assert (one.kept, one.made, one.total, one.SHARED) == (9, [], 3, 7)
    other = cls(3, 4, [5], secret="t")
    assert (other.x, other.y, other.seen, other.secret, other.total) == (3, 4, [5], "t", 7)
    assert cls(1).seen is not one.seen
    assert cls(1).made is not one.made
    for values, named in (((), {}), ((1,), {"x": 2}), ((1,), {"kept": 2}), ((1,), {"odd": 2})):
        with pytest.raises(TypeError):
            cls(*values, **named)


@pytest.mark.parametrize(("make", "options"), EVERY)
def test_equality_and_hashes(make: Decorator, options: dict[str, bool]) -> None:
    cls = point(make, options)
    eq = options.get("eq", True)
    assert (cls(1) == cls(1)) is eq
    assert (cls(1, note="x") == cls(1)) is eq  # which is not compared
    assert cls(1) != cls(2)
    assert cls(1, secret="x") != cls(1)
    assert cls(1) != point(make, options)(1)  # another class of the same fields
    assert cls(1).__eq__(1) is NotImplemented
    if not eq:
        one = cls(1)
        assert hash(one) == hash(one)
        assert len({one, cls(1)}) == 2
    elif not options.get("frozen"):
        assert cls.__hash__ is None
    else:
        with pytest.raises(TypeError, match="unhashable type: 'list'"):
            hash(cls(1))
        assert hash(cls(1, seen=())) == hash(cls(1, seen=(), note="x"))
        assert len({cls(1, seen=()), cls(1, seen=()), cls(2, seen=())}) == 2
        assert hash(cls(1, seen=(), extra={})) == hash(cls(1, seen=()))
        assert cls(1, seen=(), extra={}) != cls(1, seen=())


@pytest.mark.parametrize(("make", "options"), EVERY)
def test_frozen_objects_stay_as_they_are(make: Decorator, options: dict[str, bool]) -> None:
    one = point(make, options)(1)
    if not options.get("frozen"):
        one.x = 5
        assert one.x == 5
        return
    with pytest.raises(FrozenInstanceError, match="cannot assign to field 'x'"):
        one.x = 5
    with pytest.raises(FrozenInstanceError, match="cannot delete field 'x'"):
        del one.x
    assert one.x == 1


@pytest.mark.parametrize(("make", "options"), EVERY)
def test_what_else_a_dataclass_is(make: Decorator, options: dict[str, bool]) -> None:
    cls = point(make, options)
    assert repr(cls(1)) == f"{cls.__qualname__}(x=1, y=2, seen=[], note='', kept=9, total=3)"
    assert replace(cls(1, note="n"), y=8) == cls(1, 8, note="n") or not options.get("eq", True)
    assert [one.name for one in fields(cls)][:3] == ["x", "y", "seen"]
    assert [one.type for one in fields(cls)] == [cls.__annotations__[one.name] for one in fields(cls)]
    assert set(cls.__annotations__.values()) > {"int", "ClassVar[int]"}
    assert cls.__match_args__ == ("x", "y", "seen", "note", "secret", "extra")
    match cls(1, 5):
        case cls(x, y):
            assert (x, y) == (1, 5)
    assert hasattr(cls(1), "__dict__") is not options.get("slots", False)
    for copied in (copy.copy(cls(4)), copy.deepcopy(cls(4))):
        assert (copied.x, copied.total) == (4, 6)
    cls(1)
    assert list(inspect.signature(cls).parameters) == ["x", "y", "seen", "note", "secret", "extra"]


def family(make: Decorator) -> tuple[Any, Any, Any]:
    @make(frozen=True, slots=True)
    class Base:
        a: int
        b: int = 2

        def total(self) -> int:
            return self.a + self.b

    @make(frozen=True, slots=True)
    class More(Base):
        c: int = 3

        def __repr__(self) -> str:
            return "own"

        def __hash__(self) -> int:
            return 5

    class Plain(Base):
        pass

    return Base, More, Plain


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
def test_classes_of_classes(make: Decorator) -> None:
    Base, More, Plain = family(make)  # noqa: N806
    assert (More(1).c, More(1, 5, 6).total(), Base(1).b) == (3, 6, 2)
    assert (repr(More(1)), hash(More(1))) == ("own", 5)
    assert Base(1) != More(1)
    assert Plain(1).total() == 3
    assert repr(Plain(1)).endswith("Plain(a=1, b=2)")


def small(make: Decorator) -> tuple[Any, Any]:
    @make(frozen=True, slots=True)
    class One:
        value: Any

    @make
    class Nothing:
        pass

    return One, Nothing


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
def test_small_ones(make: Decorator) -> None:
    One, Nothing = small(make)  # noqa: N806
    nan = float("nan")
    assert One(nan) == One(nan)  # as tuples of the very same are
    assert hash(One(3)) == hash(One(3)) == hash((3,))
    assert Nothing() == Nothing()
    loop = make(type("Loop", (), {"__annotations__": {"own": "Any"}}))(None)
    loop.own = loop
    assert repr(loop) == "Loop(own=...)"


@_dataclass(frozen=True, slots=True)
class Kept:
    """One that is found by its name."""

    a: int
    b: str = ""


def test_one_that_was_pickled() -> None:
    assert pickle.loads(pickle.dumps(Kept(1, "x"))) == Kept(1, "x")  # type: ignore[call-arg]


def test_nothing_is_compiled_before_it_is_used() -> None:
    """That is what they are for."""
    cls = point(_dataclass, {"frozen": True})
    late = cls.__init__
    cls(1)
    assert cls.__init__ is not late
    assert cls.__init__.__qualname__ == f"{cls.__qualname__}.__init__"
    own = {name for name, value in vars(cls).items() if inspect.isfunction(value) and name != "__post_init__"}
    shared = {"__init__", "__repr__", "__eq__", "__hash__", "__setattr__", "__delattr__"}
    assert own == shared
    other = vars(point(_dataclass, {"frozen": True}))
    assert all(vars(cls)[name].__code__ is other[name].__code__ for name in shared - {"__init__", "__repr__"})
