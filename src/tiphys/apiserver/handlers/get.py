"""GET of one object."""

from __future__ import annotations

from tiphys.apiserver import respond
from tiphys.apiserver.cache import versions
from tiphys.apiserver.call import Call
from tiphys.wire.message import Response


async def handle(call: Call) -> Response:
    """Answer with the object as it is stored now; a ``resourceVersion`` says how new that is at least."""
    info = call.info
    resource = call.resource
    cached = await call.backend.store.get(resource, info.namespace if resource.namespaced else "", info.name)
    if call.query and (wanted := versions.parse_version(call.param("resourceVersion"))):
        now = call.backend.store.revision
        if wanted > now:
            raise versions.too_large(wanted, now)
    return respond.respond_cached(call, cached)
