"""A front proxy's word, and whose word is not taken."""

from __future__ import annotations

from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from tests.wire.test_peer import make_intermediate

from tiphys.apimachinery.clock import RealClock
from tiphys.apiserver.authn.requestheader import RequestHeader, common_name, is_issued_by
from tiphys.wire import pki
from tiphys.wire.message import RepeatedHeaders, Request

NOW = RealClock().now()
PROXIES, USERS = pki.make_ca("proxies", NOW), pki.make_ca("users", NOW)


def der(ca: pki.KeyPair, name: str, *groups: str) -> bytes:
    pair = pki.issue_client(ca, name, groups, NOW)
    return x509.load_pem_x509_certificate(pair.certificate).public_bytes(Encoding.DER)


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
    user = TRUST.user_of(HEADERS, PROXY)
    assert user is not None
    assert (user.name, user.uid, user.groups) == ("alice", "7", ("dev", "cn=admins, system:masters"))
    assert dict(user.extra) == {"scopes": ("a", "b"), "acme.com/project": ("p",)}


@pytest.mark.parametrize(
    ("trust", "certificate", "headers"),
    [
        (TRUST, der(USERS, "front-proxy-client"), HEADERS),
        (TRUST, der(PROXIES, "another"), HEADERS),
        (TRUST, PROXY, {}),
        (RequestHeader(b"", ()), PROXY, HEADERS),
    ],
    ids=["another authority", "another name", "nobody named", "no authority"],
)
def test_whose_word_is_not_taken(trust: RequestHeader, certificate: bytes, headers: dict[str, str]) -> None:
    assert trust.user_of(headers, certificate) is None


def test_every_name_of_the_authority() -> None:
    assert RequestHeader(PROXIES.certificate).user_of(HEADERS, der(PROXIES, "another")) is not None


def test_who_issued() -> None:
    both = PROXIES.certificate + USERS.certificate
    assert is_issued_by(der(USERS, "u"), both)
    assert not is_issued_by(der(USERS, "u"), PROXIES.certificate)
    assert common_name(PROXY) == "front-proxy-client"


def test_who_issued_through_others() -> None:
    middle = make_intermediate(PROXIES, "middle")
    lower = make_intermediate(middle, "lower")
    leaf, root = der(lower, "front-proxy-client"), PROXIES.certificate
    issuers = tuple(
        x509.load_pem_x509_certificate(one.certificate).public_bytes(Encoding.DER)
        for one in (lower, middle, PROXIES)
    )
    assert not is_issued_by(leaf, root)
    assert is_issued_by(leaf, root, issuers)
    assert is_issued_by(leaf, root, issuers[:2]), "the root itself is known"
    assert not is_issued_by(leaf, root, issuers[:1])
    assert is_issued_by(leaf, middle.certificate, issuers), "an authority may be one that others vouch for"
    assert not is_issued_by(leaf, USERS.certificate, issuers)
    assert TRUST.user_of(HEADERS, leaf, issuers) is not None
    assert TRUST.user_of(HEADERS, leaf) is None


async def test_users_of_an_authority_below(serving: Any) -> None:
    middle = make_intermediate(USERS, "middle")
    async with serving(request_header=TRUST, client_ca=USERS.certificate) as api:
        for ca, status in ((middle, 200), (make_intermediate(PROXIES, "middle"), 403)):
            issuer = x509.load_pem_x509_certificate(ca.certificate).public_bytes(Encoding.DER)
            request = Request(
                "GET", "/api/v1/nodes", "", {}, b"",
                peer_certificate=der(ca, "carol", "system:masters"), peer_issuers=(issuer,),
            )  # fmt: skip
            assert (await api.server.handler(request)).status == status


@pytest.mark.parametrize(
    ("certificate", "want"),
    [
        (PROXY, (201, "alice")),
        (der(USERS, "carol", "dev"), (201, "carol")),
        (der(PROXIES, "system:admin", "system:masters"), (403, "")),
        (None, (403, "")),
    ],
    ids=["proxy", "user", "a proxy's authority makes no users", "nobody"],
)
async def test_through_the_server(serving: Any, certificate: bytes | None, want: tuple[int, str]) -> None:
    async with serving(request_header=TRUST, client_ca=USERS.certificate) as api:
        path = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
        kind = "application/json"
        headers = RepeatedHeaders({**HEADERS, "content-type": kind, "accept": kind})
        headers.each = HEADERS.each
        request = Request("POST", path, "", headers, b"{}", peer_certificate=certificate)
        response = await api.server.handler(request)
        import orjson

        status, name = want
        assert response.status == status
        if name:
            assert orjson.loads(response.body)["status"]["userInfo"]["username"] == name
