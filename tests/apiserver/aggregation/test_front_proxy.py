"""As whom the server shows itself to extension servers, and what it tells them to believe."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from tiphys.apimachinery.clock import FakeClock, RealClock
from tiphys.apiserver.aggregation.front_proxy import NAME, FrontProxy
from tiphys.apiserver.authn.requestheader import RequestHeader
from tiphys.wire import pki
from tiphys.wire.message import Request

NOW = RealClock().now()
CA, USERS = pki.make_ca("proxies", NOW), pki.make_ca("users", NOW)
PAIR = pki.issue_client(CA, "aggregator", [], NOW)
HEADER = RequestHeader(CA.certificate, ("aggregator",), ("X-U",), ("X-I",), ("X-G",), ("X-E-",))


def test_its_own_authority() -> None:
    proxy = FrontProxy(NOW)
    data = proxy.config_data({})
    assert data["requestheader-allowed-names"] == f'["{NAME}"]'
    assert data["requestheader-uid-headers"] == '["X-Remote-Uid"]'
    assert data["requestheader-client-ca-file"] == proxy.authority.decode()
    other = FrontProxy(NOW).authority.decode()
    live = {"requestheader-client-ca-file": other}
    assert proxy.config_data(live)["requestheader-client-ca-file"] == other + proxy.authority.decode()


def test_what_is_configured_is_told() -> None:
    assert FrontProxy(NOW, PAIR, HEADER).config_data({"requestheader-client-ca-file": "anything"}) == {
        "requestheader-allowed-names": '["aggregator"]',
        "requestheader-client-ca-file": CA.certificate.decode(),
        "requestheader-extra-headers-prefix": '["X-E-"]',
        "requestheader-group-headers": '["X-G"]',
        "requestheader-uid-headers": '["X-I"]',
        "requestheader-username-headers": '["X-U"]',
    }


def test_a_certificate_without_its_authority() -> None:
    assert FrontProxy(NOW, PAIR).config_data({}) == {}


def test_proxies_that_are_believed_beside_its_own_certificate() -> None:
    proxy = FrontProxy(NOW, None, HEADER)
    data = proxy.config_data({})
    assert data["requestheader-allowed-names"] == f'["aggregator","{NAME}"]'
    assert data["requestheader-client-ca-file"].count("BEGIN CERTIFICATE") == 2


def test_what_other_servers_believe_stays_believed() -> None:
    other = pki.make_ca("other", NOW).certificate.decode()
    old = pki.make_ca("old", NOW - timedelta(days=3), days=1).certificate.decode()
    live = {
        "client-ca-file": old + other,
        "requestheader-client-ca-file": f"{other}{old}{CA.certificate.decode()}",
        "requestheader-allowed-names": '["theirs","aggregator",7]',
    }
    data = FrontProxy(NOW, PAIR, HEADER).config_data(live, USERS.certificate)
    assert data["client-ca-file"] == other + USERS.certificate.decode(), "what is over is not told"
    assert data["requestheader-client-ca-file"] == other + CA.certificate.decode()
    assert data["requestheader-allowed-names"] == '["theirs","aggregator"]'
    assert FrontProxy(NOW, PAIR, HEADER).config_data({**live, **data}, USERS.certificate) == data


def test_headers_of_other_servers_stay_beside_its_own() -> None:
    keys = ("username-headers", "group-headers", "extra-headers-prefix", "uid-headers")
    live = {f"requestheader-{key}": '["X-Theirs"]' for key in keys}
    data = FrontProxy(NOW, PAIR, HEADER).config_data(live)
    assert data["requestheader-username-headers"] == '["X-Theirs","X-U"]'
    assert data["requestheader-group-headers"] == '["X-Theirs","X-G"]'
    assert all(data.get(key, live[key]).startswith('["X-Theirs"') for key in live)


async def test_what_is_told_comes_back(api: Any) -> None:
    path = "/api/v1/namespaces/kube-system/configmaps/extension-apiserver-authentication"
    await api("DELETE", path)
    await api.server.aggregation.keep_published()
    before = await api.get(path)
    assert before["data"]["requestheader-allowed-names"] == f'["{NAME}"]'
    await api("PUT", path, {**await api.get(path), "data": {"mine": "x"}})
    await api.server.aggregation.keep_published()
    assert (await api.get(path))["data"] == {**before["data"], "mine": "x"}


@pytest.mark.parametrize("names", ["", "nonsense", "{}"])
def test_names_that_are_none(names: str) -> None:
    data = FrontProxy(NOW, PAIR, HEADER).config_data({"requestheader-allowed-names": names})
    assert data["requestheader-allowed-names"] == '["aggregator"]'


def test_headers_that_are_not_configured_are_not_told() -> None:
    data = FrontProxy(NOW, PAIR, RequestHeader(CA.certificate)).config_data({})
    assert "requestheader-uid-headers" not in data
    assert data["requestheader-allowed-names"] == "[]"


async def test_other_authorities_while_serving(serving: Any) -> None:
    path = "/api/v1/namespaces/kube-system/configmaps/extension-apiserver-authentication"
    proxies, users = pki.make_ca("new proxies", NOW), pki.make_ca("new users", NOW)

    def der(ca: pki.KeyPair, name: str) -> bytes:
        pair = pki.issue_client(ca, name, ["system:masters"], NOW)
        return x509.load_pem_x509_certificate(pair.certificate).public_bytes(Encoding.DER)

    async with serving(clock=FakeClock(NOW), request_header=HEADER, client_ca=USERS.certificate) as api:

        async def status(certificate: bytes, **headers: str) -> int:
            request = Request("GET", "/api/v1/nodes", "", headers, b"", shown_certificates=(certificate,))
            return int((await api.server.handler(request)).status)

        before, after = der(USERS, "carol"), der(users, "carol")
        as_proxy = {"x-u": "alice", "x-g": "system:masters"}
        assert (await status(before), await status(after)) == (200, 401)
        assert await status(der(proxies, "aggregator"), **as_proxy) == 401
        await api.server.trust(users.certificate, proxies.certificate)
        assert (await status(before), await status(after)) == (401, 200)
        assert await status(der(proxies, "aggregator"), **as_proxy) == 200
        assert await status(der(CA, "aggregator"), **as_proxy) == 401
        data = (await api.get(path))["data"]
        assert data["client-ca-file"] == (USERS.certificate + users.certificate).decode()
        assert data["requestheader-client-ca-file"].count("BEGIN CERTIFICATE") == 2, "and its own"


async def test_the_files_of_the_flags_are_used(serving: Any, tmp_path: Path) -> None:
    PAIR.write(tmp_path / "c.crt", tmp_path / "c.key")
    files = {"proxy_client_certificate": tmp_path / "c.crt", "proxy_client_key": tmp_path / "c.key"}
    async with serving(request_header=HEADER, **files) as api:
        assert api.server.aggregation.front_proxy.client.certificate == PAIR.certificate


async def test_a_certificate_that_was_written_anew(
    serving: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    PAIR.write(tmp_path / "c.crt", tmp_path / "c.key")
    files = {"proxy_client_certificate": tmp_path / "c.crt", "proxy_client_key": tmp_path / "c.key"}
    async with serving(request_header=HEADER, **files) as api:
        aggregation = api.server.aggregation
        before = aggregation.front_proxy
        aggregation.reload()
        assert aggregation.front_proxy is before
        other = pki.issue_client(CA, "aggregator", [], NOW)
        (tmp_path / "c.crt").write_bytes(other.certificate)
        aggregation.reload()
        assert aggregation.front_proxy is before, "its key is not there yet"
        assert "proxy client certificate not taken over" in caplog.text
        (tmp_path / "c.key").write_bytes(other.key)
        aggregation.reload()
        assert aggregation.front_proxy.client.certificate == other.certificate
        assert b"aggregator-reload-proxy-client-cert ok" in (await api("GET", "/readyz?verbose")).raw
