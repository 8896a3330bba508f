"""GET, PUT and PATCH of a subresource that shows its whole object but writes only a part of it."""

from __future__ import annotations

from collections.abc import Callable

from tiphys.apimachinery.errors import FieldError, MethodNotAllowed
from tiphys.apimachinery.meta import Object, copy_object
from tiphys.apiserver import bodies, meta_rules, respond
from tiphys.apiserver.call import Call
from tiphys.apiserver.handlers import get, patch
from tiphys.apiserver.handlers.update import MAX_RETRIES, Change, update_object
from tiphys.apiserver.params import write_options
from tiphys.wire.message import Response

Merge = Callable[[Object, Object], Object]
"""(live, wanted) -> live with the part that this subresource may write taken from wanted. Both are copies."""
Check = Callable[[Object, Object], list[FieldError]]


async def handle_part(call: Call, merge: Merge, check: Check | None) -> Response:
    """Serve one part. ``check`` replaces the validation of whole updates."""
    verb, resource = call.info.verb, call.resource
    if verb == "get":
        return await get.handle(call)
    if verb == "update":
        options = write_options(call, "UpdateOptions")
        body = bodies.decode(call, resource.gvk, options.field_validation)
        meta_rules.check_name(body, call.name)
        meta_rules.check_namespace(body, resource, call.namespace)

        def produce(live: Object) -> Object:
            return _carry(body, merge(copy_object(live), copy_object(body)))

        retries = 1 if body["metadata"].get("resourceVersion") else MAX_RETRIES
    elif verb == "patch":
        options, kind = write_options(call, "PatchOptions"), patch.patch_type(call)
        document, _ = bodies.parse_object(call.request.body, "application/json")

        def produce(live: Object) -> Object:
            wanted = patch.apply_patch(call, kind, document, live, options)
            return _carry(wanted, merge(copy_object(live), copy_object(wanted)))

        retries = MAX_RETRIES
    else:
        raise MethodNotAllowed("the server does not allow this method on the requested resource")
    change = Change(produce, options, call.info.subresource, retries, field_validation=check)
    written = await update_object(call, call.name, change)
    if isinstance(written, dict):
        return respond.respond_object(call, written)
    return respond.respond_cached(call, written)


def _carry(wanted: Object, merged: Object) -> Object:
    """Take over the version and uid that the client named, which are preconditions."""
    for key in ("resourceVersion", "uid"):
        if wanted["metadata"].get(key):
            merged["metadata"][key] = wanted["metadata"][key]
        else:
            merged["metadata"].pop(key, None)
    return merged
