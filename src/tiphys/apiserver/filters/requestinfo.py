"""What a request is about, read off its method, path and query alone.

Pure. Owns: the grammar of API paths. Refuses: knowing which resources exist. Called by the filter chain
before anything else, since authorization decides on these words.

Source: the "API concepts" page, resource URIs; ``/watch/`` prefixes are the deprecated form.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from urllib.parse import parse_qs

from tiphys.apimachinery.atoi import atoi
from tiphys.apimachinery.dataclass import dataclass
from tiphys.apimachinery.errors import BadRequest
from tiphys.apimachinery.fields import parse_field_selector
from tiphys.apimachinery.labels import parse_selector
from tiphys.apimachinery.names import is_path_segment_name

_VERBS = {
    "POST": "create",
    "GET": "get",
    "HEAD": "get",
    "PUT": "update",
    "PATCH": "patch",
    "DELETE": "delete",
}
_NAMESPACE_SUBRESOURCES = ("status", "finalize")
_HOWS = ("/watch", "/proxy")
_FALSE = ("false", "0")
_NUMBERS = ("limit", "timeoutSeconds")
_SHORT = 512
"""Longer queries (the tokens in them) and paths come once, and would fill the memory."""


@dataclass(frozen=True, slots=True)
class RequestInfo:
    """The words that authorization and dispatch decide on."""

    path: str
    verb: str
    is_resource: bool = False
    group: str = ""
    version: str = ""
    namespace: str = ""
    resource: str = ""
    subresource: str = ""
    name: str = ""
    rest: tuple[str, ...] = ()
    """Path segments behind the subresource: what ``proxy`` forwards. Elsewhere such a path leads nowhere."""
    field_selector: str = ""
    label_selector: str = ""
    """As given, for requests that read or delete many."""
    nowhere: bool = False
    """The words are those of another path, which has a route while this has none: of a namespace in another,
    whose rights would not be the namespace's own, or of a core kind below ``/apis//``."""


def parse(method: str, path: str, raw_query: str = "") -> RequestInfo:
    """Read a request's words. Never raises: what is no resource path is a non-resource request."""
    long = len(path) > _SHORT
    info = _read_path(method, path) if long else _parse_path(method, path)
    if not raw_query or not info.is_resource or info.verb not in ("list", "watch", "deletecollection"):
        return info
    if long or len(raw_query) > _SHORT:
        return _with_query(info, read_query(raw_query))
    return _short_query(method, path, raw_query)


def read_query(raw_query: str) -> Mapping[str, list[str]]:
    """Return a query's values by name: read only, as clients that send the same query share them."""
    if len(raw_query) > _SHORT:
        return parse_qs(raw_query, keep_blank_values=True)
    return _read_short_query(raw_query)


@lru_cache(maxsize=1024)
def _read_short_query(raw_query: str) -> Mapping[str, list[str]]:
    return parse_qs(raw_query, keep_blank_values=True)


@lru_cache(maxsize=1024)
def _short_query(method: str, path: str, raw_query: str) -> RequestInfo:
    return _with_query(_parse_path(method, path), read_query(raw_query))


def _with_query(info: RequestInfo, query: Mapping[str, list[str]]) -> RequestInfo:
    watch = query.get("watch")
    fields, labels = query.get("fieldSelector"), query.get("labelSelector")
    if info.verb == "list":  # paths with /watch/ in them have no name but their own
        lasts = watch and watch[0].lower() not in _FALSE
        name = _selected_name(fields[0]) if fields and _is_readable(query) else ""
        info = replace(info, verb="watch" if lasts else "list", name=name)
    if fields or labels:
        info = replace(
            info,
            field_selector=fields[0] if fields else "",
            label_selector=labels[0] if labels else "",
        )
    return info


def _is_readable(query: Mapping[str, list[str]]) -> bool:
    """Tell whether options are what they should be: with a fault elsewhere no name is taken from them."""
    if any(atoi(query[name][0]) is None for name in _NUMBERS if name in query):
        return False
    try:
        parse_selector(query.get("labelSelector", [""])[0])
    except BadRequest:
        return False
    return True


def _selected_name(selector: str) -> str:
    """Return the one object that a field selector leaves, empty for several.

    Handlers go by the first selector of a query, so rights must go by no other.
    """
    try:
        found = parse_field_selector(selector)
    except BadRequest:
        return ""
    name = next((one.value for one in found if one.path == "metadata.name" and not one.negated), "")
    return "" if is_path_segment_name(name) else name


def is_cut_short(info: RequestInfo) -> bool:
    """Tell whether a path says how, but not of what: ``/api/v1/watch``."""
    if not info.path.rstrip("/").endswith(_HOWS):
        return False
    first, *rest = info.path.strip("/").split("/")
    return len(rest) == {"api": 2, "apis": 3}.get(first)


@lru_cache(maxsize=4096)
def _parse_path(method: str, path: str) -> RequestInfo:
    return _read_path(method, path)


def _read_path(method: str, path: str) -> RequestInfo:
    verb = _VERBS.get(method, "")
    parts = path.strip("/").split("/")  # an empty one between two slashes is a part like others
    nonresource = RequestInfo(path=path, verb=method.lower() if verb != "get" else "get")
    if path.startswith("//"):
        return nonresource  # no route begins so
    if len(parts) >= 3 and parts[0] == "api":
        group, version, rest = "", parts[1], parts[2:]
    elif len(parts) >= 4 and parts[0] == "apis":
        group, version, rest = parts[1], parts[2], parts[3:]
    else:
        return nonresource
    if rest[0] == "watch":
        if len(rest) < 2:
            return nonresource
        verb, rest = "watch", rest[1:]
    elif rest[0] == "proxy":
        if len(rest) < 2:
            return nonresource
        verb, rest = "proxy", rest[1:]
    namespace, nowhere = "", parts[0] == "apis" and not group
    if rest[0] == "namespaces" and len(rest) > 1:
        namespace = rest[1]
        if len(rest) > 2 and rest[2] not in _NAMESPACE_SUBRESOURCES:
            rest = rest[2:]
            nowhere = nowhere or (rest[0] == "namespaces" and not group)
    resource = rest[0]
    name = rest[1] if len(rest) > 1 else ""
    subresource = rest[2] if len(rest) > 2 and verb != "proxy" else ""
    if not name and verb == "get":
        verb = "list"
    if not name and verb == "delete":
        verb = "deletecollection"
    return RequestInfo(
        path=path, verb=verb, is_resource=True, group=group, version=version, namespace=namespace,
        resource=resource, subresource=subresource, name=name, rest=tuple(rest[3:]), nowhere=nowhere,
    )  # fmt: skip
