"""A front proxy's word, and whose word is not taken."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import orjson
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from tests.wire.test_peer import make_intermediate

from tiphys.apimachinery.clock import FakeClock, RealClock
from tiphys.apimachinery.featuregates import FeatureGates, using
from tiphys.apiserver.authn.certificates import Certificates
from tiphys.apiserver.authn.requestheader import RequestHeader
from tiphys.wire import pki
from tiphys.wire.message import RepeatedHeaders, Request

NOW = RealClock().now()
PROXIES, USERS = pki.make_ca("proxies", NOW), pki.make_ca("users", NOW)


def der(ca: pki.KeyPair, name: str, *groups: str) -> bytes:
    pair = pki.issue_client(ca, name, groups, NOW)
    return x509.load_pem_x509_certificate(pair.certificate).public_bytes(Encoding.DER)


def issuer(ca: pki.KeyPair) -> bytes:
    return x509.load_pem_x509_certificate(ca.certificate).public_bytes(Encoding.DER)


LOWER = make_intermediate(PROXIES, "lower")
PROXY = der(PROXIES, "front-proxy-client")
HEADERS = RepeatedHeaders(
    {
        "x-remote-user": "alice",
        "x-remote-group": "dev",
        "x-remote-uid": "7",
        "x-remote-extra-scopes": "a",
        "x-remote-extra-acme.com%2fproject": "p",
    }
)
HEADERS.repeat("x-remote-user", "eve")
HEADERS.repeat("x-remote-group", "cn=admins, system:masters")
HEADERS.repeat("x-remote-extra-scopes", "b")
TRUST = RequestHeader(PROXIES.certificate, ("front-proxy-client",), uid_headers=("X-Remote-Uid",))


def test_whom_a_proxy_speaks_for() -> None:
    user = TRUST.user_of(HEADERS)
    assert user is not None
    assert (user.name, user.uid, user.groups) == ("alice", "7", ("dev", "cn=admins, system:masters"))
    assert dict(user.extra) == {"scopes": ("a", "b"), "acme.com/project": ("p",)}
    with using(FeatureGates({"RemoteRequestHeaderUID": False})):
        assert TRUST.user_of(HEADERS) == replace(user, uid="")
    assert TRUST.user_of({}) is None
    assert TRUST.user_of({"x-remote-user": ""}) is None


@pytest.mark.parametrize(
    ("trust", "shown", "want"),
    [
        (TRUST, (PROXY,), "alice"),
        (TRUST, (der(USERS, "front-proxy-client"),), "front-proxy-client"),
        (TRUST, (der(PROXIES, "another"),), None),
        (RequestHeader(PROXIES.certificate), (der(PROXIES, "another"),), "alice"),
        (RequestHeader(b"", ()), (PROXY,), None),
        (TRUST, (der(LOWER, "front-proxy-client"),), None),
        (TRUST, (der(LOWER, "front-proxy-client"), issuer(LOWER)), "alice"),
        (TRUST, (der(USERS, "carol"), issuer(LOWER)), "carol"),
        (TRUST, (), None),
    ],
    ids=["the proxy", "another authority", "another name", "every name", "no authority",
         "an authority below, unseen", "an authority below", "an authority that did not sign", "nothing"],
)  # fmt: skip
def test_who_is_believed(trust: RequestHeader, shown: tuple[bytes, ...], want: str | None) -> None:
    request = Request("GET", "/", headers=HEADERS, shown_certificates=shown)
    faults: list[str] = []
    found = Certificates(USERS.certificate, trust).identify(request, faults)
    assert (found.user.name if found else None) == want
    assert want is not None or bool(faults) is bool(shown)


async def test_users_of_an_authority_below(serving: Any) -> None:
    middle = make_intermediate(USERS, "middle")
    async with serving(clock=FakeClock(NOW), request_header=TRUST, client_ca=USERS.certificate) as api:
        for ca, status in ((middle, 200), (make_intermediate(PROXIES, "middle"), 401)):
            shown = (der(ca, "carol", "system:masters"), issuer(ca))
            request = Request("GET", "/api/v1/nodes", shown_certificates=shown)
            assert (await api.server.handler(request)).status == status


@pytest.mark.parametrize(
    ("shown", "want"),
    [
        ((PROXY,), (201, "alice")),
        ((der(USERS, "carol", "dev"),), (201, "carol")),
        ((der(PROXIES, "system:admin", "system:masters"),), (401, "")),
        ((), (403, "")),
    ],
    ids=["proxy", "user", "a proxy's authority makes no users", "nobody"],
)
async def test_through_the_server(serving: Any, shown: tuple[bytes, ...], want: tuple[int, str]) -> None:
    async with serving(clock=FakeClock(NOW), request_header=TRUST, client_ca=USERS.certificate) as api:
        path = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
        kind = "application/json"
        headers = RepeatedHeaders({**HEADERS, "content-type": kind, "accept": kind})
        headers.each = HEADERS.each
        request = Request("POST", path, "", headers, b"{}", shown_certificates=shown)
        response = await api.server.handler(request)
        status, name = want
        assert response.status == status
        if name:
            assert orjson.loads(response.body)["status"]["userInfo"]["username"] == name
