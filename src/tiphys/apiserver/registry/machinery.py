"""The one place where the server reaches into the API machinery: schemas, strategies, conversion, printing.

Owns: the choice of which machinery serves which kind (built-in or custom). Refuses: rules of its own.
Imports are late where a package is large and only some requests need it.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

import orjson

from tiphys.apimachinery.errors import BadRequest, FieldError, NotAcceptable
from tiphys.apimachinery.featuregates import FeatureGates
from tiphys.apimachinery.meta import GVK, Object
from tiphys.apimachinery.protowire import ProtobufError
from tiphys.apimachinery.resource import Resource
from tiphys.apimachinery.schema import semantic, strict_json
from tiphys.apimachinery.schema.mismatch import DecodeError
from tiphys.apimachinery.schema.node import Schema
from tiphys.apimachinery.schema.shown import filled
from tiphys.apimachinery.schema.walk import cannot_be_handled, decode_check, not_registered
from tiphys.apimachinery.warnings import collecting
from tiphys.apis import conversion, empties, go_order, schemas, strategies
from tiphys.apis.outdated_annotations import read_annotations
from tiphys.apis.scale import BUILT_IN, ScalePaths
from tiphys.apis.strategy import Strategy
from tiphys.apiserver.evaluating import aside, evaluate

_NO_MESSAGE = (
    "object *unstructured.Unstructured does not implement the protobuf marshalling interface and cannot be "
    "encoded to a protobuf message"
)
if TYPE_CHECKING:
    from tiphys.apiserver.endpoints.call import Call

UpdateCheck = Callable[[Object, Object], list[FieldError]]


def strategy_for(resource: Resource) -> Strategy:
    """Return the strategy of a resource's storage version."""
    if resource.definition is not None:
        return resource.definition.strategy  # type: ignore[no-any-return]
    if resource.gvk.group != resource.storage.group:  # a group of its own may be stricter than its storage
        return strategies.strategy_for(resource.gvk)
    return strategies.strategy_for(resource.storage)


def schema_for(gvk: GVK, resource: Resource | None = None) -> Schema:
    """Return a kind's schema; ``resource`` tells where a custom kind's comes from."""
    if resource is not None and resource.definition is not None and resource.gvk == gvk:
        return resource.definition.schema  # type: ignore[no-any-return]
    return schemas.schema_for(gvk)


def show_sections(obj: Object, resource: Resource) -> None:
    """Give an object of a built-in kind the ``spec`` and ``status`` that it lacks, empty."""
    if resource.definition is None:
        for name in schemas.sections(resource.storage):
            obj.setdefault(name, {})


def show_status(obj: Object, resource: Resource) -> None:
    """Give a status of a built-in kind what is in there whatever happens. Its parts may be others' too."""
    if resource.definition is not None:
        return
    status = obj.get("status")
    if status is None:
        if "status" not in schemas.sections(resource.storage):
            return
        status = {}
    obj["status"] = filled(status, schemas.schema_for(resource.storage).properties["status"])


def show_whole(obj: Object, resource: Resource) -> None:
    """Give an object of a built-in kind all that Go writes of it, empty or not."""
    show_sections(obj, resource)
    if (resource.group, resource.kind) in schemas.SHOWN_SPECS and resource.definition is None:
        obj["spec"] = filled(obj["spec"], schemas.schema_for(resource.storage).properties["spec"])
    if "status" in obj:
        show_status(obj, resource)


def shown_as(obj: Object, gvk: GVK) -> Object:
    """Return an object of a built-in kind that nobody stores as Go writes it; it is not changed."""
    found = dict(obj)
    for name in schemas.sections(gvk):
        found.setdefault(name, {})
    whole: Object = filled(found, schemas.schema_for(gvk))
    return whole


def leaves_status(resource: Resource, strategy: Strategy, gates: FeatureGates) -> bool:
    """Return whether writes of the whole object leave its status as it is."""
    closing = strategy.open_status_without
    return resource.subresource("status") is not None and (not closing or gates.enabled(closing))


def list_kind(resource: Resource) -> str:
    """Return the kind of a resource's lists."""
    definition = resource.definition
    return f"{resource.kind}List" if definition is None else str(definition.list_kind)


