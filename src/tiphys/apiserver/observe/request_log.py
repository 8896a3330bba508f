"""A line in the log for every request, as upstream's from ``--v=3`` on. There is none of this below that.

Owns: what the line says. Called around the chain, which takes no short cuts then. Source: the pages on system
logs and on flow control ("Debugging").
"""

from __future__ import annotations

import logging
from typing import Any, Final

from tiphys.apimachinery.clock import Clock
from tiphys.apimachinery.duration import go_duration
from tiphys.apimachinery.verbosity import REQUESTS
from tiphys.apiserver.endpoints.plain_faults import uri_of
from tiphys.apiserver.filters.requestinfo import RequestInfo, parse
from tiphys.apiserver.flowcontrol.controller import FlowControl
from tiphys.apiserver.observe.metrics import labels_of
from tiphys.wire.lasting import follow, lasts
from tiphys.wire.message import Handler, Request, Response

log = logging.getLogger(__name__)
_INTERNAL_ERROR: Final = 500
_DIGITS: Final = 9


class RequestLog:
    """Around a handler; ``flow`` where requests are queued fairly."""

    def __init__(self, handler: Handler, flow: FlowControl | None, clock: Clock) -> None:
        self._handler = handler
        self.asks_for_bodies = getattr(handler, "asks_for_bodies", False)
        self._flow = flow
        self._clock = clock

    async def __call__(self, request: Request) -> Response:
        began = self._clock.monotonic()
        try:
            response = await self._handler(request)
        except BaseException:
            self._tell(request, {}, began, {"resp": 0})  # nobody is there to be answered
            raise
        told: dict[str, Any] = {"resp": response.status}
        if response.upgrade is not None:
            told = {"hijacked": True}
        elif response.status >= _INTERNAL_ERROR and isinstance(response.body, bytes):
            told["addedInfo"] = f"\nlogging error output: {response.body.decode(errors='replace')!r}\n"
        headers = response.headers
        if lasts(response):
            follow(response, lambda: self._tell(request, headers, began, told))
        else:
            self._tell(request, headers, began, told)
        return response

    def _tell(self, request: Request, headers: dict[str, str], began: float, told: dict[str, Any]) -> None:
        info = parse(request.method, request.path, request.raw_query)
        media_type = request.headers.get("content-type", "") if request.method == "PATCH" else ""
        fields: dict[str, Any] = {
            "verb": labels_of(info, media_type=media_type)[0],
            "URI": uri_of(request),
            "latency": go_duration(round(self._clock.monotonic() - began, _DIGITS)),
            "userAgent": request.headers.get("user-agent", ""),
            "audit-ID": headers.get("audit-id", ""),
            "srcIP": request.peer_address,
            **self._flow_of(request, info, headers),
            **told,
        }
        text = "HTTP " + " ".join(f"{name}=%s" for name in fields)
        log.info(text, *fields.values(), extra={"verbosity": REQUESTS})

    def _flow_of(self, request: Request, info: RequestInfo, headers: dict[str, str]) -> dict[str, Any]:
        found = self._flow.explain(headers, info, request.raw_query) if self._flow is not None else None
        if found is None:
            return {}
        schema, level, width = found
        return {
            "apf_pl": level, "apf_fs": schema, "apf_iseats": width.seats, "apf_fseats": width.final,
            "apf_additionalLatency": go_duration(width.extra_s),
        }  # fmt: skip
