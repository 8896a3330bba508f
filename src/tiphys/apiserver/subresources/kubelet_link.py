"""The way from the API server to a pod's kubelet: address, certificate, the request itself.

One of Kubernetes' own exceptions to "components meet only in the API". Used by log, exec, attach,
port-forward and the node proxy.
"""

from __future__ import annotations

import logging
import ssl
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

from tiphys.apimachinery.dataclass import dataclass
from tiphys.apimachinery.errors import BadRequest, StatusError
from tiphys.apimachinery.go_text import plain
from tiphys.apimachinery.meta import Object
from tiphys.apiserver.authn.credentials import without_credentials
from tiphys.apiserver.authn.requestheader import RequestHeader
from tiphys.apiserver.endpoints.call import Backend, Call
from tiphys.wire import client
from tiphys.wire.dial import Tunnel
from tiphys.wire.file_signs import signs_of
from tiphys.wire.message import HOP_HEADERS, named_hop_headers
from tiphys.wire.peer_names import NamedContext, NameRefused
from tiphys.wire.reasons import reason_of

log = logging.getLogger(__name__)
_HOP_HEADERS = HOP_HEADERS | {"host", "date"}


@dataclass(frozen=True, slots=True)
class Kubelet:
    """Where one node's kubelet listens."""

    host: str
    port: int
    context: ssl.SSLContext
    through: Tunnel | None = None
    features: frozenset[str] = frozenset()
    """What the node declares that it can."""


@dataclass(frozen=True, slots=True)
class _Files:
    """What connections to kubelets are made of."""

    certificate: Path | None
    key: Path | None
    authority: Path | None

    def paths(self) -> list[Path]:
        return [path for path in (self.certificate, self.key, self.authority) if path is not None]


_good: dict[_Files, ssl.SSLContext] = {}
"""What was last made of files that fitted each other."""


@lru_cache(maxsize=8)
def _context(files: _Files, signs: object) -> ssl.SSLContext:
    context = NamedContext()
    context.trust(file=files.authority)
    if files.authority is None:
        context.verify_mode = ssl.CERT_NONE
    if files.certificate is not None:
        context.load_cert_chain(files.certificate, files.key)
    return context


def kubelet_context(backend: Backend, *, insecure: bool = False) -> ssl.SSLContext:
    """Return the client side of TLS towards kubelets; verified where an authority is configured.

    The files may be written anew at any time. While they do not fit each other, the last that did count on.
    """
    options = backend.options
    authority = None if insecure else options.kubelet_certificate_authority
    files = _Files(options.kubelet_client_certificate, options.kubelet_client_key, authority)
    try:
        context = _context(files, signs_of(files.paths()))
    except (OSError, ssl.SSLError) as error:
        if files not in _good:
            raise
        log.warning("certificates for kubelets not taken over error=%s", error)
        return _good[files]
    _good[files] = context
    return context


async def find_node(backend: Backend, name: str, *, insecure: bool = False) -> Kubelet:
    """Return a node's kubelet, believed whatever it shows where ``insecure``.

    Raises:
        NotFound. StatusError: it has no address.
    """
    resource = backend.table.by_path("", "v1", "nodes")
    node = (await backend.store.get(resource, "", name)).object
    status = node.get("status") or {}
    known = [(one["type"], one["address"]) for one in status.get("addresses") or ()]
    wanted = backend.options.kubelet_addresses
    host = next((address for kind in wanted for found, address in known if found == kind), "")
    if not host:
        shown = " ".join(f"{{{kind} {address}}}" for kind, address in known)
        raise StatusError(f"no preferred addresses found; known addresses: [{shown}]")
    endpoint = (status.get("daemonEndpoints") or {}).get("kubeletEndpoint") or {}
    port = int(endpoint.get("Port") or backend.options.kubelet_port)
    context = kubelet_context(backend, insecure=insecure)
    features = frozenset(status.get("declaredFeatures") or ())
    return Kubelet(host, port, context, backend.options.egress.cluster, features)


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
    raise BadRequest(f"a container name must be specified for pod {name}, choose one of: {plain(names)}")


def forwarded_headers(
    headers: Mapping[str, str], front_proxy: RequestHeader | None = None, *, upgrade: bool = False
) -> dict[str, str]:
    """Return the headers to pass on: without credentials and what belongs to the first hop."""
    passed = without_credentials(headers.items(), front_proxy)
    dropped = _HOP_HEADERS | named_hop_headers(headers.items())
    kept = {name: value for name, value in passed if name.lower() not in dropped}
    if upgrade:
        kept["Connection"] = "Upgrade"
        kept["Upgrade"] = headers.get("upgrade", "")
    return kept


class Unreachable(StatusError):
    """A kubelet that could not be asked. The message is the reason alone, in the words of Go's network."""

    def __init__(self, error: client.ConnectFailed) -> None:
        super().__init__(reason_of(error))
        self.is_untrusted = isinstance(error.__cause__, ssl.SSLCertVerificationError | NameRefused)


async def ask(
    kubelet: Kubelet, method: str, target: str, headers: Mapping[str, str], body: bytes = b""
) -> client.Answer:
    """Send a request to a kubelet. Raises Unreachable."""
    try:
        return await client.send(
            kubelet.host, kubelet.port, method, target, headers, body=body, ssl_context=kubelet.context,
            through=kubelet.through,
        )  # fmt: skip
    except client.ConnectFailed as error:
        raise Unreachable(error) from error


def is_upgrade(headers: Mapping[str, str]) -> bool:
    """Tell whether a request wants the bare connection: what it wants to speak there is another header's."""
    return "upgrade" in headers.get("connection", "").lower()
