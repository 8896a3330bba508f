"""As whom the server shows itself to extension servers, and what it tells them to believe."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tiphys.apimachinery.clock import RealClock
from tiphys.apiserver.aggregation.front_proxy import NAME, FrontProxy
from tiphys.apiserver.authn.requestheader import RequestHeader
from tiphys.wire import pki

NOW = RealClock().now()
CA = pki.make_ca("proxies", NOW)
PAIR = pki.issue_client(CA, "aggregator", [], NOW)
HEADER = RequestHeader(CA.certificate, ("aggregator",), ("X-U",), ("X-I",), ("X-G",), ("X-E-",))


def test_its_own_authority() -> None:
    proxy = FrontProxy(NOW)
    data = proxy.config_data()
    assert data["requestheader-allowed-names"] == f'["{NAME}"]'
    assert data["requestheader-uid-headers"] == '["X-Remote-Uid"]'
    assert data["requestheader-client-ca-file"] == proxy.authority.decode()
    other = FrontProxy(NOW).authority.decode()
    assert proxy.config_data(other)["requestheader-client-ca-file"] == other + proxy.authority.decode()


def test_what_is_configured_is_told() -> None:
    assert FrontProxy(NOW, PAIR, HEADER).config_data("anything") == {
        "requestheader-allowed-names": '["aggregator"]',
        "requestheader-client-ca-file": CA.certificate.decode(),
        "requestheader-extra-headers-prefix": '["X-E-"]',
        "requestheader-group-headers": '["X-G"]',
        "requestheader-uid-headers": '["X-I"]',
        "requestheader-username-headers": '["X-U"]',
    }


def test_a_certificate_without_its_authority() -> None:
    assert FrontProxy(NOW, PAIR).config_data() == {}


def test_proxies_that_are_believed_beside_its_own_certificate() -> None:
    proxy = FrontProxy(NOW, None, HEADER)
    data = proxy.config_data()
    assert data["requestheader-allowed-names"] == f'["aggregator","{NAME}"]'
    assert data["requestheader-client-ca-file"].count("BEGIN CERTIFICATE") == 2


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
