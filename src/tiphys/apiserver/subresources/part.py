"""GET, PUT and PATCH of a subresource that shows its whole object but writes only a part of it."""

from __future__ import annotations

from dataclasses import replace

from tiphys.apimachinery.errors import MethodNotAllowed
from tiphys.apiserver.endpoints import bodies, respond
from tiphys.apiserver.endpoints.call import Call
from tiphys.apiserver.endpoints.params import write_options
from tiphys.apiserver.handlers import get, patch
from tiphys.apiserver.handlers.update import MAX_RETRIES, Change, Check, Merge, update_object
from tiphys.apiserver.registry import meta_rules
from tiphys.wire.message import Response


async def handle_part(call: Call, merge: Merge, check: Check | None) -> Response:
    """Serve one part. ``check`` replaces the validation of whole updates."""
    if call.info.verb == "get":
        return await get.handle(call)
    if call.info.verb == "update":
        change = await _replacing(call)
    elif call.info.verb == "patch":
        change = await _patching(call)
    else:
        raise MethodNotAllowed("the server does not allow this method on the requested resource")
    part = replace(change, subresource=call.info.subresource, field_validation=check, merge=merge)
    written = await update_object(call, call.name, part)
    if isinstance(written, dict):
        return respond.respond_object(call, written)
    return await respond.respond_aside(call, written)


async def _replacing(call: Call) -> Change:
    """Return how a PUT changes the object."""
    options = write_options(call, "UpdateOptions")
    body = await bodies.decode_aside(call, call.resource.gvk, options.field_validation)
    meta_rules.check_namespace(body, call.resource, call.namespace)
    meta_rules.check_name(body, call.name)
    retries = 1 if body["metadata"].get("resourceVersion") else MAX_RETRIES
    uid = body["metadata"].get("uid") or ""
    return Change(lambda _live: body, options, retries=retries, uid=uid)


async def _patching(call: Call) -> Change:
    """Return how a PATCH changes it. An apply says itself who manages what."""
    kind, options = patch.patch_options(call)
    if kind == patch.APPLY_PATCH:
        applied = await patch.decode_applied_aside(call, call.resource.gvk, options)
        return Change(
            lambda live: patch.merge_applied(call, live, applied, options), options, manages_fields=False
        )
    document = patch.parse_patch(call, kind, options)
    return Change(lambda live: patch.apply_patch(call, kind, document, live, options), options)
