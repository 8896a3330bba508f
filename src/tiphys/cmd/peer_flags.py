"""The API server's flags about other API servers over the same store; checked as upstream's."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import click

from tiphys.apimachinery.featuregates import FeatureGates
from tiphys.cmd.component import FlagError

_F = TypeVar("_F", bound=Callable[..., Any])
_GATE = "UnknownVersionInteroperabilityProxy"
_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_OPTIONS = (
    click.option(
        "--peer-ca-file",
        type=_FILE,
        help="who signs the certificates of other API servers, which may serve what this one does not",
    ),
    click.option(
        "--peer-advertise-ip", default="", help="where they find this one; else the advertised address"
    ),
    click.option("--peer-advertise-port", default="", help="the same; else the secure port"),
)


def peer_flags(command: _F) -> _F:
    """Give a command these flags."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def peer_options(
    flags: Mapping[str, Any], gates: FeatureGates, advertised: tuple[str, int]
) -> dict[str, Any]:
    """Return the options that the flags mean. Raises FlagError, OSError."""
    names = ("peer-ca-file", "peer-advertise-ip", "peer-advertise-port")
    if not gates.enabled(_GATE):
        for name in names:
            if flags[name.replace("-", "_")]:
                raise FlagError(f"--{name} requires {_GATE} feature to be turned on")
        return {}
    path = flags["peer_ca_file"]
    if path is not None and flags["proxy_client_cert_file"] is None:
        raise FlagError("error building peer proxy handler, proxy-cert-file not specified")
    return {
        "peer_ca": path.read_bytes() if path is not None else b"",
        "peer_address": _address(flags["peer_advertise_ip"], flags["peer_advertise_port"], advertised),
    }


def _address(ip: str, port: str, advertised: tuple[str, int]) -> tuple[str, int]:
    """Return where peers find this server: as told where both are, else the advertised address."""
    if not ip or not port:
        return advertised
    if not port.isdigit():
        raise FlagError(f'strconv.Atoi: parsing "{port}": invalid syntax')
    return ip, int(port)
