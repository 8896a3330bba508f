"""From a request's words to the handler that serves them.

Owns: which verbs a resource or subresource serves, and the 404s and 405s for the rest.
"""

from __future__ import annotations

from dataclasses import replace

from tiphys.apimachinery.errors import MethodNotAllowed, NotFound
from tiphys.apimachinery.resource import Resource
from tiphys.apiserver import components
from tiphys.apiserver.admission.connect import admit_connect
from tiphys.apiserver.authn.user import User
from tiphys.apiserver.call import Backend, Call, CallHandler
from tiphys.apiserver.handlers import create, delete, deletecollection, get, list, patch, update, watch
from tiphys.apiserver.requestinfo import RequestInfo, read_query
from tiphys.apiserver.respond import call_format
from tiphys.apiserver.reviews import REVIEWS
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
_ON_COLLECTION = ("create", "list", "watch", "deletecollection")


def _not_allowed() -> MethodNotAllowed:
    return MethodNotAllowed("the server does not allow this method on the requested resource")


def find_handler(resource: Resource, info: RequestInfo) -> CallHandler:
    """Return what serves a verb on a resource.

    Raises:
        NotFound: no such subresource. MethodNotAllowed: it does not serve the verb.
    """
    if info.subresource:
        return _find_subresource(resource, info)
    if not resource.group and resource.plural == "componentstatuses":
        return components.handle
    review = REVIEWS.get((resource.group, resource.plural))
    if review is not None:
        if info.verb != "create":
            raise _not_allowed()
        return review
    handler = _HANDLERS.get(info.verb)
    if handler is None or info.verb not in resource.verbs:
        raise _not_allowed()
    if info.verb == "create" and info.name:
        raise _not_allowed()
    if resource.namespaced and not info.namespace and info.verb not in ("list", "watch"):
        raise NotFound.path() if info.verb == "get" or resource.custom else _not_allowed()
    if info.verb in ("get", "update", "patch", "delete") and not info.name:
        raise _not_allowed()
    return handler


def _find_subresource(resource: Resource, info: RequestInfo) -> CallHandler:
    own = SUBRESOURCES.get((resource.group, resource.plural, info.subresource)) or SUBRESOURCES.get(
        ("*", "*", info.subresource)
    )
    known = resource.subresource(info.subresource)
    if known is None or (resource.namespaced and not info.namespace):
        raise NotFound.path()
    if own is not None:
        return own
    handler = _PLAIN_SUBRESOURCE.get(info.verb)
    if info.subresource != "status" or handler is None:
        raise _not_allowed()
    return handler


def find_resource(backend: Backend, info: RequestInfo) -> Resource:
    """Return the resource that a request is about. Raises NotFound."""
    resource: Resource | None = backend.table.served_at(info.group, info.version, info.resource)
    if resource is None or (not resource.namespaced and info.namespace and info.resource != "namespaces"):
        raise NotFound.path()
    return resource


def make_call(backend: Backend, request: Request, info: RequestInfo, user: User, resource: Resource) -> Call:
    """Return a request as handlers take it. Raises what a custom kind on its way out refuses with."""
    if resource.definition is not None:
        resource.definition.check(info.verb)
        backend = backend.custom or backend
    query = read_query(request.raw_query) if request.raw_query else {}
    if info.resource == "namespaces" and info.namespace and info.name:
        info = replace(info, namespace=info.name)
    return Call(backend, request, info, user, resource, query, request.scope.get("warnings") or [])


async def serve(call: Call, handler: CallHandler | None = None) -> Response:
    """Answer a call; ``handler`` where it is known by what."""
    info, resource = call.info, call.resource
    if resource.deprecation:
        call.warn(resource.deprecation)
        call.backend.metrics.deprecated(info, resource.deprecation)
    try:
        if handler is None:
            handler = find_handler(resource, info)
        if info.verb == "watch" and call.request.method not in _READING:
            raise _not_allowed()
        if info.subresource:
            await admit_connect(call)
        elif info.verb in _WRITES:
            call_format(call)  # what cannot be answered is not done either
        return await handler(call)
    except Exception:
        call.request.scope["warnings"] = call.warnings
        raise
