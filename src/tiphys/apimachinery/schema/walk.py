"""Decodes requests of built-in kinds as Go's typed decoder does: checks types, drops unknown fields.

``decode_check`` changes the object that it is given: nulls, empty lists and maps and plain fields that are
zero vanish, quantities and times become canonical. Custom resources go through ``prune`` and ``validate``
instead.

Each schema node is compiled once into a ``_Plan``: leaves are settled by one look at ``type(value)``.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Callable
from typing import Any

from tiphys.apimachinery import go_time, quantity
from tiphys.apimachinery.clock import rfc3339, rfc3339_micro
from tiphys.apimachinery.errors import BadRequest
from tiphys.apimachinery.memo import Rewritten
from tiphys.apimachinery.meta import GVK, Object
from tiphys.apimachinery.schema import base64_text, either
from tiphys.apimachinery.schema.mismatch import DecodeError, Mismatch, is_fraction, json_kind
from tiphys.apimachinery.schema.node import Schema
from tiphys.apimachinery.schema.numbers import NumberText, drop_texts, take_texts
from tiphys.apimachinery.short_memory import short_memory

MAX_STRICT_FAULTS = 100
_REMEMBERED = "io.k8s.api.core.v1.PodSpec"
"""The one large shape that is written over and over with equal content."""
_EXACT = 2**53
"""Floats tell whole numbers apart up to here; Go writes them without a point."""
_NO_TIME, _NO_MICRO_TIME = "0001-01-01T00:00:00Z", "0001-01-01T00:00:00.000000Z"
"""What Go's zero time would be; it is written as a null, which says nothing."""
_INTEGERS = {"int32": (-(2**31), 2**31 - 1), "int64": (-(2**63), 2**63 - 1)}


_Trail = tuple[Any, str] | None
"""Where the walk is: the trail of the parent and the own step, joined only when a fault needs its path."""


class _TextCounts(DecodeError):
    """An amount is a fraction, and what becomes of it hangs on how it was written."""


class _Faults:
    """Unknown fields seen so far; ``None`` texts when nobody asked for them."""

    __slots__ = ("texts",)

    def __init__(self, *, wanted: bool) -> None:
        self.texts: list[str] | None = [] if wanted else None

    def unknown(self, trail: _Trail, key: str) -> None:
        if self.texts is not None and len(self.texts) < MAX_STRICT_FAULTS:
            self.texts.append(f'unknown field "{path_text(trail, key)}"')


def path_text(trail: _Trail, key: str) -> str:
    """Join a trail and a last key into ``spec.containers[0].image``."""
    steps = [key]
    while trail is not None:
        trail, step = trail
        steps.append(step)
    steps.reverse()
    return ".".join(steps).replace(".[", "[")


def decode_check(
    obj: dict[str, Any],
    schema: Schema,
    mode: str = "Ignore",
    known: dict[str, Any] | None = None,
    written: Callable[[], Any] | None = None,
) -> list[str]:
    """Bring ``obj`` into the shape of its type, in place; return the texts of unknown fields.

    ``mode`` is the request's fieldValidation; under ``Ignore`` unknown fields are dropped unnoticed. What is
    the very same value in ``known``, an object that is in shape already, is neither looked at nor changed.
    ``written`` returns the object with its fractions as they were written, which is asked for should an
    amount be one.

    Raises:
        DecodeError: a value has the wrong type.
    """
    wanted, plan = mode != "Ignore", plan_for(schema)
    faults = _Faults(wanted=wanted)
    try:
        if type(obj) is not dict:
            raise _mismatch(obj, plan.go_type)
        try:
            plan.walk(obj, faults, None, known)
        except _TextCounts:
            faults = _Faults(wanted=wanted)
            take_texts(obj, written() if written is not None else None)
            plan.walk(obj, faults, None, None)
            drop_texts(obj)
    except Mismatch as error:
        raise DecodeError(error.text(), error.restoring(), wraps=error.wraps()) from None
    return faults.texts or []


def fits(value: Any, schema: Schema) -> bool:
    """Tell whether a type can hold a value, which is changed as ``decode_check`` changes it."""
    plan = plan_for(schema)
    if value is None or type(value) is plan.exact:
        return True
    try:
        _decode(plan, value, _Faults(wanted=False), None)
    except _TextCounts:
        return True
    except (Mismatch, DecodeError):
        return False
    return True


