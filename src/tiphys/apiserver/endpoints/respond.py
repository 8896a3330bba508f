"""Answers: objects, lists and failures in the form the client asked for.

Owns: encoding. Stored bytes go out untouched whenever they are what the client wants. Called by handlers and
by the filter chain for failures.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import Any, Final

import orjson

from tiphys.apimachinery import field_errors, go_json, go_yaml
from tiphys.apimachinery.errors import BadRequest, NotAcceptable, StatusError
from tiphys.apimachinery.go_text import without_markup
from tiphys.apimachinery.meta import Object
from tiphys.apimachinery.resource import Resource
from tiphys.apiserver.endpoints import list_parts
from tiphys.apiserver.endpoints.call import Call
from tiphys.apiserver.endpoints.negotiation import (
    JSON,
    PROTOBUF,
    YAML,
    Format,
    accept_format,
    failure_format,
)
from tiphys.apiserver.evaluating import LARGE_BYTES, begin_form
from tiphys.apiserver.observe import latencies
from tiphys.apiserver.registry import machinery
from tiphys.apiserver.registry.objects import Cached, Page
from tiphys.wire.message import Request, Response

_PRETTY = orjson.OPT_INDENT_2
_COMPACT = orjson.OPT_APPEND_NEWLINE
"""As upstream's encoder: a line break ends every JSON answer that is not laid out for people."""
_LAID_OUT: Final = Format(pretty=True)
END = b"\n"
NO_STORE = "no-cache, private"
_WARNINGS, _CUT_WARNING = 4096, 256
"""Characters of all warnings, and of each where they are more."""


def plain_text(status: int, text: str) -> Response:
    """Answer with a line for whoever reads it: what is said where no object can say it."""
    headers = {"content-type": "text/plain; charset=utf-8", "x-content-type-options": "nosniff"}
    return Response(status, headers, f"{text}\n".encode())


def call_format(call: Call, *, watch: bool = False, tables: bool = True) -> Format:
    """Return the form that a call asks for. Raises NotAcceptable."""
    if "pretty" in call.query:
        pretty = call.query["pretty"][0]
        return _format(call, pretty, watch=watch, tables=tables)
    key = (call_format, watch, tables, call.resource.custom)
    form: Format | None = call.request.memo.get(key)
    if form is None:
        form = call.request.memo[key] = _format(call, "", watch=watch, tables=tables)
    return form


def _format(call: Call, pretty: str, *, watch: bool, tables: bool) -> Format:
    headers, protobuf = call.request.headers, not call.resource.custom
    accept, agent = headers.get("accept", ""), headers.get("user-agent", "")
    return accept_format(accept, pretty, agent, watch=watch, protobuf=protobuf, tables=tables)


def encode(value: Any, form: Format, *, fractions: bool = False, maps: bool = False) -> tuple[bytes, str]:
    """Return a value's bytes and their content type.

    ``fractions``: it may hold some; ``maps``: it is made of maps, whose keys Go sorts, as custom objects are.
    """
    with latencies.spending(latencies.SERIALIZE):
        return _encoded(value, form, fractions=fractions, maps=maps)


def _encoded(value: Any, form: Format, *, fractions: bool, maps: bool) -> tuple[bytes, str]:
    if form.media_type == PROTOBUF:
        return machinery.encode_protobuf(value), PROTOBUF
    if form.media_type == YAML:
        return go_yaml.dump(value).encode(), YAML
    option = _PRETTY if form.pretty else _COMPACT
    text = orjson.dumps(value, option=option | orjson.OPT_SORT_KEYS if maps else option)
    return without_markup(go_json.written(text) if fractions else text), JSON


_CONTROL: Final = re.compile("[\x00-\x1f\x7f-\x9f]")


def _warning(text: str) -> str:
    clean = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'299 - "{clean}"'


