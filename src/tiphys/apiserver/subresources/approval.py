"""certificatesigningrequests/approval: saying yes or no, which only this subresource may."""

from __future__ import annotations

from tiphys.apimachinery.clock import rfc3339
from tiphys.apimachinery.meta import Object
from tiphys.apis.certificates.conditions import keep_conditions, stamp_conditions
from tiphys.apis.certificates.validation import validate_request_approval
from tiphys.apis.strategy import USERS_METADATA
from tiphys.apiserver.endpoints.call import Call
from tiphys.apiserver.subresources.part import handle_part
from tiphys.wire.message import Response


async def handle(call: Call) -> Response:
    """Replace the conditions of a request, and what users write of its metadata."""
    now = rfc3339(call.backend.clock.now())

    def merge(live: Object, wanted: Object) -> Object:
        keep_conditions(wanted, live, "Failed")
        stamp_conditions(wanted, live, now)
        status: Object = live.setdefault("status", {})
        status.pop("conditions", None)
        if conditions := (wanted.get("status") or {}).get("conditions"):
            status["conditions"] = conditions
        for key in USERS_METADATA:
            live["metadata"].pop(key, None)
            if key in wanted["metadata"]:
                live["metadata"][key] = wanted["metadata"][key]
        return live

    return await handle_part(call, merge, validate_request_approval)
