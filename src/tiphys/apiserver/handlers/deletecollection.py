"""DELETE of a collection: everything that the selectors take."""

from __future__ import annotations

from tiphys.apimachinery import field_errors
from tiphys.apimachinery.errors import Invalid
from tiphys.apiserver.endpoints import bodies, respond
from tiphys.apiserver.endpoints.call import Call
from tiphys.apiserver.endpoints.params import META, UNSAFE, delete_options, list_options
from tiphys.apiserver.handlers.delete import delete_quietly, warn_of_orphans
from tiphys.apiserver.registry.selection import select
from tiphys.wire.message import Response


async def handle(call: Call) -> Response:
    """Delete what is selected and answer with the list of it, as it was."""
    form = respond.call_format(call)
    respond.check_form(call, form, is_list=True)
    options = delete_options(call, bodies.decode_options(call))
    if options.ignore_read_error:
        why = "is not allowed with DELETECOLLECTION, try again after removing the option"
        raise Invalid.of(META, "DeleteOptions", "", [field_errors.invalid(UNSAFE, True, why)])
    warn_of_orphans(call, options)
    wanted = list_options(call)
    resource = call.resource
    selection = select(resource, call.namespace, "", wanted.label_selector, wanted.field_selector)
    page = await call.backend.store.list(
        resource,
        selection,
        limit=wanted.limit,
        continue_token=wanted.continue_token,
        resource_version=wanted.resource_version,
        resource_version_match=wanted.resource_version_match,
    )
    for item in page.items:
        await delete_quietly(call, item.name, options, item.namespace)
    objects = [respond.at_version(item, resource) for item in page.items]
    value = respond.list_value(call, form, objects, respond.list_meta(page))
    body, content_type = respond.encode(value, form)
    return Response(200, respond.headers_of(call.warnings, content_type), body)
