"""GET of a collection."""

from __future__ import annotations

from dataclasses import replace

from tiphys.apiserver.endpoints import respond
from tiphys.apiserver.endpoints.call import Call
from tiphys.apiserver.endpoints.params import list_options
from tiphys.apiserver.registry.selection import select_aside
from tiphys.apiserver.registry.shards import narrowed
from tiphys.wire.message import Response


async def handle(call: Call) -> Response:
    """Answer with a consistent page of the collection."""
    options = list_options(call)
    selection = await select_aside(
        call.resource, call.namespace, "", options.label_selector, options.field_selector
    )
    if options.shard:
        selection = narrowed(selection, options.shard)
    page = await call.backend.store.list(
        call.resource,
        selection,
        limit=options.limit,
        continue_token=options.continue_token,
        resource_version=options.resource_version,
        resource_version_match=options.resource_version_match,
    )
    if page.remaining is not None and (options.label_selector or options.field_selector):
        page = replace(page, remaining=None)  # with selectors it is never told, also where it is known
    return await respond.respond_page(call, replace(page, shard=options.shard) if options.shard else page)