def scale_paths(resource: Resource) -> ScalePaths:
    """Return where a resource keeps what its Scale shows."""
    return BUILT_IN if resource.definition is None else resource.definition.scale_paths


def convert(obj: Object, to: GVK) -> Object:
    """Return an object at another version of its kind; the object itself where it is there already."""
    return conversion.convert(obj, to)


def respelled(old: Object, new: Object, resource: Resource) -> Object:
    """Return an old object in which what means the same as in the new one is written as it is there.

    So they compare plainly by what they mean. Both are in the storage version; custom kinds have no amounts.
    """
    if resource.definition is not None:
        return old
    return semantic.respelled(old, new, schemas.schema_for(resource.storage))


def parse_json(body: bytes) -> tuple[Any, list[str]]:
    """Return the value and the texts of duplicate fields. Raises BadRequest."""
    try:
        return strict_json.loads_strict(body)
    except strict_json.JsonError as error:
        raise BadRequest(str(error)) from error


def merged(body: bytes, schema: Schema) -> Any:
    """Return the value of a JSON body that doubles keys, as a typed decoder reads it."""
    from tiphys.apimachinery.schema import doubled

    return doubled.merged(body, schema)


def check_exactly(body: bytes, gvk: GVK) -> None:
    """Refuse a JSON body of a built-in kind with its numbers as they were written. Raises BadRequest."""
    value = strict_json.exact(body)
    if isinstance(value, dict):
        decode_in_place(value, gvk)


def strict_faults(body: bytes, schema: Schema, unknown: Container[str] | None = None) -> list[str]:
    """Return the texts of unknown and duplicate fields as a typed decoder meets them in a JSON body."""
    return strict_json.faults_of(body, schema, unknown)


def decode_in_place(
    obj: Object,
    gvk: GVK,
    resource: Resource | None = None,
    known: Object | None = None,
    written: Callable[[], object] | None = None,
) -> list[str]:
    """Bring a decoded body into the shape of its kind, in place; return the texts of unknown fields.

    What a built-in kind's object has from ``known``, the live object, is in shape and stays as it is.
    ``written`` returns the object with its fractions as they were written, where that is known.

    Raises:
        BadRequest: a value has the wrong type, or an annotation is none of what it stands for.
    """
    try:
        if resource is not None and resource.definition is not None and resource.gvk == gvk:
            return resource.definition.decode(obj)  # type: ignore[no-any-return]
        empty = empties.found(obj, gvk)
        faults = decode_check(obj, schema_for(gvk), "Strict", known, written)
        read_annotations(obj, gvk)
    except DecodeError as error:
        raise cannot_be_handled(gvk, str(error)) from error
    empties.put_back(obj, empty)
    return faults


def validate_create(strategy: Strategy, obj: Object, *, namespaced: bool) -> list[FieldError]:
    """Return every fault of a new object."""
    return strategies.validate_create(strategy, obj, namespaced=namespaced)


def update_check(
    strategy: Strategy, subresource: str, *, namespaced: bool, fields: UpdateCheck | None = None
) -> UpdateCheck:
    """Return the validation of an update of the object, of its status, or of ``fields`` alone."""
    if fields is not None or subresource == "status":
        rules = fields or strategy.validate_status_update
        return lambda new, old: strategies.validate_part_update(
            strategy, rules, new, old, namespaced=namespaced
        )
    return lambda new, old: strategies.validate_update(strategy, new, old, namespaced=namespaced)


async def judge(call: Call, check: Callable[[], list[FieldError]]) -> list[FieldError]:
    """Return what a check finds. Rules of custom kinds may take long, and warn of what they excuse.

    So does the definition of such a kind, whose rules are compiled to see whether they can be.
    """
    if call.resource.definition is None and call.resource.group != "apiextensions.k8s.io":
        return await aside(call.size, check)

    def run() -> tuple[list[FieldError], list[str]]:
        with collecting() as texts:
            return check(), texts

    clock, times = call.backend.clock, call.backend.admission.times.expressions
    began = clock.monotonic()
    faults, warnings = await evaluate(run, call.size)
    if call.resource.definition is None:
        times.compiled(clock.monotonic() - began)
    elif call.resource.definition.has_rules:
        times.evaluated(clock.monotonic() - began)
    for text in warnings:
        call.warn(text)
    return faults


