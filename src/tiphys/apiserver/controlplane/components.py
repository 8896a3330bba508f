"""``componentstatuses``: asks the parts of the control plane, at each request, whether they are well.

Owns: which parts there are and the words of their conditions. Nothing of it is stored. The router calls it in
place of the handlers of stored objects. Source: core/v1 ComponentStatus, deprecated since v1.19.
"""

from __future__ import annotations

import asyncio
import ssl

from tiphys.apimachinery import labels
from tiphys.apimachinery.errors import MethodNotAllowed, NotFound
from tiphys.apimachinery.meta import Object
from tiphys.apiserver.endpoints import respond
from tiphys.apiserver.endpoints.call import Call
from tiphys.apiserver.endpoints.params import list_options
from tiphys.wire import client
from tiphys.wire.message import Response

_PATIENCE_S = 3.0
_STORE = "etcd-"
"""What the names of stores begin with, which are counted from 0."""


async def handle(call: Call) -> Response:
    """Answer a get or a list. Raises NotFound, MethodNotAllowed."""
    if call.info.verb == "watch" and call.request.method == "GET":
        text = 'watch is not supported on resources of kind "componentstatuses"'
        raise MethodNotAllowed(text, details={"kind": "componentstatuses"})
    if call.info.verb not in ("get", "list"):
        raise MethodNotAllowed("the server does not allow this method on the requested resource")
    ports = dict(call.backend.options.component_ports)
    asks_stores = call.info.verb == "list" or call.name.startswith(_STORE)
    found = await call.backend.look_at_stores() if asks_stores else ()
    stores = {f"{_STORE}{place}": fault for place, fault in enumerate(found)}

    async def status(name: str) -> Object:
        return _stored(name, stores[name]) if name in stores else _asked(name, await ask(ports[name]))

    if call.info.verb == "get":
        if call.name not in stores and call.name not in ports:
            raise NotFound.of("", "componentstatuses", call.name)
        return respond.respond_object(call, await status(call.name))
    options = list_options(call)
    wanted = labels.parse_selector(options.label_selector)
    names = [name for name in (*sorted(ports), *stores) if not call.info.name or call.info.name == name]
    items = await asyncio.gather(*map(status, names)) if wanted.matches({}) else []
    form = respond.call_format(call)
    body, content_type = respond.encode(respond.list_value(call, form, items, {}), form)
    return Response(200, respond.headers_of(call.warnings, content_type), body)


def _asked(name: str, fault: str | None) -> Object:
    condition: Object = {"type": "Healthy", "status": "False" if fault else "True", "message": fault or "ok"}
    return {
        "kind": "ComponentStatus", "apiVersion": "v1", "metadata": {"name": name},
        "conditions": [condition],
    }  # fmt: skip


def _stored(name: str, fault: str | None) -> Object:
    """Return the status of a store; of the others a failed request is the message, not an error."""
    status = _asked(name, None)
    if fault:
        status["conditions"] = [{"type": "Healthy", "status": "False", "error": fault}]
    return status


async def ask(port: int) -> str:
    """Return what is wrong with the component on a port of this machine, empty when it is well."""
    url = f"https://127.0.0.1:{port}/healthz"
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # its certificate is self-made; it is on this machine
    try:
        async with asyncio.timeout(_PATIENCE_S):
            answer = await client.send("127.0.0.1", port, "GET", "/healthz", {}, ssl_context=context)
            await answer.close()
    except client.ConnectFailed:
        return f'Get "{url}": dial tcp 127.0.0.1:{port}: connect: connection refused'
    except TimeoutError:
        return f'Get "{url}": context deadline exceeded'
    return "" if answer.status == 200 else f"HTTP probe failed with statuscode: {answer.status}"