def _told(warnings: Sequence[str]) -> Iterator[str]:
    """Yield the warnings that are sent: whole, or all of them cut where together they are too long.

    None that has control characters: those cannot be in a header.
    """
    seen = dict.fromkeys(text for text in warnings if text)
    sound = [text for text in seen if not _CONTROL.search(text)]
    if sum(map(len, sound)) <= _WARNINGS:
        yield from sound
        return
    written = 0
    for text in sound:
        if written >= _WARNINGS:
            return
        yield text[:_CUT_WARNING]
        written += min(len(text), _CUT_WARNING)


def headers_of(warnings: Sequence[str], content_type: str) -> dict[str, str]:
    """Return the headers that every answer of the API carries."""
    headers = {"content-type": content_type, "cache-control": NO_STORE}
    if warnings:
        told = ", ".join(_warning(text) for text in _told(warnings))
        if told:
            headers["warning"] = told
    return headers


def respond(call: Call, value: Any, status: int = 200) -> Response:
    """Answer with what has no columns (reviews), or with a Status, whatever was asked for."""
    is_status = value.get("kind") == "Status"
    form = call_format(call, tables=is_status)
    if form.transform and not is_status:
        return _transformed(call, form, value, status)
    body, content_type = encode(machinery.in_go_order(value), form)
    return Response(status, headers_of(call.warnings, content_type), body)


def at_version(cached: Cached, resource: Resource) -> Object:
    """Return a cached object in the version that the request named; shared, never change it."""
    if resource.storage == resource.gvk:
        return cached.object
    return machinery.in_go_order(machinery.convert(cached.object, resource.gvk))


def shown_of(call: Call, form: Format, cached: Cached) -> Object:
    """Return what a form shows of a cached object: its head, where that is all; never change it."""
    return at_version(cached, call.resource) if _whole(call, form) else cached.head


def _whole(call: Call, form: Format) -> bool:
    """Tell whether a form needs more than the metadata of an object."""
    resource = call.resource
    if not form.transform or resource.storage != resource.gvk:
        return True
    if form.transform != "Table":
        return False
    return call.param("includeObject") == "Object" or not machinery.shows_metadata(resource)


def respond_cached(call: Call, cached: Cached, status: int = 200) -> Response:
    """Answer with one stored object."""
    form = call_format(call)
    resource = call.resource
    if form.plain_json and resource.storage == resource.gvk:
        return Response(status, headers_of(call.warnings, JSON), cached.raw + END)
    with latencies.spending(latencies.TRANSFORM):
        shown = shown_of(call, form, cached)
    return _transformed(call, form, shown, status)


async def respond_aside(call: Call, cached: Cached, status: int = 200) -> Response:
    """Answer with one stored object; a large one is brought aside into the form that is asked for."""
    if cached.size < LARGE_BYTES or call_format(call).plain_json:
        return respond_cached(call, cached, status)
    return await asyncio.shield(begin_form(cached.size, lambda: respond_cached(call, cached, status)))


def respond_object(call: Call, obj: Object, status: int = 200) -> Response:
    """Answer with one object in the request's version that is not stored (dry run, last state)."""
    return _transformed(call, call_format(call), obj, status)


NO_LIST = "you requested PartialObjectMetadataList, but the requested object is not a list ({})"
A_LIST = "you requested PartialObjectMetadata, but the requested object is a list ({})"
_INCLUDE = ("", "None", "Metadata", "Object")


def check_form(call: Call, form: Format, *, is_list: bool) -> None:
    """Refuse forms that a list, or one object, cannot take.

    Raises:
        NotAcceptable, BadRequest.
    """
    if form.transform == "Table":
        include = call.param("includeObject")
        if include not in _INCLUDE:
            text = "must be 'Metadata', 'Object', 'None', or empty"
            fault = field_errors.invalid("includeObject", include, text)
            raise BadRequest(f"Unable to convert to Table as requested: {fault}")
    elif form.transform == "PartialObjectMetadata" and is_list:
        raise NotAcceptable(A_LIST.format(_go_type(call.resource, "List")))
    elif form.transform == "PartialObjectMetadataList" and not is_list:
        raise NotAcceptable(NO_LIST.format(_go_type(call.resource, "")))


