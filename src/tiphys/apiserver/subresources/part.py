"""GET, PUT and PATCH of a subresource that shows its whole object but writes only a part of it."""

from __future__ import annotations

from tiphys.apimachinery.errors import MethodNotAllowed
from tiphys.apimachinery.meta import Object
from tiphys.apiserver import bodies, meta_rules, respond
from tiphys.apiserver.call import Call
from tiphys.apiserver.handlers import get, patch
from tiphys.apiserver.handlers.update import MAX_RETRIES, Change, Check, Merge, update_object
from tiphys.apiserver.params import write_options
from tiphys.wire.message import Response


async def handle_part(call: Call, merge: Merge, check: Check | None) -> Response:
    """Serve one part. ``check`` replaces the validation of whole updates."""
    verb, resource = call.info.verb, call.resource
    if verb == "get":
        return await get.handle(call)
    if verb == "update":
        options = write_options(call, "UpdateOptions")
        body = bodies.decode(call, resource.gvk, options.field_validation)
        meta_rules.check_namespace(body, resource, call.namespace)
        meta_rules.check_name(body, call.name)

        def produce(live: Object) -> Object:
            return body

        retries = 1 if body["metadata"].get("resourceVersion") else MAX_RETRIES
        uid = body["metadata"].get("uid") or ""
    elif verb == "patch":
        options, kind = write_options(call, "PatchOptions"), patch.patch_type(call)
        document = patch.parse_patch(call, kind, options)

        def produce(live: Object) -> Object:
            return patch.apply_patch(call, kind, document, live, options)

        retries, uid = MAX_RETRIES, ""
    else:
        raise MethodNotAllowed("the server does not allow this method on the requested resource")
    change = Change(
        produce,
        options,
        call.info.subresource,
        retries,
        field_validation=check,
        merge=merge,
        uid=uid,
    )
    written = await update_object(call, call.name, change)
    if isinstance(written, dict):
        return respond.respond_object(call, written)
    return respond.respond_cached(call, written)
