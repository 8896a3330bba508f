"""Flags of a component's own endpoint, which the controller manager and the scheduler share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from tiphys.client.delegated import OPEN_PATHS, DelegatedOptions
from tiphys.client.endpoint import EndpointOptions
from tiphys.client.front_proxies import ProxyHeaders
from tiphys.cmd.bundles import proxies_of, users_of
from tiphys.cmd.component import shown_flags
from tiphys.cmd.duration import DURATION
from tiphys.cmd.election_flags import Decorator, go_bool
from tiphys.cmd.gate_flags import emulation_flags, gate_flags, read_gates, read_tls, tls_flags
from tiphys.cmd.http2_flags import http2_flags, read_limits
from tiphys.cmd.metrics_flags import apply_metrics, metrics_flags

_PROXY_FLAGS = {
    "allowed_names": "requestheader_allowed_names",
    "username_headers": "requestheader_username_headers",
    "uid_headers": "requestheader_uid_headers",
    "group_headers": "requestheader_group_headers",
    "extra_prefixes": "requestheader_extra_headers_prefix",
}


def serving_flags(port: int) -> Decorator:
    """Add the flags; ``read_serving`` takes them out of the command's keywords."""
    flags = (
        click.option("--bind-address", default="0.0.0.0", show_default=True, help="Of health and metrics."),
        click.option(
            "--secure-port", default=port, show_default=True, help="Of health and metrics; 0: none."
        ),
        click.option("--tls-cert-file", default="", help="Certificate of the endpoint; self-made otherwise."),
        click.option("--tls-private-key-file", default="", help="Its key."),
        tls_flags,
        http2_flags,
        gate_flags,
        emulation_flags,
        metrics_flags,
        click.option(
            "--client-ca-file", default="", help="Signs client certificates; the cluster's otherwise."
        ),
        go_bool("--authentication-skip-lookup", default=False, help="Do not look that up."),
        click.option("--authentication-kubeconfig", default="", help="With what to ask who callers are."),
        click.option("--authorization-kubeconfig", default="", help="The same, for what they may do."),
        click.option(
            "--requestheader-client-ca-file", default="", help="Signs front proxies; the cluster's otherwise."
        ),
        click.option("--requestheader-allowed-names", default="", help="Of front proxies; all otherwise."),
        click.option("--requestheader-username-headers", default="x-remote-user", show_default=True),
        click.option("--requestheader-uid-headers", default=""),
        click.option("--requestheader-group-headers", default="x-remote-group", show_default=True),
        click.option("--requestheader-extra-headers-prefix", default="x-remote-extra-", show_default=True),
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


def read_serving(flags: dict[str, Any]) -> EndpointOptions:
    """Return what the flags mean, and take them away. Raises click.FileError, FlagError."""
    authority = flags.pop("client_ca_file")
    certificate, key = flags.pop("tls_cert_file"), flags.pop("tls_private_key_file")
    paths = flags.pop("authorization_always_allow_paths")
    proxies = flags.pop("requestheader_client_ca_file")
    flags.pop("authorization_kubeconfig")
    apply_metrics(flags)
    return EndpointOptions(
        address=flags.pop("bind_address"),
        port=flags.pop("secure_port"),
        certificate=Path(certificate) if certificate else None,
        key=Path(key) if key else None,
        tls=read_tls(flags),
        limits=read_limits(flags),
        gates=read_gates(flags),
        client_ca=_checked(users_of, authority),
        look_up_client_ca=not flags.pop("authentication_skip_lookup"),
        proxies_ca=_checked(proxies_of, proxies),
        proxy_headers=ProxyHeaders(
            **{name: tuple(filter(None, flags.pop(flag).split(","))) for name, flag in _PROXY_FLAGS.items()}
        ),
        access=DelegatedOptions(
            open_paths=tuple(one for one in paths.split(",") if one),
            token_ttl_s=flags.pop("authentication_token_webhook_cache_ttl"),
            authorized_ttl_s=flags.pop("authorization_webhook_cache_authorized_ttl"),
            unauthorized_ttl_s=flags.pop("authorization_webhook_cache_unauthorized_ttl"),
        ),
        flags=shown_flags(),
    )


def _checked(read: Callable[[Path], bytes], name: str) -> Path | None:
    """Return the path of a flag's authorities, None without one. Raises what ``read`` does."""
    path = Path(name) if name else None
    if path is not None:
        read(path)
    return path