def _go_type(resource: Resource, suffix: str) -> str:
    if resource.custom:
        return f"*unstructured.Unstructured{suffix}"
    return f"*{(resource.group or 'core').partition('.')[0]}.{resource.kind}{suffix}"


def _transformed(call: Call, form: Format, obj: Object, status: int) -> Response:
    check_form(call, form, is_list=False)
    value: Object
    with latencies.spending(latencies.TRANSFORM):
        if form.transform == "Table":
            meta = {"resourceVersion": obj["metadata"].get("resourceVersion", "")}
            value = table(call, form, [obj], meta)
        elif form.transform == "PartialObjectMetadata":
            value = partial(obj, form.transform_version)
        else:
            value = machinery.in_go_order(obj)
    maps = call.resource.definition is not None and not form.transform
    body, content_type = encode(value, form, fractions=call.resource.has_fractions, maps=maps)
    return Response(status, headers_of(call.warnings, content_type), body)


def partial(obj: Object, version: str) -> Object:
    """Return only an object's metadata."""
    return {
        "kind": "PartialObjectMetadata",
        "apiVersion": f"meta.k8s.io/{version}",
        "metadata": machinery.meta_in_go_order(obj.get("metadata", {})),
    }


def table(
    call: Call, form: Format, objects: Sequence[Object], meta: Object, *, with_columns: bool = True
) -> Object:
    """Return objects as a Table: cells as kubectl prints them, and what ``includeObject`` asks for."""
    include = call.param("includeObject") or "Metadata"
    objects = machinery.table_order(call.resource, objects)
    columns, rows = machinery.table_rows(call.resource, objects, call.backend.clock.now())
    cells = []
    for row, obj in zip(rows, objects, strict=True):
        entry = dict(row)
        if include == "Metadata":
            entry["object"] = partial(obj, form.transform_version)
        elif include == "Object":
            entry["object"] = obj
        else:
            entry["object"] = None
        cells.append(entry)
    return {
        "kind": "Table",
        "apiVersion": f"meta.k8s.io/{form.transform_version}",
        "metadata": meta,
        "columnDefinitions": columns if with_columns else None,
        "rows": cells,
    }


def list_meta(page: Page) -> Object:
    """Return the metadata of a list."""
    meta: Object = {"resourceVersion": str(page.revision)}
    if page.continue_token:
        meta["continue"] = page.continue_token
    if page.remaining is not None and page.continue_token:
        meta["remainingItemCount"] = page.remaining
    if page.shard:
        meta["shardInfo"] = {"selector": page.shard}
    return meta


async def respond_page(call: Call, page: Page) -> Response:
    """Answer with a list. One that is long is brought aside into the form that is asked for."""
    form, resource = call_format(call), call.resource
    if form.plain_json and resource.storage == resource.gvk:
        head, tail = _around(list_value(call, form, (), list_meta(page)))
        parts = (head, await _joined(page, aside=resource.custom), tail)
        return Response(200, headers_of(call.warnings, JSON), parts)
    check_form(call, form, is_list=True)
    if page.items and list_parts.divides(form):
        return Response(200, headers_of(call.warnings, form.media_type), await _divided(call, page, form))

    def make() -> bytes:
        value, maps = _listed(call, page, form, list_meta(page)), resource.custom and not form.transform
        return encode(value, form, fractions=resource.has_fractions, maps=maps)[0]

    body = await _aside(page, make)
    return Response(200, headers_of(call.warnings, form.media_type), body)


async def _joined(page: Page, *, aside: bool) -> bytes:
    """Return items as they are kept. Those of custom kinds may be other than stored, and be written now."""

    def join() -> bytes:
        with latencies.spending(latencies.SERIALIZE):
            return b",".join([item.listed for item in page.items])

    if page.joined is not None:
        with latencies.spending(latencies.SERIALIZE):
            return page.joined()
    return await _aside(page, join) if aside else join()


