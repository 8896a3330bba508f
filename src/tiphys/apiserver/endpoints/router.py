"""From a request's words to the handler that serves them.

Owns: which verbs a resource or subresource serves, and the 404s and 405s for the rest.
"""

from __future__ import annotations

from tiphys.apimachinery.errors import BadRequest, MethodNotAllowed, NotFound, qualified
from tiphys.apimachinery.resource import Resource
from tiphys.apiserver.admission.connect import admit_connect
from tiphys.apiserver.authn.user import User
from tiphys.apiserver.controlplane import components
from tiphys.apiserver.endpoints.call import Backend, Call, CallHandler
from tiphys.apiserver.endpoints.negotiation import (
    JSON,
    MEDIA_TYPES,
    WATCHED_TYPES,
    check_route,
    has_no_body,
)
from tiphys.apiserver.endpoints.respond import call_format
from tiphys.apiserver.endpoints.reviews import REVIEWS
from tiphys.apiserver.filters.requestinfo import RequestInfo, read_query
from tiphys.apiserver.handlers import create, delete, deletecollection, get, list, patch, update, watch
from tiphys.apiserver.subresources import SUBRESOURCES
from tiphys.wire.message import Request, Response

_HANDLERS: dict[str, CallHandler] = {
    "create": create.handle,
    "get": get.handle,
    "list": list.handle,
    "watch": watch.handle,
    "update": update.handle,
    "patch": patch.handle,
    "delete": delete.handle,
    "deletecollection": deletecollection.handle,
}
_PLAIN_SUBRESOURCE = {"get": get.handle, "update": update.handle, "patch": patch.handle}
_READING = ("GET", "HEAD")
_WRITES = ("create", "update", "patch", "delete")
_ON_OBJECT = ("get", "update", "patch", "delete")
_STREAMS = ("attach", "exec", "portforward", "proxy")
"""What makes nothing of a body, or sends it on itself."""
_READS_ALL = ("list", "watch")
_WITH_BODY = ("POST", "PUT", "PATCH")
_TAKE_ANY = ("exec", "attach", "portforward", "proxy")
"""Subresources that answer with no object, whatever is accepted."""
_LOG_TYPES = ("text/plain", *MEDIA_TYPES)


def _not_allowed() -> MethodNotAllowed:
    return MethodNotAllowed("the server does not allow this method on the requested resource")


def find_handler(resource: Resource, info: RequestInfo) -> CallHandler:
    """Return what serves a verb on a resource.

    Raises:
        NotFound: there is no such path. MethodNotAllowed: it does not serve the verb.
    """
    if resource.custom:
        return _find_custom(resource, info)
    if info.subresource:
        return _find_subresource(resource, info)
    if not resource.group and resource.plural == "componentstatuses":
        return components.handle
    _check_path(resource, info)
    handler = REVIEWS.get((resource.group, resource.plural)) or _HANDLERS.get(info.verb)
    if handler is None or info.verb not in resource.verbs or _misplaced(info):
        raise _not_allowed()
    if resource.namespaced and not info.namespace and info.verb not in _READS_ALL:
        raise _not_allowed()
    return handler


def _misplaced(info: RequestInfo) -> bool:
    """Whether a verb of collections is on one object, or the other way round."""
    return bool(info.name) if info.verb == "create" else not info.name and info.verb in _ON_OBJECT


def _check_path(resource: Resource, info: RequestInfo) -> None:
    """Raise NotFound for a path that upstream has no route for, whatever the verb."""
    if info.name:
        exists = any(verb in resource.verbs for verb in _ON_OBJECT) and (
            bool(info.namespace) or not resource.namespaced
        )
    else:
        exists = bool(info.namespace) or not resource.namespaced or "list" in resource.verbs
    if info.verb == "proxy" or info.rest or (not exists and info.verb not in _READS_ALL):
        raise NotFound.path()


def _find_custom(resource: Resource, info: RequestInfo) -> CallHandler:
    """Custom kinds share one route: what it does not serve, it names."""
    if resource.namespaced and not info.namespace and info.verb not in _READS_ALL:
        raise NotFound.path()
    if info.subresource:
        if resource.subresource(info.subresource) is None:
            raise NotFound.of(resource.group, resource.plural, info.name)
        own = SUBRESOURCES.get(("*", "*", info.subresource))
        handler = _PLAIN_SUBRESOURCE.get(info.verb) and (own or _PLAIN_SUBRESOURCE[info.verb])
    else:
        handler = _HANDLERS.get(info.verb)
    if handler is None:
        raise _unsupported(resource, info.verb)
    if not info.subresource and _misplaced(info):
        raise _not_allowed()
    return handler


