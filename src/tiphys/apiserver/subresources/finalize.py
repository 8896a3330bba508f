"""namespaces/finalize: a finalizer of a namespace lets go; the last one ends it."""

from __future__ import annotations

from tiphys.apimachinery.meta import Object
from tiphys.apis.core.node_validation import validate_namespace_finalize
from tiphys.apiserver.call import Call
from tiphys.apiserver.subresources.part import handle_part
from tiphys.wire.message import Response


async def handle(call: Call) -> Response:
    """Replace ``spec.finalizers``."""
    return await handle_part(call, _merge, validate_namespace_finalize)


def _merge(live: Object, wanted: Object) -> Object:
    finalizers = (wanted.get("spec") or {}).get("finalizers")
    live["spec"] = {"finalizers": finalizers} if finalizers else {}
    return live
