"""``/debug/...``: how much a kubelet tells in its log, and profiles, which only programs in Go have."""

from __future__ import annotations

import logging
from typing import Final

from tiphys.apimachinery.atoi import atoi
from tiphys.kubelet.server.replies import http_error
from tiphys.wire.message import Request, Response

_DEBUG_FROM: Final = 4
_MOST: Final = (1 << 31) - 1
_FLAG: Final = "klog.logging.verbosity"


async def debug(request: Request, parts: list[str]) -> Response:
    """Set the verbosity, or say that there is no such profile."""
    if parts != ["flags", "v"]:
        return http_error(404, "Unknown profile")
    if request.method != "PUT":
        return _line(406, "unsupported http method")
    text = request.body.decode(errors="replace")
    level = atoi(text)
    if level is None or not -_MOST - 1 <= level <= _MOST:
        why = "invalid syntax" if level is None else "value out of range"
        return _line(400, f'failed set {_FLAG} {text}: strconv.ParseInt: parsing "{text}": {why}')
    logging.getLogger().setLevel(logging.DEBUG if level >= _DEBUG_FROM else logging.INFO)
    return _line(200, f"successfully set {_FLAG} to {text}")


def _line(status: int, text: str) -> Response:
    return Response(status, {"Content-Type": "text/plain"}, f"{text}\n".encode())