async def _aside(page: Page, make: Callable[[], bytes]) -> bytes:
    return await asyncio.shield(begin_form(sum([item.size for item in page.items]), make))


def _listed(call: Call, page: Page, form: Format, meta: Object) -> Object:
    """Return a page as a list in the asked form."""
    with latencies.spending(latencies.TRANSFORM):
        if _whole(call, form):
            objects = [at_version(item, call.resource) for item in page.items]
        else:
            objects = [item.head for item in page.items]
        return list_value(call, form, objects, meta)


async def _divided(call: Call, page: Page, form: Format) -> tuple[bytes, bytes, bytes]:
    """Return a list whose items are encoded for all who ask for them in this form, where they are shared."""
    resource = call.resource
    maps = resource.custom and not form.transform

    def written(value: Any) -> bytes:
        return _encoded(value, Format(), fractions=resource.has_fractions, maps=maps)[0]

    def make() -> bytes:
        value = _listed(call, page, form, {})
        with latencies.spending(latencies.SERIALIZE):
            return list_parts.items_part(form, value, written)

    key: Hashable = (form, resource.gvk, "")
    stamp: object = (resource, None)
    if form.transform == "Table":  # rows tell ages, in seconds
        key = (form, resource.gvk, call.param("includeObject"))
        stamp = (resource, call.backend.clock.now().replace(microsecond=0))
    items = await (_aside(page, make) if page.shared is None else page.shared(key, stamp, make))
    empty = list_value(call, form, (), list_meta(page))
    with latencies.spending(latencies.SERIALIZE):
        return list_parts.around(form, empty, items, written)


def _around(empty: Object) -> tuple[bytes, bytes]:
    """Return what stands before and after the items of a list that has none."""
    before, word, after = without_markup(orjson.dumps(empty, option=_COMPACT)).partition(b'"items":[')
    return before + word, after


def list_value(call: Call, form: Format, objects: Sequence[Object], meta: Object) -> Object:
    """Return a list of objects in the asked form."""
    resource = call.resource
    if form.transform == "Table":
        return table(call, form, objects, meta)
    if form.transform:
        return {
            "kind": "PartialObjectMetadataList",
            "apiVersion": f"meta.k8s.io/{form.transform_version}",
            "metadata": meta,
            "items": [partial(obj, form.transform_version) for obj in objects],
        }
    if resource.custom:
        # In upstream such lists are maps: keys in order, and "continue" there even where nothing follows.
        return {
            "apiVersion": resource.api_version,
            "items": list(objects),
            "kind": machinery.list_kind(resource),
            "metadata": dict(sorted({"continue": "", **meta}.items())),
        }
    return {
        "kind": machinery.list_kind(resource),
        "apiVersion": resource.api_version,
        "metadata": meta,
        "items": list(objects) if form.media_type == PROTOBUF else list(map(untyped, objects)),
    }


def untyped(obj: Object) -> Object:
    """Return an item of a list of a built-in kind: the list says what they all are."""
    item = dict(obj)
    item.pop("apiVersion", None)
    item.pop("kind", None)
    return item


def success(group: str, resource: str, name: str, uid: str) -> Object:
    """Return the Status of a write that leaves no object behind."""
    details = {"name": name, "group": group, "kind": resource, "uid": uid}
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Success",
        "details": {key: value for key, value in details.items() if value},
    }


def failure(error: StatusError, request: Request, warnings: Sequence[str] = ()) -> Response:
    """Answer with a failure in the form that is asked for; in JSON where that has none."""
    status, given = error.to_status(), request.headers
    pretty = (request.query.get("pretty") or [""])[0] if "pretty" in request.raw_query else ""
    form = failure_format(given.get("accept", ""), pretty, given.get("user-agent", ""))
    body, content_type = encode(status, form or _LAID_OUT)
    headers = headers_of(warnings, content_type)
    if error.details and error.details.get("retryAfterSeconds"):
        headers["retry-after"] = str(error.details["retryAfterSeconds"])
    return Response(error.status_code, headers, body)
