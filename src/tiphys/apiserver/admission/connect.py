"""CONNECT: admission of exec, attach, port-forward and the proxies, whose object is the options asked for.

Called by the router before such a subresource is served.
"""

from __future__ import annotations

from typing import Final

from tiphys.apimachinery.atoi import atoi
from tiphys.apimachinery.meta import Object
from tiphys.apiserver.admission.attributes import Attributes
from tiphys.apiserver.endpoints.call import Call
from tiphys.apiserver.endpoints.params import parse_bool

_OPTIONS = {
    ("pods", "exec"): "PodExecOptions",
    ("pods", "attach"): "PodAttachOptions",
    ("pods", "portforward"): "PodPortForwardOptions",
    ("pods", "proxy"): "PodProxyOptions",
    ("services", "proxy"): "ServiceProxyOptions",
    ("nodes", "proxy"): "NodeProxyOptions",
}
PROXIED_PATH: Final = "proxied_path"
"""In a request's scope: the path that admission has put in place of the one asked for."""
_FLAGS = ("stdin", "stdout", "stderr", "tty")


async def admit_connect(call: Call) -> bool:
    """Ask admission about a connection; False: the request is for none, nothing happens.

    Raises what a plugin raises.
    """
    kind = _OPTIONS.get((call.resource.plural, call.info.subresource))
    if kind is None or call.resource.group:
        return False
    options = _options(call, kind)
    attributes = Attributes(call, "CONNECT", options, None, subresource=call.info.subresource)
    path = options.get("path")
    await call.backend.admission.admit(attributes)
    if attributes.runs_again:
        _take(call, options)
        if options.get("path") != path:
            call.request.scope[PROXIED_PATH] = str(options.get("path") or "")
    await call.backend.admission.validate(attributes)
    return True


def _take(call: Call, options: Object) -> None:
    """Make the request's parameters what admission has made of the options."""
    query = dict(call.query)
    for flag in _FLAGS:
        query[flag] = ["true"] if options.get(flag) is True else []
    for key in ("container", "command", "ports"):
        value = options.get(key) or []
        query[key] = [str(one) for one in value] if isinstance(value, list) else [str(value)]
    call.query = {key: values for key, values in query.items() if values}


def _options(call: Call, kind: str) -> Object:
    options: Object = {"kind": kind, "apiVersion": "v1"}
    if kind in ("PodExecOptions", "PodAttachOptions"):
        options |= {flag: True for flag in _FLAGS if parse_bool(call, flag)}
        if call.param("container"):
            options["container"] = call.param("container")
    if kind == "PodExecOptions":
        options["command"] = list(call.query.get("command") or ())
    if kind == "PodPortForwardOptions":
        ports = [text for value in call.query.get("ports") or () for text in value.split(",")]
        options["ports"] = [number for text in ports if (number := atoi(text)) is not None]
    if kind.endswith("ProxyOptions"):
        options["path"] = "/" + "/".join(call.info.rest)
    return options
