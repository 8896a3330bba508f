"""The way from the API server to a pod's kubelet: address, certificate, the request itself.

One of Kubernetes' own exceptions to "components meet only in the API". Used by log, exec, attach,
port-forward and the node proxy.
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from tiphys.apimachinery.dataclass import dataclass
from tiphys.apimachinery.errors import BadRequest, InternalError, StatusError
from tiphys.apimachinery.meta import Object
from tiphys.apiserver.authn.credentials import without_credentials
from tiphys.apiserver.authn.requestheader import RequestHeader
from tiphys.apiserver.call import Backend, Call
from tiphys.wire import client

KUBELET_PORT = 10250
_HOP_HEADERS = frozenset(
    {"connection", "keep-alive", "proxy-authenticate", "te", "trailer", "transfer-encoding", "upgrade"}
    | {"content-length", "host", "date"}
)


@dataclass(frozen=True, slots=True)
class Kubelet:
    """Where one node's kubelet listens."""

    host: str
    port: int
    context: ssl.SSLContext


@lru_cache(maxsize=4)
def _context(certificate: str, key: str, authority: str) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=authority or None)
    context.check_hostname = False
    if not authority:
        context.verify_mode = ssl.CERT_NONE
    if certificate:
        context.load_cert_chain(certificate, key or None)
    return context


def kubelet_context(backend: Backend) -> ssl.SSLContext:
    """Return the client side of TLS towards kubelets; verified when an authority is configured."""
    options = backend.options
    paths = (
        options.kubelet_client_certificate,
        options.kubelet_client_key,
        options.kubelet_certificate_authority,
    )
    certificate, key, authority = (str(path) if path else "" for path in paths)
    return _context(certificate, key, authority)


async def find_node(backend: Backend, name: str) -> Kubelet:
    """Return a node's kubelet. Raises NotFound; BadRequest when it has no address."""
    resource = backend.table.by_path("", "v1", "nodes")
    node = (await backend.store.get(resource, "", name)).object
    status = node.get("status") or {}
    addresses = {one["type"]: one["address"] for one in status.get("addresses") or ()}
    host = next((addresses[kind] for kind in backend.options.kubelet_addresses if kind in addresses), "")
    if not host:
        raise BadRequest(f"no preferred addresses found; known addresses: {sorted(addresses)}")
    endpoint = (status.get("daemonEndpoints") or {}).get("kubeletEndpoint") or {}
    return Kubelet(host, int(endpoint.get("Port") or KUBELET_PORT), kubelet_context(backend))


async def find_pod(call: Call) -> Object:
    """Return the pod that a call is about. Raises NotFound."""
    pods = call.backend.table.by_path("", "v1", "pods")
    return (await call.backend.store.get(pods, call.namespace, call.name)).object


def node_of(pod: Object) -> str:
    """Return the node that a pod runs on. Raises BadRequest."""
    node: str = pod["spec"].get("nodeName") or ""
    if not node:
        raise BadRequest(f"pod {pod['metadata']['name']} does not have a host assigned")
    return node


def choose_container(pod: Object, wanted: str) -> str:
    """Return the container that is meant. Raises BadRequest in upstream's words."""
    spec, name = pod["spec"], pod["metadata"]["name"]
    kinds = ("initContainers", "containers", "ephemeralContainers")
    names = [str(one["name"]) for kind in kinds for one in spec.get(kind) or ()]
    if wanted:
        if wanted not in names:
            raise BadRequest(f"container {wanted} is not valid for pod {name}")
        return wanted
    regular = spec.get("containers") or []
    if len(regular) == 1:
        return str(regular[0]["name"])
    raise BadRequest(f"a container name must be specified for pod {name}, choose one of: {_go_list(names)}")


def _go_list(names: list[str]) -> str:
    return f"[{' '.join(names)}]"


def forwarded_headers(
    headers: Mapping[str, str], front_proxy: RequestHeader | None = None, *, upgrade: bool = False
) -> dict[str, str]:
    """Return the headers to pass on: without credentials and what belongs to the first hop."""
    passed = without_credentials(headers.items(), front_proxy)
    kept = {name: value for name, value in passed if name.lower() not in _HOP_HEADERS}
    if upgrade:
        kept["Connection"] = "Upgrade"
        kept["Upgrade"] = headers.get("upgrade", "")
    return kept


async def ask(
    kubelet: Kubelet, method: str, target: str, headers: Mapping[str, str], body: bytes = b""
) -> client.Answer:
    """Send a request to a kubelet. Raises InternalError when it cannot be reached."""
    try:
        return await client.send(
            kubelet.host, kubelet.port, method, target, headers, body=body, ssl_context=kubelet.context
        )
    except client.ConnectFailed as error:
        path = target.partition("?")[0]
        url = f"https://{kubelet.host}:{kubelet.port}{path}"
        raise InternalError(f'{method.capitalize()} "{url}": {error}') from error


async def raise_refusal(answer: client.Answer, call: Call) -> None:
    """Turn a kubelet's error answer into the error that the client sees. Always raises."""
    text = (await answer.read()).decode(errors="replace").strip()
    await answer.close()
    if answer.status == 400:
        raise BadRequest(text)
    details: dict[str, Any] = {"name": call.name, "kind": call.resource.plural}
    reason = {404: "NotFound", 403: "Forbidden", 401: "Unauthorized"}.get(answer.status, "InternalError")
    raise StatusError(text, code=answer.status, reason=reason, details=details)
