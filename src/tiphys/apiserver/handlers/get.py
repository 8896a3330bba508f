"""GET of one object."""

from __future__ import annotations

from tiphys.apimachinery.errors import NotFound
from tiphys.apiserver.cache import versions
from tiphys.apiserver.endpoints import respond
from tiphys.apiserver.endpoints.call import Call
from tiphys.wire.message import Response


async def handle(call: Call) -> Response:
    """Answer with the object as it is stored now; a ``resourceVersion`` says how new that is at least."""
    info = call.info
    resource, store = call.resource, call.backend.store
    wanted = versions.parse_version(call.param("resourceVersion")) if call.query else 0
    try:
        cached = await store.get(resource, info.namespace if resource.namespaced else "", info.name)
    except NotFound:
        if wanted > (newest := store.revision_of(resource)):  # it may be there by then
            raise versions.too_large(wanted, newest) from None
        raise
    if wanted and wanted > (newest := store.revision_of(resource)):
        raise versions.too_large(wanted, newest)
    return await respond.respond_aside(call, cached)
