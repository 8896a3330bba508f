"""Flags about other API servers: what they mean, and upstream's refusals."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tiphys.apimachinery.featuregates import DEFAULTS, resolve
from tiphys.cmd.component import FlagError
from tiphys.cmd.peer_flags import peer_options

NONE: dict[str, Any] = {
    "peer_ca_file": None, "peer_advertise_ip": "", "peer_advertise_port": "", "proxy_client_cert_file": None
}  # fmt: skip
OFF = resolve({"UnknownVersionInteroperabilityProxy": False})
HERE = ("10.0.0.1", 6443)


@pytest.mark.parametrize(
    ("flags", "want"),
    [
        ({}, HERE),
        ({"peer_advertise_ip": "1.2.3.4"}, HERE),
        ({"peer_advertise_port": "1"}, HERE),
        ({"peer_advertise_ip": "1.2.3.4", "peer_advertise_port": "7443"}, ("1.2.3.4", 7443)),
    ],
)
def test_where_peers_find_this_server(flags: dict[str, Any], want: tuple[str, int]) -> None:
    assert peer_options({**NONE, **flags}, DEFAULTS, HERE) == {"peer_ca": b"", "peer_address": want}


def test_the_authority_is_read(tmp_path: Path) -> None:
    (tmp_path / "ca").write_bytes(b"pem")
    flags = {**NONE, "peer_ca_file": tmp_path / "ca", "proxy_client_cert_file": tmp_path / "c"}
    assert peer_options(flags, DEFAULTS, HERE)["peer_ca"] == b"pem"


def test_without_the_feature() -> None:
    assert peer_options(NONE, OFF, HERE) == {}


_OFF = "requires UnknownVersionInteroperabilityProxy feature to be turned on"


@pytest.mark.parametrize(
    ("flags", "gates", "text"),
    [
        ({"peer_ca_file": Path("foo")}, OFF, f"--peer-ca-file {_OFF}"),
        ({"peer_advertise_ip": "1.2.3.4"}, OFF, f"--peer-advertise-ip {_OFF}"),
        ({"peer_advertise_port": "1"}, OFF, f"--peer-advertise-port {_OFF}"),
        ({"peer_ca_file": Path("foo")}, DEFAULTS,
         "error building peer proxy handler, proxy-cert-file not specified"),
        ({"peer_advertise_ip": "1.2.3.4", "peer_advertise_port": "x"}, DEFAULTS,
         'parsing "x": invalid syntax'),
    ],
)  # fmt: skip
def test_refused(flags: dict[str, Any], gates: Any, text: str) -> None:
    with pytest.raises(FlagError) as caught:
        peer_options({**NONE, **flags}, gates, HERE)
    assert text in str(caught.value)
