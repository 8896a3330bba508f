"""namespaces/finalize: a finalizer of a namespace lets go; the last one ends it."""

from __future__ import annotations

from tiphys.apimachinery.meta import Object
from tiphys.apis.core.node_validation import validate_namespace_finalize
from tiphys.apiserver.endpoints.call import Call
from tiphys.apiserver.subresources.part import handle_part
from tiphys.wire.message import Response


async def handle(call: Call) -> Response:
    """Replace a namespace but for its status."""
    return await handle_part(call, _merge, validate_namespace_finalize)


def _merge(live: Object, wanted: Object) -> Object:
    wanted["status"] = live.get("status") or {}
    return wanted
