"""The API server's flags about what clients of HTTP, browsers above all, are told; checked as upstream's."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

import click

from tiphys.cmd.component import FlagError
from tiphys.cmd.tracing_flags import tracing_from

_F = TypeVar("_F", bound=Callable[..., Any])
_STRICT = (
    "--strict-transport-security-directives invalid, allowed values: max-age=expireTime, includeSubDomains, "
    "preload. see https://tools.ietf.org/html/rfc6797#section-6.1 for more information"
)
_ORIGINS = (
    "List of allowed origins for CORS, comma separated. An allowed origin can be a regular expression "
    "to support subdomain matching. If this list is empty CORS will not be enabled. Please ensure each "
    "expression matches the entire hostname by anchoring to the start with '^' or including the '//' "
    "prefix, and by anchoring to the end with '$' or including the ':' port separator suffix. Examples "
    "of valid expressions are '//example.com(:|$)' and '^https://example.com(:|$)'"
)
"""What faults of origins end with."""
_RECONCILERS = ("lease", "master-count", "none")


class Origins(click.ParamType[tuple[str, ...]]):
    """Regular expressions with commas between them, empty ones too: those are refused later."""

    name = "origins"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, ...]:
        if isinstance(value, tuple):
            return value
        return tuple(value.split(",")) if value else ()


_OPTIONS = (
    click.option("--cors-allowed-origins", type=Origins(), default="", help="regular expressions"),
    click.option(
        "--strict-transport-security-directives",
        default=None,
        help="max-age=SECONDS, includeSubDomains, preload: what browsers are told",
    ),
    click.option("--tracing-config-file", default="", help="a TracingConfiguration: where spans go"),
    click.option("--external-hostname", default="", help="in URLs of this server; the advertised one else"),
    click.option(
        "--endpoint-reconciler-type",
        default="lease",
        show_default=True,
        help="none: the Service kubernetes gets no endpoints of this server",
    ),
    click.option(
        "--max-connection-bytes-per-sec",
        type=int,
        default=0,
        help="how fast bytes pass exec, attach, port-forward and other upgraded connections; 0: no limit",
    ),
    click.option(
        "--delete-collection-workers",
        type=int,
        default=1,
        help="how many objects of a collection are deleted at a time, which helps where webhooks are asked",
    ),
    click.option(
        "--apiserver-count",
        type=int,
        default=1,
        help="how many API servers there are: with several, new custom kinds are established after 5 s",
    ),
)


def http_flags(command: _F) -> _F:
    """Give a command these flags."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def http_options(flags: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options that the flags mean, which have no ``http_faults``. Raises FlagError."""
    reconciler = flags["endpoint_reconciler_type"]
    if reconciler not in _RECONCILERS:
        raise FlagError(f"--endpoint-reconciler-type must be one of {', '.join(_RECONCILERS)}")
    directives = flags["strict_transport_security_directives"]
    return {
        "cors_allowed_origins": flags["cors_allowed_origins"],
        "strict_transport_security": () if directives is None else tuple(directives.split(",")),
        "external_hostname": flags["external_hostname"],
        "tracing": tracing_from(flags["tracing_config_file"]),
        "api_servers": flags["apiserver_count"],
        "delete_collection_workers": flags["delete_collection_workers"],
        "publishes_endpoints": reconciler != "none",
        "max_connection_bytes_per_s": max(0, flags["max_connection_bytes_per_sec"]),
    }


def http_faults(flags: Mapping[str, Any]) -> Iterator[str]:
    """Say what is wrong with directives and origins, in upstream's words."""
    directives = flags["strict_transport_security_directives"]
    for directive in () if directives is None else directives.split(","):
        if not directive.strip():
            yield "empty value in strict-transport-security-directives"
            continue
        name, equals, _ = directive.partition("=")
        max_age = bool(equals) and name == "max-age" and directive.count("=") == 1
        if directive not in ("includeSubDomains", "preload") and not max_age:
            yield _STRICT
    for origin in flags["cors_allowed_origins"]:
        if not origin:
            yield f"empty value in --cors-allowed-origins, help: {_ORIGINS}"
        elif fault := _fault(origin):
            yield f"--cors-allowed-origins has an invalid regular expression: {fault}, help: {_ORIGINS}"


def _fault(origin: str) -> str:
    """Say what is wrong with a pattern: one that fits a part of a host's name would let strangers in."""
    try:
        re.compile(origin)
    except re.error as error:
        return str(error)
    pins = any(mark in origin for mark in ("^", "//")) and any(mark in origin for mark in ("$", ":"))
    return "" if pins else "regular expression does not pin to start/end of host in the origin header"