def cannot_be_handled(gvk: GVK, text: str, wanted: str = "") -> BadRequest:
    """Return the 400 that a body that does not decode, as the kind that is wanted, is answered with."""
    kind = wanted or gvk.kind
    return BadRequest(f'{gvk.kind} in version "{gvk.version}" cannot be handled as a {kind}: {text}')


def not_registered(gvk: GVK) -> str:
    """Return what is said of a kind that nobody knows."""
    scheme = "pkg/api/legacyscheme/scheme.go:30"
    return f'no kind "{gvk.kind}" is registered for version "{gvk.api_version}" in scheme "{scheme}"'


def unknown_conversion(found: GVK, wanted: GVK) -> str:
    """Return what is said of an object of one kind where another is wanted."""
    internal = (wanted.group.partition(".")[0] or "core").replace("-", "")
    return f"converting ({found.version}.{found.kind}) to ({internal}.{wanted.kind}): unknown conversion"


_Walk = Callable[[Any, _Faults, _Trail, Any], None]
"""Goes through a container, changing it; the last argument is a container in shape, or None."""


class _Plan:
    """How to decode one node: ``exact`` is the Python type that needs no second look."""

    __slots__ = ("container", "exact", "go_type", "leaf", "walk", "zero")

    def __init__(self, go_type: str) -> None:
        self.go_type = go_type
        self.exact: type | None = None
        self.leaf: Callable[[Any], Any] | None = None
        """Returns the value to keep; raises Mismatch. For values that are not containers."""
        self.container: type | None = None
        """What values are that are walked: ``dict`` or ``list``."""
        self.walk: _Walk = _refuse
        self.zero: Callable[[], Any] = str
        """Makes what a null inside a list or map becomes."""


def _refuse(_value: Any, _faults: _Faults, _trail: _Trail, _known: Any = None) -> None:
    """Leave it: leaves are never walked."""


_NAMED: dict[str, tuple[Schema, _Plan]] = {}


def plan_for(schema: Schema) -> _Plan:
    """Return the node's plan; those of named definitions are kept for ever (there are some hundreds)."""
    known = _NAMED.get(schema.name) if schema.name else None
    if known is not None and known[0] is schema:
        return known[1]
    plan = _Plan(_go_type(schema))
    if schema.name and known is None:
        _NAMED[schema.name] = (schema, plan)
    _compile(plan, schema)
    return plan


def _go_type(schema: Schema) -> str:
    if schema.name:
        return ".".join(schema.name.split(".")[-2:])
    match schema.type:
        case "array":
            return f"[]{_go_type(schema.items)}" if schema.items else "[]interface {}"
        case "object":
            return f"map[string]{_go_type(schema.additional)}" if schema.additional else "struct {}"
        case "integer":
            return schema.format or "int64"
        case "number":
            return "float64"
        case "boolean":
            return "bool"
        case "string":
            return "[]uint8" if schema.format == "byte" else "string"
    return "interface {}"


def _compile(plan: _Plan, schema: Schema) -> None:
    if schema.int_or_string:
        plan.exact, plan.leaf, plan.zero = str, _int_or_string, int
    elif (read := either.reader(schema.name, _read_schema)) is not None:
        plan.leaf, plan.zero = read, _none
        plan.container, plan.walk = dict, _walk_schema
    elif schema.preserve_unknown or schema.type is None:
        plan.leaf, plan.exact, plan.zero = _anything, dict, _none
    elif schema.type == "object":
        plan.zero = plan.container = dict
        if schema.additional is not None:
            plan.walk = _map_walker(plan_for(schema.additional))
        else:
            plan.walk = _struct_walker(plan, schema)
            if schema.name == _REMEMBERED:
                plan.walk = _remembering(plan.walk)
        plan.leaf = None
    elif schema.type == "array":
        plan.zero = plan.container = list
        items = plan_for(schema.items) if schema.items else _any_plan()
        plan.walk = _list_walker(items, _text_keys(schema))
    else:
        _compile_scalar(plan, schema)


