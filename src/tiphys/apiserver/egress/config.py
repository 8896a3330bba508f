"""Reads an ``EgressSelectorConfiguration``: which proxy stands before which kind of destination.

Pure but for asking whether files are there. Owns: its grammar and its faults in upstream's words. Refuses:
reading certificates and connecting (``tunnels``).
"""

from __future__ import annotations

import os.path
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from tiphys.apimachinery import field_errors
from tiphys.apimachinery.dataclass import dataclass
from tiphys.apimachinery.errors import FieldError
from tiphys.apiserver.config_files import Kind, fields, read_file
from tiphys.apiserver.egress.selector import CONTROL_PLANE, NAMES

DIRECT: Final = "Direct"
HTTP_CONNECT: Final = "HTTPConnect"
GRPC: Final = "GRPC"
_TLS: Final = fields("caBundle", "clientKey", "clientCert", "tlsServerName")
KIND: Final = Kind(
    "EgressSelectorConfiguration",
    fields(
        egressSelections=fields(
            "name",
            connection=fields(
                "proxyProtocol",
                transport=fields(
                    tcp=fields("url", tlsConfig=_TLS),
                    uds=fields("udsName"),
                ),
            ),
        ),
    ),
    unreadable="failed to read egress selector config: ",
    invalid="failed to validate egress selector configuration: ",
    versions=("apiserver.k8s.io/v1beta1", "apiserver.k8s.io/v1alpha1"),
)  # fmt: skip
_PATH: Final = "service.connection"
_FORMER: Final = "master"
"""What ``controlplane`` was called; still taken."""
Exists = Callable[[str], bool]


@dataclass(frozen=True, slots=True)
class Selection:
    """One kind of destination and the proxy before it. A ``socket`` is the path of a unix one."""

    name: str
    protocol: str = DIRECT
    url: str = ""
    socket: str = ""
    ca_file: str = ""
    certificate_file: str = ""
    key_file: str = ""
    server_name: str = ""
    """What the proxy's certificate must be for where that is not its host."""


def parse(text: str, exists: Exists = os.path.exists) -> tuple[Selection, ...]:
    """Return the selections of a file, each name once.

    Raises:
        BadConfiguration: with every fault, in the words with which upstream ends at its start.
    """

    def read(document: dict[str, Any], faults: list[FieldError]) -> tuple[Selection, ...]:
        given = document.get("egressSelections") or []
        for one in given:
            faults += _connection_faults(one.get("connection") or {}, exists)
        faults += _name_faults([str(one.get("name") or "") for one in given])
        return tuple(_selection(one) for one in given)

    return read_file(text, KIND, read)


def _selection(one: Mapping[str, Any]) -> Selection:
    connection = one.get("connection") or {}
    transport = connection.get("transport") or {}
    tcp, uds = transport.get("tcp") or {}, transport.get("uds") or {}
    tls = tcp.get("tlsConfig") or {}
    return Selection(
        _canonical(str(one.get("name") or "")),
        connection.get("proxyProtocol") or "",
        tcp.get("url") or "",
        uds.get("udsName") or "",
        tls.get("caBundle") or "",
        tls.get("clientCert") or "",
        tls.get("clientKey") or "",
        tls.get("tlsServerName") or "",
    )


def _canonical(name: str) -> str:
    return CONTROL_PLANE if name == _FORMER else name.lower()


def _name_faults(names: list[str]) -> Iterator[FieldError]:
    seen: set[str] = set()
    for at, name in enumerate(_canonical(one) for one in names):
        if name in seen:
            yield field_errors.duplicate(f"{_PATH}[{at}]", name)
        elif name not in NAMES:
            yield field_errors.not_supported(_PATH, name, sorted(NAMES))
        seen.add(name)


def _connection_faults(connection: Mapping[str, Any], exists: Exists) -> Iterator[FieldError]:
    protocol, transport = connection.get("proxyProtocol") or "", connection.get("transport")
    if protocol == DIRECT:
        if transport is not None:
            text = "config must be absent for direct connect"
            yield field_errors.invalid(f"{_PATH}.transport", "direct", text)
    elif protocol not in (HTTP_CONNECT, GRPC):
        supported = (DIRECT, HTTP_CONNECT, GRPC)
        yield field_errors.not_supported(f"{_PATH}.protocol", protocol, supported)
    elif transport is None:
        yield field_errors.required(f"{_PATH}.transport", f"transport must be set for {protocol}")
    elif protocol == GRPC:
        yield from _grpc_faults(transport)
    else:
        yield from _http_faults(transport, exists)


def _grpc_faults(transport: Mapping[str, Any]) -> Iterator[FieldError]:
    if transport.get("uds") is None:
        yield field_errors.required(f"{_PATH}.uds", "UDS must be set with GRPC")
    else:
        yield from _socket_faults(transport["uds"])


def _http_faults(transport: Mapping[str, Any], exists: Exists) -> Iterator[FieldError]:
    tcp, uds = transport.get("tcp"), transport.get("uds")
    if tcp is not None and uds is not None:
        yield field_errors.invalid(f"{_PATH}.tcp", tcp, "TCP and UDS cannot both be set")
    elif uds is not None:
        yield from _socket_faults(uds)
    elif tcp is None:
        yield field_errors.required(f"{_PATH}.tcp", "One of TCP or UDS must be set")
    else:
        yield from _tcp_faults(tcp, exists)


def _socket_faults(uds: Mapping[str, Any]) -> Iterator[FieldError]:
    if not uds.get("udsName"):
        yield field_errors.invalid(f"{_PATH}.udsName", "nil", "must be present for UDS connections")


def _tcp_faults(tcp: Mapping[str, Any], exists: Exists) -> Iterator[FieldError]:
    url, tls = tcp.get("url") or "", tcp.get("tlsConfig")
    if url.startswith("https://"):
        yield from _tls_faults(tls, exists)
    elif not url.startswith("http://"):
        text = "supported connection protocols are http:// and https://"
        yield field_errors.invalid(f"{_PATH}.url", url, text)
    elif tls is not None:
        yield field_errors.invalid(f"{_PATH}.tlsConfig", "nil", "config must not be present when using HTTP")


def _tls_faults(tls: Mapping[str, Any] | None, exists: Exists) -> Iterator[FieldError]:
    path = f"{_PATH}.tlsConfig"
    if tls is None:
        yield field_errors.required(path, "TLSConfig must be present when using HTTPS")
        return
    bundle = tls.get("caBundle") or ""
    if bundle and not exists(bundle):
        yield field_errors.invalid(f"{path}.caBundle", bundle, "TLS config ca bundle does not exist")
    for key, missing, absent in (
        ("clientCert", "Using TLS requires clientCert", "TLS client cert does not exist"),
        ("clientKey", "Using TLS requires requires clientKey", "TLS client key does not exist"),
    ):
        file = tls.get(key) or ""
        if not file:
            yield field_errors.invalid(f"{path}.{key}", "nil", missing)
        elif not exists(file):
            yield field_errors.invalid(f"{path}.{key}", file, absent)