def _unsupported(resource: Resource, verb: str) -> MethodNotAllowed:
    text = f'{verb} is not supported on resources of kind "{qualified(resource.plural, resource.group)}"'
    return MethodNotAllowed(text, details={"group": resource.group, "kind": resource.plural})


def _find_subresource(resource: Resource, info: RequestInfo) -> CallHandler:
    own = SUBRESOURCES.get((resource.group, resource.plural, info.subresource)) or SUBRESOURCES.get(
        ("*", "*", info.subresource)
    )
    known = resource.subresource(info.subresource)
    if known is None or (resource.namespaced and not info.namespace):
        raise NotFound.path()
    if info.verb == "watch" or (info.rest and info.subresource != "proxy"):
        raise NotFound.path()
    if not info.name:
        raise BadRequest("name must be provided")
    if info.subresource != "proxy" and info.verb not in known.verbs:
        raise _not_allowed()
    handler = own or (_PLAIN_SUBRESOURCE.get(info.verb) if info.subresource == "status" else None)
    if handler is None:
        raise _not_allowed()
    return handler


def find_resource(backend: Backend, info: RequestInfo) -> Resource:
    """Return the resource that a request is about. Raises NotFound."""
    resource: Resource | None = backend.table.served_at(info.group, info.version, info.resource)
    is_namespace = info.resource == "namespaces" and not info.group
    if info.nowhere or resource is None:
        raise NotFound.path()
    if not resource.namespaced and info.namespace and not is_namespace:
        raise NotFound.path()
    return resource


def make_call(backend: Backend, request: Request, info: RequestInfo, user: User, resource: Resource) -> Call:
    """Return a request as handlers take it."""
    if resource.definition is not None:
        backend = backend.custom or backend
    query = read_query(request.raw_query) if request.raw_query else {}
    return Call(backend, request, info, user, resource, query, request.scope.get("warnings") or [])


def _tell_outdated(call: Call, text: str) -> None:
    """Tell the client, who counts and who audits that a version is on its way out."""
    call.warn(text)
    release = call.backend.metrics.deprecated(call.info, text)
    notes: dict[str, str] | None = call.request.scope.get("audit_annotations")
    if notes is not None:
        notes["k8s.io/deprecated"] = "true"
        if release:
            notes["k8s.io/removed-release"] = release


def _check_types(call: Call) -> None:
    """Refuse media types that no route of built-in kinds has. Raises UnsupportedMediaType, NotAcceptable."""
    method, accept = call.request.method, call.request.headers.get("accept", "")
    if method == "PATCH":
        patch.check_route(call)
    if not accept or accept == JSON:
        return
    info = call.info
    produced: tuple[str, ...] = MEDIA_TYPES if info.name or method != "GET" else WATCHED_TYPES
    if info.subresource == "log":
        produced = _LOG_TYPES
    bodiless = method in _WITH_BODY and has_no_body(call.request)
    check_route(accept, produced, bodiless=bodiless)
    if info.subresource == "log":
        call_format(call, tables=False)  # a log is text, and yet nobody may ask for text alone


async def serve(call: Call, handler: CallHandler | None = None) -> Response:
    """Answer a call; ``handler`` where it is known by what."""
    info, resource = call.info, call.resource
    if resource.deprecation:
        _tell_outdated(call, resource.deprecation)
    try:
        if handler is None:
            handler = find_handler(resource, info)
        method = call.request.method
        if method == "HEAD" and not resource.custom and info.subresource != "proxy":
            raise _not_allowed()  # built-in kinds have no such routes; custom ones are served by verb
        if info.verb == "watch" and method not in _READING:
            raise _not_allowed()
        if not resource.custom and info.subresource not in _TAKE_ANY:
            _check_types(call)
        connects = bool(info.subresource) and await admit_connect(call)
        if info.verb in _WRITES and not connects:
            call_format(call)  # what cannot be answered is not done either
        if call.request.receive is not None and method not in _READING and info.subresource not in _STREAMS:
            await call.request.arrive()
        return await handler(call)
    except Exception:
        call.request.scope["warnings"] = call.warnings
        raise
