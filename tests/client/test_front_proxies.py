"""Front proxies of a component's endpoint: who is believed, and whom they speak for."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from tiphys.apimachinery.clock import RealClock
from tiphys.apimachinery.errors import Forbidden, Unauthorized
from tiphys.client.delegated import DelegatedAccess
from tiphys.client.front_proxies import FrontProxies, ProxyHeaders
from tiphys.client.inprocess import InProcessTransport
from tiphys.client.rest import Client
from tiphys.client.reviews import Caller
from tiphys.wire import pki
from tiphys.wire.client_certificates import ClientAuthorities
from tiphys.wire.message import RepeatedHeaders, Request, Response

NOW = RealClock().now()
PROXIES, OTHERS = pki.make_ca("proxies", NOW), pki.make_ca("others", NOW)
GROUPS = RepeatedHeaders({"x-remote-user": "alice", "x-remote-group": "dev"})
GROUPS.repeat("x-remote-group", "a, b")
SENT = RepeatedHeaders(
    {**GROUPS, "x-remote-uid": "7", "x-remote-extra-acme.com%2fproject": "p", "x-remote-extra-scopes": "s"}
)
SENT.each.update(GROUPS.each)


def der(ca: pki.KeyPair, name: str) -> bytes:
    pair = pki.issue_client(ca, name, (), NOW)
    return x509.load_pem_x509_certificate(pair.certificate).public_bytes(Encoding.DER)


PROXY = der(PROXIES, "front-proxy-client")


def asked(*shown: bytes, headers: Any = SENT, path: str = "/metrics") -> Request:
    return Request("GET", path, headers=headers, shown_certificates=shown)


def proxies(**headers: Any) -> FrontProxies:
    return FrontProxies(ClientAuthorities(PROXIES.certificate), ProxyHeaders(**headers))


def test_whom_a_proxy_speaks_for() -> None:
    found = proxies(uid_headers=("X-Remote-Uid",)).caller_of(asked(PROXY), NOW)
    groups = ("dev", "a, b", "system:authenticated")
    assert found == Caller("alice", groups, "7", {"acme.com/project": ("p",), "scopes": ("s",)})
    found = proxies(username_headers=("x-none", "x-remote-group"), extra_prefixes=()).caller_of(
        asked(PROXY), NOW
    )
    assert found == Caller("dev", groups)


NOBODY: dict[str, tuple[FrontProxies, Request]] = {
    "no certificate": (proxies(), asked()),
    "of another authority": (proxies(), asked(der(OTHERS, "front-proxy-client"))),
    "another name": (proxies(allowed_names=("front-proxy-client",)), asked(der(PROXIES, "other"))),
    "no user": (proxies(), asked(PROXY, headers={"x-remote-group": "dev"})),
    "no authority": (FrontProxies(), asked(PROXY)),
}


@pytest.mark.parametrize(("trust", "request_"), NOBODY.values(), ids=NOBODY)
def test_who_is_not_believed(trust: FrontProxies, request_: Request) -> None:
    assert trust.caller_of(request_, NOW) is None


def test_what_the_cluster_says() -> None:
    data = {
        "requestheader-allowed-names": '["a", "b"]',
        "requestheader-username-headers": '["X-User"]',
        "requestheader-group-headers": "",
        "client-ca-file": "x",
    }
    assert ProxyHeaders.of_cluster(data) == ProxyHeaders(("a", "b"), ("X-User",), group_headers=())
    for wrong in ("{", '{"a": 1}'):
        with pytest.raises(ValueError):
            ProxyHeaders.of_cluster({"requestheader-allowed-names": wrong})


async def test_an_endpoint_asks_about_the_user_whom_a_proxy_names() -> None:
    questions: list[Any] = []

    async def reviews(request: Request) -> Response:
        body = orjson.loads(request.body)
        questions.append(body["spec"])
        answer = {**body, "status": {"allowed": body["spec"]["user"] == "alice"}}
        return Response(201, {"content-type": "application/json"}, orjson.dumps(answer))

    client = Client(InProcessTransport(reviews))
    access = DelegatedAccess(client, RealClock())
    with pytest.raises(Forbidden, match="system:anonymous"):
        await access.check(asked(PROXY))
    access.trust_proxies(PROXIES.certificate, ProxyHeaders())
    await access.check(asked(PROXY))
    assert questions[-1]["groups"] == ["dev", "a, b", "system:authenticated"]
    access.trust(OTHERS.certificate)
    with pytest.raises(Forbidden, match="eve"):
        await access.check(asked(PROXY, headers={"x-remote-user": "eve"}))
    with pytest.raises(Unauthorized):
        await access.check(asked(der(pki.make_ca("unknown", NOW), "x")))
    await client.close()
