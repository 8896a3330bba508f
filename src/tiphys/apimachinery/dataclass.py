"""``dataclass``: the standard library's, in a fifth of the time that it takes to make one.

There are some hundreds of these classes, made at every start, and the standard library compiles six
functions for each frozen one: that was a fifth of a process's start. Here equality, hashes and texts come
from functions that all classes share, and ``__init__`` is compiled when the first object is made.

Owns: the decorator, with the options that this project uses. Whoever checks types sees the standard
library's own, and ``field``, ``fields`` and ``replace`` are used from there. Not for classes with ``order``,
``kw_only`` or ``InitVar``.
"""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Iterable
from operator import attrgetter
from reprlib import recursive_repr
from typing import TYPE_CHECKING, Any, Final, NoReturn, TypeVar

__all__ = ["dataclass"]

_T = TypeVar("_T")
_MISSING: Final[Any] = dataclasses.MISSING
_set: Final = object.__setattr__


def _dataclass(
    cls: type[_T] | None = None, /, *, frozen: bool = False, slots: bool = False, eq: bool = True
) -> Any:
    """Make a class of fields, as ``dataclasses.dataclass`` does."""
    if cls is None:
        return lambda given: _made(given, frozen=frozen, slots=slots, eq=eq)
    return _made(cls, frozen=frozen, slots=slots, eq=eq)


if TYPE_CHECKING:
    from dataclasses import dataclass
else:
    dataclass = _dataclass


def _made(given: type[_T], *, frozen: bool, slots: bool, eq: bool) -> type[_T]:
    cls, fields = _with_fields(given, slots=slots)
    own = cls.__dict__
    methods: dict[str, Any] = {"__init__": _init_of(cls, frozen=frozen)}
    methods["__repr__"] = _repr_of([field.name for field in fields if field.repr])
    if eq:
        compared = _getter(field.name for field in fields if field.compare)
        methods["__eq__"] = _eq_of(compared)
        if frozen and own.get("__hash__") is None:
            methods["__hash__"] = _hash_of(_getter(field.name for field in fields if _is_hashed(field)))
        elif not frozen and "__hash__" not in own:
            methods["__hash__"] = None
    if frozen:
        methods.update(__setattr__=_refuse_to_set, __delattr__=_refuse_to_delete)
        if slots:
            methods["__setstate__"] = _set_state
    for name, method in methods.items():
        if name == "__hash__" or name not in own:
            setattr(cls, name, method)
    return cls


def _with_fields(given: type[_T], *, slots: bool) -> tuple[type[_T], tuple[dataclasses.Field[Any], ...]]:
    """Have the standard library find the fields, without what takes it longest.

    Annotations are texts here, and it tries three patterns on each for what is no field: a type is none of
    that at first sight. A class without a text of its own would get its signature for one.
    """
    written = inspect.get_annotations(given)
    given.__annotations__ = {
        name: text if "ClassVar" in str(text) else object for name, text in written.items()
    }
    given.__doc__ = given.__doc__ or given.__name__
    cls = dataclasses.dataclass(init=False, repr=False, eq=False, slots=slots)(given)
    fields = dataclasses.fields(cls)  # type: ignore[arg-type]
    cls.__annotations__ = written
    for field in fields:
        field.type = written.get(field.name, field.type)
    return cls, fields


def _init_of(cls: type[Any], *, frozen: bool) -> Callable[..., None]:
    """Return an ``__init__`` that gives way to the real one."""

    def __init__(self: object, *values: Any, **named: Any) -> None:  # noqa: N807
        cls.__init__ = init = _compile_init(cls, frozen=frozen)
        init(self, *values, **named)

    return __init__


def _compile_init(cls: type[Any], *, frozen: bool) -> Callable[..., None]:
    known: dict[str, Any] = {"_set": _set, "_missing": _MISSING}
    parameters, lines = ["self"], []
    for field in dataclasses.fields(cls):
        name, value = field.name, field.name
        if field.default is not _MISSING:
            known[f"_default_{name}"] = field.default
            parameters.append(f"{name}=_default_{name}")
            value = name if field.init else f"_default_{name}"
        elif field.default_factory is not _MISSING:
            known[f"_make_{name}"] = field.default_factory
            parameters.append(f"{name}=_missing")
            value = f"_make_{name}() if {name} is _missing else {name}" if field.init else f"_make_{name}()"
        else:
            parameters.append(name)
        if not field.init:
            parameters.pop()
            if value == name:
                continue  # __post_init__ gives it its value
        lines.append(f"_set(self, {name!r}, {value})" if frozen else f"self.{name} = {value}")
    if hasattr(cls, "__post_init__"):
        lines.append("self.__post_init__()")
    body = "".join(f"\n {line}" for line in lines or ["pass"])
    exec(f"def __init__({', '.join(parameters)}):{body}", known)
    init: Callable[..., None] = known["__init__"]
    init.__qualname__, init.__module__ = f"{cls.__qualname__}.__init__", cls.__module__
    return init


def _is_hashed(field: dataclasses.Field[Any]) -> bool:
    return field.compare if field.hash is None else field.hash


def _getter(names: Iterable[str]) -> Callable[[Any], tuple[Any, ...]]:
    """Return what gives the values of these fields, as a tuple even of one."""
    found = tuple(names)
    if len(found) > 1:
        return attrgetter(*found)
    return lambda obj: tuple(getattr(obj, name) for name in found)


def _eq_of(compared: Callable[[Any], Any]) -> Callable[[Any, object], Any]:
    def __eq__(self: Any, other: object) -> Any:  # noqa: N807
        if other.__class__ is not self.__class__:
            return NotImplemented
        return compared(self) == compared(other)

    return __eq__


def _hash_of(compared: Callable[[Any], Any]) -> Callable[[Any], int]:
    def __hash__(self: Any) -> int:  # noqa: N807
        return hash(compared(self))

    return __hash__


def _repr_of(names: list[str]) -> Callable[[Any], str]:
    @recursive_repr()
    def __repr__(self: Any) -> str:  # noqa: N807
        shown = ", ".join(f"{name}={getattr(self, name)!r}" for name in names)
        return f"{self.__class__.__qualname__}({shown})"

    return __repr__


def _refuse_to_set(_self: object, name: str, _value: object) -> NoReturn:
    raise dataclasses.FrozenInstanceError(f"cannot assign to field {name!r}")


def _refuse_to_delete(_self: object, name: str) -> NoReturn:
    raise dataclasses.FrozenInstanceError(f"cannot delete field {name!r}")


def _set_state(self: object, state: tuple[None, dict[str, Any]]) -> None:
    """Take what a copy or an unpickled object begins with."""
    for name, value in state[1].items():
        _set(self, name, value)
