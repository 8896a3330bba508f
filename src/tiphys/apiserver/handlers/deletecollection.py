"""DELETE of a collection: everything that the selectors take."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from tiphys.apimachinery import field_errors
from tiphys.apimachinery.errors import Invalid, StatusError
from tiphys.apiserver.endpoints import bodies, respond
from tiphys.apiserver.endpoints.call import Call
from tiphys.apiserver.endpoints.params import META, UNSAFE, DeleteOptions, delete_options, list_options
from tiphys.apiserver.evaluating import begin_form
from tiphys.apiserver.handlers.delete import delete_quietly, warn_of_orphans
from tiphys.apiserver.registry.objects import Cached
from tiphys.apiserver.registry.selection import select_aside
from tiphys.wire.message import Response


async def handle(call: Call) -> Response:
    """Delete what is selected and answer with the list of it, as it was."""
    form = respond.call_format(call)
    respond.check_form(call, form, is_list=True)
    options = delete_options(call, await bodies.decode_options_aside(call))
    if options.ignore_read_error:
        why = "is not allowed with DELETECOLLECTION, try again after removing the option"
        raise Invalid.of(META, "DeleteOptions", "", [field_errors.invalid(UNSAFE, True, why)])
    warn_of_orphans(call, options)
    wanted = list_options(call)
    resource = call.resource
    selection = await select_aside(resource, call.namespace, "", wanted.label_selector, wanted.field_selector)
    page = await call.backend.store.list(
        resource,
        selection,
        limit=wanted.limit,
        continue_token=wanted.continue_token,
        resource_version=wanted.resource_version,
        resource_version_match=wanted.resource_version_match,
    )
    await _delete(call, page.items, options)

    def make() -> tuple[bytes, str]:
        objects = [respond.at_version(item, resource) for item in page.items]
        return respond.encode(respond.list_value(call, form, objects, respond.list_meta(page)), form)

    made = begin_form(sum([item.size for item in page.items]), make)
    body, content_type = await asyncio.shield(made)
    return Response(200, respond.headers_of(call.warnings, content_type), body)


async def _delete(call: Call, items: Sequence[Cached], options: DeleteOptions) -> None:
    """Delete objects, as many at a time as there are workers; one that meets a fault deletes no more.

    Raises:
        StatusError: the first of these faults, once all workers are done.
    """
    left, faults = iter(items), list[StatusError]()

    async def work() -> None:
        try:
            for item in left:
                await delete_quietly(call, item.name, options, item.namespace)
        except StatusError as fault:
            faults.append(fault)

    workers = min(call.backend.options.delete_collection_workers, len(items))
    if workers <= 1:
        await work()
    else:
        async with asyncio.TaskGroup() as group:
            for _ in range(workers):
                group.create_task(work())
    if faults:
        raise faults[0]