def _walk_schema(obj: Object, _faults: _Faults, _trail: _Trail, _known: Any = None) -> None:
    """Go through the JSON schema in a field of another, whose own definition is planned then."""
    _NAMED[either.SCHEMA][1].walk(obj, _Faults(wanted=False), None, None)


def _read_schema(obj: Object) -> None:
    _walk_schema(obj, _Faults(wanted=False), None)


def _compile_scalar(plan: _Plan, schema: Schema) -> None:
    match schema.type, schema.format:
        case "string", "quantity":
            plan.leaf, plan.zero = _quantity, lambda: "0"
        case "string", "date-time":
            plan.leaf, plan.zero = _time, _none
        case "string", "micro-time":
            plan.leaf, plan.zero = _micro_time, _none
        case "string", "byte":
            plan.leaf = _base64
        case "string", _:
            plan.exact, plan.leaf = str, _wrong(plan.go_type)
        case "boolean", _:
            plan.exact, plan.leaf, plan.zero = bool, _wrong("bool"), bool
        case "integer", _:
            plan.leaf, plan.zero = _integer(plan.go_type), int
        case _:
            plan.leaf, plan.zero = _number, int


def _any_plan() -> _Plan:
    plan = _Plan("interface {}")
    plan.leaf, plan.zero = _anything, _none
    return plan


def _none() -> None:
    return None


def _struct_walker(own: _Plan, schema: Schema) -> _Walk:
    """A struct's fields are planned on first use, so that kinds that refer to themselves end."""
    fields: dict[str, _Plan] = {}
    exact: dict[str, type] = {}  # of fields whose values need no second look: most are texts
    omitted = schema.omitted
    droppable = omitted | {
        key
        for key, child in schema.properties.items()
        if (child.type == "array" or child.additional is not None) and key not in schema.required
    }
    struct = own.go_type.rpartition(".")[2]
    pending = [True]

    def walk(
        obj: dict[str, Any], faults: _Faults, trail: _Trail, known: dict[str, Any] | None = None
    ) -> None:
        if pending:
            fields.update((key, plan_for(child)) for key, child in schema.properties.items())
            exact.update((key, plan.exact) for key, plan in fields.items() if plan.exact is not None)
            pending.clear()
        drop: list[str] = []
        for key, value in obj.items():
            if exact.get(key) is type(value):
                if value or key not in omitted:
                    continue
                drop.append(key)
                continue
            if known is not None and value is not None and known.get(key) is value:
                continue
            plan = fields.get(key)
            if plan is None:
                faults.unknown(trail, key)
            elif value is not None:
                try:
                    if plan.container is type(value):
                        before = known.get(key) if known is not None else None
                        same_type = type(before) is plan.container
                        plan.walk(value, faults, (trail, key), before if same_type else None)
                        kept_value = value
                    else:
                        kept_value = _decode(plan, value, faults, (trail, key))
                except Mismatch as error:
                    error.within(schema.name or "", struct, key)
                    raise
                if kept_value is not value:
                    obj[key] = kept_value
                if kept_value or (key not in droppable and kept_value is not None):
                    continue
            drop.append(key)
        for key in drop:
            del obj[key]

    return walk


def _remembering(
    walk: _Walk,
) -> _Walk:
    """Walk equal content once; content with unknown fields each time, as somebody wants to know of them."""
    memory = Rewritten()

    def remembered(obj: Object, faults: _Faults, trail: _Trail, _known: Any = None) -> None:
        def change(changed: Object) -> bool:
            found = faults.texts
            before = -1 if found is None else len(found)
            walk(changed, faults, trail, None)
            return found is not None and len(found) == before < MAX_STRICT_FAULTS

        memory.apply(obj, change)

    return remembered


def _decode(plan: _Plan, value: Any, faults: _Faults, trail: _Trail) -> Any:
    """Check one value that is not null; return what to keep in its place."""
    if plan.leaf is not None:
        return plan.leaf(value)
    if type(value) is not plan.container:
        raise _mismatch(value, plan.go_type)
    plan.walk(value, faults, trail, None)
    return value


def _map_walker(values: _Plan) -> _Walk:
    def walk(obj: dict[str, Any], faults: _Faults, trail: _Trail, _known: Any = None) -> None:
        for key, value in obj.items():
            if type(value) is values.exact:
                continue
            if value is None:
                obj[key] = values.zero()
                continue
            kept_value = _decode(values, value, faults, (trail, key))
            if kept_value is not value:
                obj[key] = kept_value

    return walk


