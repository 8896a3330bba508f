"""Which paths a kubelet has, with which methods, and what is said of others. Pure.

Two layers, as upstream's: a path belongs to nobody, to one handler, or to a service. Only then is it asked
who calls; then a service looks for a route of that form, that method, and a type that the caller accepts.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from tiphys.apimachinery.dataclass import dataclass
from tiphys.kubelet.server.replies import fault, http_error, not_found
from tiphys.wire.accept import reaches
from tiphys.wire.message import Request, Response

_ANY: Final = "*/*"
_JSON: Final = "application/json"
_MOVED: Final = 307


@dataclass(frozen=True, slots=True)
class _Service:
    """What lies below one name: how many parts a path may have there, and the methods."""

    parts: tuple[int, ...]
    methods: tuple[str, ...]
    folder: bool = False
    """Only with the slash: without it callers are sent there."""
    json: bool = False
    """Answers in JSON, and so only who takes that."""
    names: tuple[str, ...] = ()
    """What the parts may be; anything where this is empty."""
    deeper: bool = False
    """Any more parts may follow."""


_READ: Final = ("GET",)
_WRITE: Final = ("POST",)
_BOTH: Final = ("GET", "POST")
_OPEN: Final[Mapping[str, _Service]] = {
    "pods": _Service((0,), _READ, json=True),
    "stats": _Service((1,), _BOTH, folder=True, json=True, names=("summary",)),
}
_DEBUGGING: Final[Mapping[str, _Service]] = {
    "run": _Service((3, 4), _WRITE),
    "exec": _Service((3, 4), _BOTH),
    "attach": _Service((3, 4), _BOTH),
    "portForward": _Service((2, 3), _BOTH),
    "containerLogs": _Service((3,), _READ),
    "runningpods": _Service((0,), _READ, folder=True, json=True),
}
_CHECKPOINT: Final = _Service((3,), _WRITE, folder=True, json=True)
_LOGS: Final = _Service((0,), _READ, folder=True, deeper=True)
_HANDLERS: Final = frozenset(
    {"/healthz", "/healthz/ping", "/healthz/log", "/healthz/syncloop"}
    | {"/metrics", "/metrics/cadvisor", "/metrics/resource", "/metrics/probes", "/metrics/slis"}
)
_DEBUGGING_HANDLERS: Final = frozenset({"/configz", "/flagz", "/statusz", "/debug/flags/v"})
_PPROF: Final = "/debug/pprof/"
_OFF: Final = (*(f"/{name}/" for name in _DEBUGGING), _PPROF, "/logs/")


@dataclass(frozen=True, slots=True)
class Handlers:
    """Which of a kubelet's handlers are on: ``KubeletConfiguration`` has a switch for each."""

    debugging: bool = True
    """Off: neither those below, nor what needs a caller's right."""
    system_logs: bool = True
    system_log_query: bool = False
    profiling: bool = True
    debug_flags: bool = True
    checkpoint: bool = True


@dataclass(frozen=True, slots=True)
class Route:
    """Where a request leads: the first part of its path, and the others; or what is said instead.

    ``answer`` is for whoever may ask; ``early`` is said before it is known who asks.
    """

    name: str = ""
    parts: tuple[str, ...] = ()
    answer: Response | None = None
    early: Response | None = None


def find(request: Request, on: Handlers) -> Route:
    """Return where a request leads."""
    path = request.path
    if path in _HANDLERS or (on.debugging and path in _DEBUGGING_HANDLERS):
        return _handler(path, on)
    if not on.debugging and (off := next((one for one in _OFF if f"{path}/".startswith(one)), "")):
        text = "Debug endpoints are disabled."
        return _moved(request) if f"{path}/" == off else Route(answer=http_error(405, text))
    if on.debugging and f"{path}/".startswith(_PPROF):
        if f"{path}/" == _PPROF:
            return _moved(request)
        return _pprof(path, request.method, on)
    head, *parts = [part for part in path.split("/") if part] or [""]
    service = _service(head, on)
    if service is None:
        return Route(early=not_found())
    if service.folder and not parts and not path.endswith("/"):
        return _moved(request)
    if head == "logs" and not on.system_logs:
        return Route(answer=http_error(405, "logs endpoint is disabled."))
    return Route(head, tuple(parts), _refusal(service, parts, request))


def _handler(path: str, on: Handlers) -> Route:
    if path == "/debug/flags/v" and not on.debug_flags:
        return Route(answer=http_error(405, "flags endpoint is disabled."))
    head, *parts = path.strip("/").split("/")
    return Route(head, tuple(parts))


def _pprof(path: str, method: str, on: Handlers) -> Route:
    if not on.profiling:
        return Route(answer=http_error(405, "profiling endpoint is disabled."))
    if path == _PPROF:
        return Route(answer=_page_not_found())
    if method not in _READ:
        return Route(answer=_not_allowed(_READ))
    return Route("debug", tuple(path.strip("/").split("/")[1:]))


def _service(head: str, on: Handlers) -> _Service | None:
    if head in _OPEN:
        return _OPEN[head]
    if not on.debugging:
        return None
    if head == "logs":
        return _LOGS
    if head == "checkpoint":
        return _CHECKPOINT if on.checkpoint else None
    return _DEBUGGING.get(head)


def _refusal(service: _Service, parts: list[str], request: Request) -> Response | None:
    if not service.deeper and len(parts) not in service.parts:
        return _page_not_found()
    if service.names and any(part not in service.names for part in parts):
        return _page_not_found()
    if request.method not in service.methods:
        return _not_allowed(service.methods)
    produced = (_JSON,) if service.json else ()  # a route that names no type has only callers who take any
    if not reaches(request.headers.get("accept") or _ANY, produced):
        available = "".join(produced)
        return fault(406, f"406: Not Acceptable\n\nAvailable representations: {available}")
    return None


def _page_not_found() -> Response:
    return fault(404, "404: Page Not Found")


def _not_allowed(methods: tuple[str, ...]) -> Response:
    return fault(405, "405: Method Not Allowed", Allow=", ".join(methods))


def _moved(request: Request) -> Route:
    """Send a caller to the folder of that name."""
    location = f"{request.path}/" + (f"?{request.raw_query}" if request.raw_query else "")
    headers = {"Location": location}
    if request.method not in ("GET", "HEAD"):
        return Route(early=Response(_MOVED, headers))
    headers["Content-Type"] = "text/html; charset=utf-8"
    shown = location.replace("&", "&amp;").replace('"', "&#34;").replace("<", "&lt;").replace(">", "&gt;")
    return Route(early=Response(_MOVED, headers, f'<a href="{shown}">Temporary Redirect</a>.\n\n'.encode()))
