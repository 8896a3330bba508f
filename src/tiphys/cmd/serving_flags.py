"""Flags of a component's own endpoint, which the controller manager and the scheduler share."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import click

from tiphys.client.delegated import OPEN_PATHS, DelegatedOptions
from tiphys.client.endpoint import EndpointOptions
from tiphys.cmd.duration import DURATION
from tiphys.cmd.election_flags import Decorator, go_bool

TLS_VERSIONS: Final = {"VersionTLS12": ssl.TLSVersion.TLSv1_2, "VersionTLS13": ssl.TLSVersion.TLSv1_3}
_SECRET: Final = ("token", "password")


def serving_flags(port: int) -> Decorator:
    """Add the flags; ``read_serving`` takes them out of the command's keywords."""
    flags = (
        click.option("--bind-address", default="0.0.0.0", show_default=True, help="Of health and metrics."),
        click.option(
            "--secure-port", default=port, show_default=True, help="Of health and metrics; 0: none."
        ),
        click.option("--tls-cert-file", default="", help="Certificate of the endpoint; self-made otherwise."),
        click.option("--tls-private-key-file", default="", help="Its key."),
        click.option(
            "--tls-min-version", type=click.Choice(["VersionTLS12", "VersionTLS13"]), default="VersionTLS12"
        ),
        click.option(
            "--client-ca-file", default="", help="Signs client certificates; the cluster's otherwise."
        ),
        go_bool("--authentication-skip-lookup", default=False, help="Do not look that up."),
        click.option("--authentication-kubeconfig", default="", help="With what to ask who callers are."),
        click.option("--authorization-kubeconfig", default="", help="The same, for what they may do."),
        click.option("--authorization-always-allow-paths", default=",".join(OPEN_PATHS), show_default=True),
        click.option("--authentication-token-webhook-cache-ttl", type=DURATION, default="10s"),
        click.option("--authorization-webhook-cache-authorized-ttl", type=DURATION, default="10s"),
        click.option("--authorization-webhook-cache-unauthorized-ttl", type=DURATION, default="10s"),
    )

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        for flag in reversed(flags):
            command = flag(command)
        return command

    return decorate


def read_serving(flags: dict[str, Any], configuration: Mapping[str, Any] | None = None) -> EndpointOptions:
    """Return what the flags mean, and take them away. Raises click.FileError for an unreadable authority."""
    ctx = click.get_current_context(silent=True)
    shown = {
        name.replace("_", "-"): _shown(name, value) for name, value in (ctx.params if ctx else {}).items()
    }
    authority = flags.pop("client_ca_file")
    certificate, key = flags.pop("tls_cert_file"), flags.pop("tls_private_key_file")
    paths = flags.pop("authorization_always_allow_paths")
    flags.pop("authorization_kubeconfig")
    return EndpointOptions(
        address=flags.pop("bind_address"),
        port=flags.pop("secure_port"),
        certificate=Path(certificate) if certificate else None,
        key=Path(key) if key else None,
        minimum_tls=TLS_VERSIONS[flags.pop("tls_min_version")],
        client_ca=_bytes(authority) if authority else b"",
        look_up_client_ca=not flags.pop("authentication_skip_lookup"),
        access=DelegatedOptions(
            open_paths=tuple(one for one in paths.split(",") if one),
            token_ttl_s=flags.pop("authentication_token_webhook_cache_ttl"),
            authorized_ttl_s=flags.pop("authorization_webhook_cache_authorized_ttl"),
            unauthorized_ttl_s=flags.pop("authorization_webhook_cache_unauthorized_ttl"),
        ),
        flags=shown,
        configuration=configuration or {},
    )


def _shown(name: str, value: Any) -> str:
    if any(word in name for word in _SECRET) and isinstance(value, str):
        return "<redacted>"
    return str(value).lower() if isinstance(value, bool) else str("" if value is None else value)


def _bytes(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise click.FileError(path, error.strerror or "") from error