def _text_keys(schema: Schema) -> tuple[str, ...]:
    """Return which keys of a list's items Go writes out as empty texts where they are not given.

    Without them nobody could tell whose the item is.
    """
    items = schema.items
    if items is None or schema.list_type != "map":
        return ()
    return tuple(
        key
        for key in schema.list_map_keys
        if key in items.required and key in items.properties and items.properties[key].type == "string"
    )


def _list_walker(items: _Plan, keys: tuple[str, ...]) -> _Walk:
    def walk(values: list[Any], faults: _Faults, trail: _Trail, known: list[Any] | None = None) -> None:
        in_shape = () if known is None else set(map(id, known))
        for index, value in enumerate(values):
            if type(value) is items.exact or id(value) in in_shape:
                continue
            if value is None:
                values[index] = items.zero()
                continue
            kept_value = _decode(items, value, faults, (trail, f"[{index}]"))
            for key in keys:
                kept_value.setdefault(key, "")
            if kept_value is not value:
                values[index] = kept_value

    return walk


def _wrong(go_type: str) -> Callable[[Any], Any]:
    def refuse(value: Any) -> Any:
        raise _mismatch(value, go_type)

    return refuse


def _mismatch(value: Any, go_type: str) -> Mismatch:
    return Mismatch(json_kind(value), go_type, fraction=is_fraction(value))


def _integer(go_type: str) -> Callable[[Any], Any]:
    low, high = _INTEGERS.get(go_type, _INTEGERS["int64"])

    def check(value: Any) -> Any:
        if type(value) is int and low <= value <= high:
            return value
        raise Mismatch(_shown(value), go_type, fraction=is_fraction(value))

    return check


def _shown(value: Any) -> str:
    """Name what is no whole number, or too large a one; numbers as they were written, where that is known."""
    return f"number {value}" if json_kind(value) == "number" else json_kind(value)


def _number(value: Any) -> Any:
    if isinstance(value, float) and math.isfinite(value):
        return int(value) if value.is_integer() and abs(value) < _EXACT else float(value)
    if type(value) is int:
        return value if -_EXACT < value < _EXACT else float(value)
    raise Mismatch(_shown(value), "float64")


def _int_or_string(value: Any) -> Any:
    if type(value) is str:
        return value
    if type(value) is int and -(2**31) <= value < 2**31:
        return value
    raise Mismatch(_shown(value), "int32", by_itself=True)


def _anything(value: Any) -> Any:
    return value


def _quantity(value: Any) -> Any:
    if type(value) is float:
        raise _TextCounts("")
    if type(value) in (int, NumberText):
        value = str(value)
    if type(value) is not str:
        raise DecodeError(quantity.FORMAT_TEXT)
    try:
        return quantity.canonical(value.strip())
    except quantity.QuantityError as error:
        raise DecodeError(str(error)) from None


def _time(value: Any) -> Any:
    if type(value) is not str:
        raise Mismatch(json_kind(value), "string", by_itself=True)
    try:
        return _canonical_time(value)
    except go_time.TimeError as error:
        raise DecodeError(str(error)) from None


@short_memory(1024)
def _canonical_time(text: str) -> str | None:
    # A status says again and again when things were. Raises TimeError, which is not remembered.
    moment = rfc3339(go_time.parse(text))
    return None if moment == _NO_TIME else moment


def _micro_time(value: Any) -> Any:
    if type(value) is not str:
        raise Mismatch(json_kind(value), "string", by_itself=True)
    try:
        moment = rfc3339_micro(go_time.parse(value, go_time.RFC3339_MICRO))
    except go_time.TimeError as error:
        raise DecodeError(str(error)) from None
    return None if moment == _NO_MICRO_TIME else moment


def _base64(value: Any) -> Any:
    if type(value) is list and all(type(item) is int and 0 <= item < 256 for item in value):
        return base64.b64encode(bytes(value)).decode()  # bytes by their numbers are bytes, too
    if type(value) is not str:
        raise _mismatch(value, "[]uint8")
    try:
        return base64_text.canonical(value)
    except ValueError as error:
        raise DecodeError(str(error), f"error decoding from json: {error}") from None