def decode_protobuf(body: bytes, default: GVK | None = None) -> Any:
    """Return the object in a protobuf body; ``default`` says what the body leaves out. Raises BadRequest."""
    from tiphys.apis.protobuf import codec

    try:
        return codec.decode(body, default)
    except codec.MessageError as error:
        shown = default or error.gvk
        text = str(error) if error.registered else not_registered(error.gvk)
        raise cannot_be_handled(error.gvk, text, shown.kind) from error
    except ProtobufError as error:
        raise BadRequest(str(error)) from error


def no_protobuf_of(body: bytes, gvk: GVK) -> BadRequest:
    """Return the fault of a protobuf body for a custom kind, which has no such form. Raises BadRequest."""
    from tiphys.apis.protobuf import codec

    try:
        found = codec.kind_in(body, gvk)
    except codec.EnvelopeError as error:
        raise BadRequest(str(error)) from error
    return cannot_be_handled(found, _NO_MESSAGE, gvk.kind)


def encode_protobuf(value: Object) -> bytes:
    """Return an object in Kubernetes' protobuf envelope. Raises NotAcceptable for what has no such form."""
    from tiphys.apis.protobuf import codec

    try:
        return codec.encode(value)
    except ProtobufError as error:
        raise _not_as_protobuf() from error


def encode_protobuf_items(value: Object) -> bytes:
    """Return the items of a list as they stand in its message. Raises NotAcceptable."""
    from tiphys.apis.protobuf import codec

    try:
        return codec.items_of(value)
    except ProtobufError as error:
        raise _not_as_protobuf() from error


def encode_protobuf_around(empty: Object, size: int) -> tuple[bytes, bytes]:
    """Return what stands around so many bytes of items of a list that is given without them."""
    from tiphys.apis.protobuf import codec

    return codec.around_items(empty, size)


def _not_as_protobuf() -> NotAcceptable:
    return NotAcceptable("only the following media types are accepted: application/json, application/yaml")


def frame_protobuf(type_: str, obj: Object) -> bytes:
    """Return one watch event: its length in four bytes, then a WatchEvent."""
    from tiphys.apis.protobuf import codec

    return codec.watch_frame(type_, encode_protobuf(obj))


def table_rows(
    resource: Resource, objects: Sequence[Object], now: datetime
) -> tuple[list[Object], list[Object]]:
    """Return column definitions and rows (cells and conditions) as ``kubectl get`` prints them."""
    from tiphys.apis import printers

    definition = resource.definition
    printer = definition.printer if definition is not None else printers.table_for(resource.gvk)
    rows: list[Object] = []
    for obj in objects:
        row: Object = {"cells": printer.row(obj, now)}
        if printer.conditions is not None and (conditions := printer.conditions(obj)):
            row["conditions"] = conditions
        rows.append(row)
    return list(printer.columns), rows


def shows_metadata(resource: Resource) -> bool:
    """Tell whether a kind's tables are made of nothing but metadata."""
    from tiphys.apis import printers

    definition = resource.definition
    printer = definition.printer if definition is not None else printers.table_for(resource.gvk)
    return bool(printer.of_metadata)


def table_order(resource: Resource, objects: Sequence[Object]) -> Sequence[Object]:
    """Return objects in the order that a kind's tables have."""
    from tiphys.apis import printers

    order = None if resource.definition is not None else printers.table_for(resource.gvk).order
    return objects if order is None else sorted(objects, key=order)


def in_go_order(value: Object) -> Object:
    """Return an object with its fields as Go's type has them, what is of no built-in type as it is."""
    return go_order.in_go_order(value) if "kind" in value and "apiVersion" in value else value


def meta_in_go_order(meta: Object) -> Object:
    """Return the metadata of any object with its fields as Go's type has them."""
    return go_order.meta_in_go_order(meta)


def dumps(value: Any) -> bytes:
    """Encode as compact JSON."""
    return orjson.dumps(value)
