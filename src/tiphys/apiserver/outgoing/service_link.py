"""The way from the API server to what serves behind a Service: webhooks and aggregated APIs.

Owns: the choice of an endpoint, and TLS contexts that trust a given bundle. Refuses: what is said over the
connection, and why there is none (``wire.reasons``).
"""

from __future__ import annotations

import base64
import binascii
import random
import ssl
from functools import lru_cache

from tiphys.apimachinery.dataclass import dataclass
from tiphys.apimachinery.errors import TiphysError
from tiphys.apimachinery.labels import parse_selector
from tiphys.apimachinery.meta import Object
from tiphys.apiserver.admission.lookup import find, find_all
from tiphys.apiserver.endpoints.call import Backend
from tiphys.apiserver.outgoing.service_ports import endpoint_addresses, slice_addresses
from tiphys.wire.dial import Tunnel
from tiphys.wire.peer_names import NamedContext
from tiphys.wire.pki import KeyPair, load_pair


class NoEndpoint(TiphysError):
    """A Service that nobody serves."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where to connect, and as whom the other side must show itself."""

    host: str
    port: int
    server_name: str
    through: Tunnel | None = None
    shown_host: str = ""
    shown_port: int = 0

    @property
    def authority(self) -> str:
        """How the other side is called: mostly by the address of its Service, whoever serves behind it."""
        host, port = self.shown_host or self.host, self.shown_port or self.port
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


async def resolve(backend: Backend, namespace: str, name: str, port: int) -> Endpoint:
    """Return a ready endpoint of a Service's port. Raises NoEndpoint."""
    service = await find(backend, "", "v1", "services", name, namespace=namespace)
    through = backend.options.egress.cluster
    if service is None:
        raise NoEndpoint(f'service "{name}" not found')
    server_name, spec = f"{name}.{namespace}.svc", service.get("spec") or {}
    routed, outside = backend.options.routes_to_endpoints, spec.get("type") == "ExternalName"
    if outside and not routed:
        name = spec.get("externalName") or ""
        return Endpoint(name, port, server_name, through, name)
    address = "" if routed else spec.get("clusterIP") or ""
    if address == "None":
        raise NoEndpoint('cannot route to service with ClusterIP "None"')
    wanted = next((one for one in spec.get("ports") or () if one.get("port") == port), None)
    if wanted is None:
        raise NoEndpoint(f'no service port {port} found for service "{name}"')
    if outside:
        raise NoEndpoint('unsupported service type "ExternalName"')
    family = next(iter(spec.get("ipFamilies") or ()), "")
    found = await _addresses(backend, namespace, name, wanted.get("name") or "", family)
    if not found:
        raise NoEndpoint(f'no endpoints available for service "{name}"')
    host, number = random.choice(found)
    if not address:
        return Endpoint(host, number, server_name, through, host)
    return Endpoint(host, number, server_name, through, address, port)


async def _slices(backend: Backend, namespace: str, name: str) -> list[Object]:
    chosen = parse_selector(f"kubernetes.io/service-name={name}")
    slices = await find_all(backend, "discovery.k8s.io", "v1", "endpointslices", namespace)
    return [item for item in slices if chosen.matches(item["metadata"].get("labels") or {})]


async def has_slices(backend: Backend, namespace: str, name: str) -> bool:
    """Tell whether anything is known of what serves behind a Service, ready or not."""
    if await _slices(backend, namespace, name):
        return True
    return await find(backend, "", "v1", "endpoints", name, namespace=namespace) is not None


async def is_served(backend: Backend, namespace: str, name: str, port: str) -> bool:
    """Tell whether something that is ready serves a Service's port, which is named."""
    return bool(await _addresses(backend, namespace, name, port))


async def _addresses(
    backend: Backend, namespace: str, name: str, port: str, family: str = ""
) -> list[tuple[str, int]]:
    """Return ready (address, port) pairs, from EndpointSlices or else from Endpoints."""
    found = slice_addresses(await _slices(backend, namespace, name), port, family)
    if found:
        return found
    endpoints = await find(backend, "", "v1", "endpoints", name, namespace=namespace)
    return endpoint_addresses(endpoints, port)


def bundle_of(spec: Object) -> bytes:
    """Return the PEM in a ``caBundle`` field; empty without one or where it is no base64."""
    try:
        return base64.b64decode(spec.get("caBundle") or "")
    except (binascii.Error, ValueError):
        return b""


@lru_cache(maxsize=64)
def tls_context(bundle: bytes, *, insecure: bool = False, client: KeyPair | None = None) -> ssl.SSLContext:
    """Return a context that trusts ``bundle`` alone, or the system where it is empty.

    ``insecure`` verifies nothing; ``client`` is what this server shows. Raises ssl.SSLError for a bad bundle.
    """
    context = NamedContext()
    context.trust(bundle.decode("latin-1"))
    if insecure:
        context.verify_mode = ssl.CERT_NONE
    if client is not None:
        load_pair(context, client)
    return context
