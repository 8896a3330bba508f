"""EgressSelectorConfigurations: what is taken, and what upstream says of the others."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from tiphys.apiserver.config_files import BadConfiguration
from tiphys.apiserver.egress.config import Selection, parse

HEAD = {"apiVersion": "apiserver.k8s.io/v1beta1", "kind": "EgressSelectorConfiguration"}
READ = "failed to read egress selector config: "
CHECKED = "failed to validate egress selector configuration: service.connection"
TLS = {"caBundle": "/pki/ca.crt", "clientKey": "/pki/client.key", "clientCert": "/pki/client.crt"}
DIRECT = {"proxyProtocol": "Direct"}


def tcp(url: str, **tls: Any) -> dict[str, Any]:
    return {"tcp": {"url": url, **({"tlsConfig": tls} if tls else {})}}


def text_of(*selections: tuple[str, dict[str, Any]], **head: str) -> str:
    named = [{"name": name, "connection": connection} for name, connection in selections]
    return yaml.safe_dump({**HEAD, **head, "egressSelections": named})


def cluster(protocol: str, transport: Any = None) -> str:
    more = {} if transport is None else {"transport": transport}
    return text_of(("cluster", {"proxyProtocol": protocol, **more}))


@pytest.mark.parametrize("version", ["v1beta1", "v1alpha1"])
@pytest.mark.parametrize("name", ["controlplane", "master", "ControlPlane"])
def test_taken(version: str, name: str) -> None:
    text = text_of(
        ("cluster", {"proxyProtocol": "HTTPConnect", "transport": tcp("https://127.0.0.1:8131", **TLS)}),
        (name, {"proxyProtocol": "HTTPConnect", "transport": tcp("http://127.0.0.1:8132")}),
        ("etcd", DIRECT),
        apiVersion=f"apiserver.k8s.io/{version}",
    )
    assert parse(text, lambda path: True) == (
        Selection(
            "cluster", "HTTPConnect", "https://127.0.0.1:8131", "", "/pki/ca.crt", "/pki/client.crt",
            "/pki/client.key",
        ),
        Selection("controlplane", "HTTPConnect", "http://127.0.0.1:8132"),
        Selection("etcd"),
    )  # fmt: skip


def test_sockets_and_names_of_proxies() -> None:
    transport = {"uds": {"udsName": "/run/proxy.sock"}}
    for protocol in ("HTTPConnect", "GRPC"):
        assert parse(cluster(protocol, transport)) == (
            Selection("cluster", protocol, socket="/run/proxy.sock"),
        )
    named = cluster("HTTPConnect", tcp("https://127.0.0.1:8131", **TLS, tlsServerName="proxy"))
    assert parse(named, lambda path: True)[0].server_name == "proxy"


def test_a_file_without_selections() -> None:
    assert parse(yaml.safe_dump(HEAD)) == ()


REFUSED = {
    "empty": ("", f"{READ}Object 'Kind' is missing in ''"),
    "another kind": (
        "apiVersion: apps/v1\nkind: DaemonSet\n",
        f'{READ}no kind "DaemonSet" is registered for version "apps/v1"',
    ),
    "another version": (
        text_of(apiVersion="apiserver.k8s.io/v1"),
        f'{READ}no kind "EgressSelectorConfiguration" is registered for version "apiserver.k8s.io/v1"',
    ),
    "an unknown field": (
        yaml.safe_dump({**HEAD, "selections": []}),
        f'{READ}strict decoding error: unknown field "selections"',
    ),
    "direct with a transport": (
        cluster("Direct", {}),
        f'{CHECKED}.transport: Invalid value: "direct": config must be absent for direct connect',
    ),
    "no such protocol": (
        cluster("SOCKS"),
        f'{CHECKED}.protocol: Unsupported value: "SOCKS": supported values: "Direct", "HTTPConnect", "GRPC"',
    ),
    "no transport": (
        cluster("HTTPConnect"),
        f"{CHECKED}.transport: Required value: transport must be set for HTTPConnect",
    ),
    "no transport for gRPC": (
        cluster("GRPC"),
        f"{CHECKED}.transport: Required value: transport must be set for GRPC",
    ),
    "an empty transport": (
        cluster("HTTPConnect", {}),
        f"{CHECKED}.tcp: Required value: One of TCP or UDS must be set",
    ),
    "both transports": (
        cluster("HTTPConnect", {**tcp("http://127.0.0.1:8131"), "uds": {"udsName": "/s"}}),
        f'{CHECKED}.tcp: Invalid value: {{"url":"http://127.0.0.1:8131"}}: TCP and UDS cannot both be set',
    ),
    "gRPC over TCP": (
        cluster("GRPC", tcp("http://127.0.0.1:8131")),
        f"{CHECKED}.uds: Required value: UDS must be set with GRPC",
    ),
    "no name of a socket": (
        cluster("GRPC", {"uds": {}}),
        f'{CHECKED}.udsName: Invalid value: "nil": must be present for UDS connections',
    ),
    "no name of a socket for HTTP": (
        cluster("HTTPConnect", {"uds": {"udsName": ""}}),
        f'{CHECKED}.udsName: Invalid value: "nil": must be present for UDS connections',
    ),
    "another scheme": (
        cluster("HTTPConnect", tcp("socks://127.0.0.1:1")),
        f'{CHECKED}.url: Invalid value: "socks://127.0.0.1:1": '
        "supported connection protocols are http:// and https://",
    ),
    "HTTP with certificates": (
        cluster("HTTPConnect", tcp("http://127.0.0.1:8131", **TLS)),
        f'{CHECKED}.tlsConfig: Invalid value: "nil": config must not be present when using HTTP',
    ),
    "HTTPS without": (
        cluster("HTTPConnect", tcp("https://127.0.0.1:8131")),
        f"{CHECKED}.tlsConfig: Required value: TLSConfig must be present when using HTTPS",
    ),
    "an unknown name": (
        text_of(("invalid", DIRECT)),
        f'{CHECKED}: Unsupported value: "invalid": supported values: "cluster", "controlplane", "etcd"',
    ),
    "a name twice": (
        text_of(("controlplane", DIRECT), ("controlplane", DIRECT)),
        f'{CHECKED}[1]: Duplicate value: "controlplane"',
    ),
    "both names of one": (
        text_of(("controlplane", DIRECT), ("master", DIRECT)),
        f'{CHECKED}[1]: Duplicate value: "controlplane"',
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str) -> None:
    text, wanted = REFUSED[name]
    with pytest.raises(BadConfiguration) as caught:
        parse(text, lambda path: True)
    assert str(caught.value) == wanted


def test_files_that_are_not_there() -> None:
    path = "service.connection.tlsConfig"
    missing = cluster("HTTPConnect", tcp("https://127.0.0.1:8131", **TLS))
    with pytest.raises(BadConfiguration) as caught:
        parse(missing, lambda path: False)
    assert str(caught.value) == (
        "failed to validate egress selector configuration: "
        f'[{path}.caBundle: Invalid value: "/pki/ca.crt": TLS config ca bundle does not exist, '
        f'{path}.clientCert: Invalid value: "/pki/client.crt": TLS client cert does not exist, '
        f'{path}.clientKey: Invalid value: "/pki/client.key": TLS client key does not exist]'
    )
    with pytest.raises(BadConfiguration) as caught:
        parse(cluster("HTTPConnect", {"tcp": {"url": "https://127.0.0.1:8131", "tlsConfig": {}}}))
    assert str(caught.value) == (
        "failed to validate egress selector configuration: "
        f'[{path}.clientCert: Invalid value: "nil": Using TLS requires clientCert, '
        f'{path}.clientKey: Invalid value: "nil": Using TLS requires requires clientKey]'
    )
