"""The API server's flags about who asks and what they may do, with upstream's names, turned into options."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit

import click
from click.core import ParameterSource

from tiphys.apiserver.authn import jwt_config, serviceaccount, tokenfile
from tiphys.apiserver.authn.jwt_config import ALGORITHMS, UNPAIRED, JwtConfig
from tiphys.apiserver.authn.requestheader import RequestHeader
from tiphys.apiserver.authz.abac import Policy, parse
from tiphys.apiserver.config_files import BadConfiguration, url_fault
from tiphys.apiserver.options import DEFAULT_ISSUER, TokenEntry
from tiphys.cmd.bundles import proxies_of, users_of
from tiphys.cmd.duration import DURATION

_F = TypeVar("_F", bound=Callable[..., Any])
_LEGACY: Final = (
    "authorization_mode",
    "authorization_webhook_config_file",
    "authorization_webhook_version",
    "authorization_webhook_cache_authorized_ttl",
    "authorization_webhook_cache_unauthorized_ttl",
)
"""Flags that a configuration file of authorizers takes the place of."""
_MODES: Final = ("ABAC", "AlwaysAllow", "AlwaysDeny", "Node", "RBAC", "Webhook")
_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_CERTIFICATE: Final = re.compile(rb"-----BEGIN CERTIFICATE-----(.*?)-----END CERTIFICATE-----", re.DOTALL)
_OVERLAPPING: Final = (
    "--requestheader-client-ca-file and --client-ca-file contain overlapping certificates; "
    "--requestheader-allowed-names must be specified to ensure regular client certificates cannot set "
    "authenticating proxy headers for arbitrary users"
)


class CommaList(click.ParamType[tuple[str, ...]]):
    """Names with commas between them."""

    name = "names"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, ...]:
        return value if isinstance(value, tuple) else tuple(one for one in value.split(",") if one)


_OPTIONS = (
    click.option("--authorization-mode", default=None, help="Node,RBAC,ABAC,Webhook,AlwaysAllow,AlwaysDeny"),
    click.option("--authorization-policy-file", type=_FILE, help="policies of mode ABAC, one a line"),
    click.option("--authorization-config", type=_FILE),
    click.option("--authorization-webhook-config-file", type=_FILE),
    click.option("--authorization-webhook-version", default="v1beta1", show_default=True),
    click.option("--authorization-webhook-cache-authorized-ttl", type=DURATION, default="5m"),
    click.option("--authorization-webhook-cache-unauthorized-ttl", type=DURATION, default="30s"),
    click.option("--anonymous-auth", type=bool, default=None),
    click.option("--authentication-config", type=_FILE),
    click.option("--token-auth-file", type=_FILE),
    click.option("--enable-bootstrap-token-auth", type=bool, default=False, is_flag=False, flag_value=True),
    click.option("--client-ca-file", type=_FILE),
    click.option("--requestheader-client-ca-file", type=_FILE),
    click.option("--requestheader-allowed-names", type=CommaList(), default=""),
    click.option("--requestheader-username-headers", type=CommaList(), default=""),
    click.option("--requestheader-uid-headers", type=CommaList(), default=""),
    click.option("--requestheader-group-headers", type=CommaList(), default=""),
    click.option("--requestheader-extra-headers-prefix", type=CommaList(), default=""),
    click.option("--proxy-client-cert-file", type=_FILE),
    click.option("--proxy-client-key-file", type=_FILE),
    click.option("--authentication-token-webhook-config-file", type=_FILE),
    click.option("--authentication-token-webhook-version", default="v1beta1", show_default=True),
    click.option("--authentication-token-webhook-cache-ttl", type=DURATION, default="2m"),
    click.option("--service-account-issuer", multiple=True, default=(DEFAULT_ISSUER,)),
    click.option("--service-account-jwks-uri", default=""),
    click.option("--service-account-signing-key-file", type=_FILE),
    click.option("--service-account-key-file", type=_FILE, multiple=True),
    click.option("--service-account-signing-endpoint", default="", help="socket of an external signer"),
    click.option("--service-account-extend-token-expiration", type=bool, default=True, show_default=True),
    click.option("--service-account-max-token-expiration", type=DURATION, default="0"),
    click.option("--service-account-lookup", type=bool, default=True, show_default=True),
    click.option("--api-audiences", type=CommaList(), default=""),
    click.option("--oidc-issuer-url", default=""),
    click.option("--oidc-client-id", default=""),
    click.option("--oidc-ca-file", type=_FILE),
    click.option("--oidc-username-claim", default="sub", show_default=True),
    click.option("--oidc-username-prefix", default=""),
    click.option("--oidc-groups-claim", default=""),
    click.option("--oidc-groups-prefix", default=""),
    click.option("--oidc-required-claim", multiple=True),
    click.option("--oidc-signing-algs", type=CommaList(), default="RS256", show_default=True),
)


def auth_flags(command: _F) -> _F:
    """Give a command these flags."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def auth_options(flags: dict[str, Any]) -> dict[str, Any]:
    """Return the options that the flags mean, reading the files that they name.

    Raises:
        click.BadParameter: flags that do not go together, or a file that cannot be used. OSError.
    """
    issuer, *further = flags["service_account_issuer"]
    _check(flags)
    return {
        "authorization_modes": tuple((flags["authorization_mode"] or "Node,RBAC").split(",")),
        "authorization_config": flags["authorization_config"],
        "authorization_policies": _policies(flags["authorization_policy_file"]),
        "authorization_webhook_config": flags["authorization_webhook_config_file"],
        "authorization_webhook_version": flags["authorization_webhook_version"],
        "authorization_webhook_authorized_ttl_s": flags["authorization_webhook_cache_authorized_ttl"],
        "authorization_webhook_unauthorized_ttl_s": flags["authorization_webhook_cache_unauthorized_ttl"],
        "anonymous_auth": flags["anonymous_auth"],
        "authentication_config": flags["authentication_config"],
        "tokens": _tokens(flags["token_auth_file"]),
        "enable_bootstrap_token_auth": flags["enable_bootstrap_token_auth"],
        "client_ca": users_of(flags["client_ca_file"]) if flags["client_ca_file"] is not None else b"",
        "request_header": _request_header(flags),
        "proxy_client_certificate": flags["proxy_client_cert_file"],
        "proxy_client_key": flags["proxy_client_key_file"],
        "token_webhook_config": flags["authentication_token_webhook_config_file"],
        "token_webhook_version": flags["authentication_token_webhook_version"],
        "token_webhook_cache_ttl_s": flags["authentication_token_webhook_cache_ttl"],
        "service_account_issuer": issuer,
        "further_service_account_issuers": tuple(further),
        "service_account_jwks_uri": flags["service_account_jwks_uri"],
        "service_account_signing_key": _bytes(flags["service_account_signing_key_file"]),
        "service_account_signing_endpoint": flags["service_account_signing_endpoint"],
        "service_account_public_keys": _public_keys(flags["service_account_key_file"]),
        "service_account_extend_token_expiration": flags["service_account_extend_token_expiration"],
        "service_account_max_token_expiration_s": int(flags["service_account_max_token_expiration"]),
        "service_account_lookup": flags["service_account_lookup"],
        "api_audiences": flags["api_audiences"],
        "oidc": _oidc(flags),
    }


def _modes(text: str) -> list[str]:
    """Return the modes of a flag that is not empty. Raises click.BadParameter."""
    modes = text.split(",") if text else []
    fault = next((f'"{one}" is not a valid mode' for one in modes if one not in _MODES), "")
    if len(set(modes)) < len(modes):
        shown = " ".join(f'"{one}"' for one in modes)
        fault = fault or f"[{shown}] has mode specified more than once"
    if fault:
        raise click.BadParameter(f"authorization-mode {fault}", param_hint="--authorization-mode")
    return modes


def _policies(path: Path | None) -> tuple[Policy, ...] | None:
    """Return the policies of mode ABAC. Raises click.BadParameter, OSError."""
    if path is None:
        return None
    try:
        return parse(path.read_text(encoding="utf-8"), str(path))
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--authorization-policy-file") from error


def _check(flags: dict[str, Any]) -> None:
    """Refuse what does not go together, as upstream does."""
    _check_oidc(flags)
    _check_service_accounts(flags)
    if flags["authorization_config"] and any(map(_is_said, _LEGACY)):
        raise click.BadParameter(
            "--authorization-config can not be specified when --authorization-mode or "
            "--authorization-webhook-* flags are defined",
            param_hint="--authorization-config",
        )
    modes = _modes(flags["authorization_mode"] or "")
    if flags["authorization_webhook_config_file"] and "Webhook" not in modes:
        raise click.BadParameter(
            "cannot specify --authorization-webhook-config-file without mode Webhook",
            param_hint="--authorization-webhook-config-file",
        )
    if "Webhook" in modes and not flags["authorization_webhook_config_file"]:
        raise click.BadParameter(
            "authorization-mode Webhook's authorization config file not passed",
            param_hint="--authorization-mode",
        )
    if flags["authorization_policy_file"] and not flags["authorization_config"] and "ABAC" not in modes:
        raise click.BadParameter(
            "cannot specify --authorization-policy-file without mode ABAC",
            param_hint="--authorization-policy-file",
        )
    if "ABAC" in modes and not flags["authorization_policy_file"]:
        raise click.BadParameter(
            "authorization-mode ABAC's authorization policy file not passed",
            param_hint="--authorization-mode",
        )
    if bool(flags["proxy_client_cert_file"]) != bool(flags["proxy_client_key_file"]):
        raise click.BadParameter(
            "--proxy-client-cert-file and --proxy-client-key-file must be specified together",
            param_hint="--proxy-client-cert-file",
        )


def _is_said(name: str) -> bool:
    """Tell whether a flag was given, whatever its value."""
    return click.get_current_context().get_parameter_source(name) is not ParameterSource.DEFAULT


def _check_oidc(flags: dict[str, Any]) -> None:
    said = [name for name in flags if name.startswith("oidc_") and _is_said(name)]
    if flags["authentication_config"] and said:
        raise click.BadParameter(
            "authentication-config file and oidc-* flags are mutually exclusive",
            param_hint="--authentication-config",
        )
    if said and not (flags["oidc_issuer_url"] and flags["oidc_client_id"]):
        raise click.BadParameter(UNPAIRED, param_hint=f"--{said[0].replace('_', '-')}")


def _check_service_accounts(flags: dict[str, Any]) -> None:
    hint = "--service-account-issuer"
    seen: set[str] = set()
    for issuer in flags["service_account_issuer"]:
        if not issuer:
            raise click.BadParameter("service-account-issuer should not be an empty string", param_hint=hint)
        fault = url_fault(issuer) if ":" in issuer else ""
        if fault:
            text = f"service-account-issuer \"{issuer}\" contained a ':' but was not a valid URL: {fault}"
            raise click.BadParameter(text, param_hint=hint)
        if issuer in seen:
            raise click.BadParameter(
                f'service-account-issuer "{issuer}" is already specified', param_hint=hint
            )
        seen.add(issuer)
    longest_s = flags["service_account_max_token_expiration"]
    if longest_s and not 3600 <= longest_s <= 1 << 32:
        raise click.UsageError(
            "the service-account-max-token-expiration must be between 1 hour and 2^32 seconds"
        )
    keys = flags["service_account_jwks_uri"]
    text = ""
    if fault := url_fault(keys):
        text = f"service-account-jwks-uri must be a valid URL: {fault}"
    elif keys and urlsplit(keys).scheme != "https":
        text = f"service-account-jwks-uri requires https scheme, parsed as: {keys}"
    if text:
        raise click.BadParameter(text, param_hint="--service-account-jwks-uri")
    for name in ("key", "signing_key") if flags["service_account_signing_endpoint"] else ():
        flag = f"--service-account-{name.replace('_', '-')}-file"
        if flags[f"service_account_{name}_file"]:
            raise click.BadParameter(
                f"{flag} and --service-account-signing-endpoint are mutually exclusive", param_hint=flag
            )


def _bytes(path: Path | None) -> bytes:
    return path.read_bytes() if path is not None else b""


def _tokens(path: Path | None) -> tuple[TokenEntry, ...]:
    if path is None:
        return ()
    try:
        return tokenfile.parse(path.read_text(), str(path))
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--token-auth-file") from error


def _public_keys(paths: tuple[Path, ...]) -> tuple[bytes, ...]:
    found = []
    for path in paths:
        pem = path.read_bytes()
        try:
            serviceaccount.load_public_keys(pem)
        except ValueError as error:
            raise click.BadParameter(f"{path}: {error}", param_hint="--service-account-key-file") from error
        found.append(pem)
    return tuple(found)


def _request_header(flags: dict[str, Any]) -> RequestHeader | None:
    if flags["requestheader_client_ca_file"] is None:
        return None
    hint = "--requestheader-client-ca-file"
    if not flags["requestheader_username_headers"]:
        raise click.BadParameter("requestheader-username-headers must be specified", param_hint=hint)
    clients, proxies = (
        {b"".join(found.split()) for found in _CERTIFICATE.findall(_bytes(flags[name]))}
        for name in ("client_ca_file", "requestheader_client_ca_file")
    )
    if clients & proxies and not flags["requestheader_allowed_names"]:
        raise click.BadParameter(_OVERLAPPING, param_hint=hint)
    return RequestHeader(
        proxies_of(flags["requestheader_client_ca_file"]),
        flags["requestheader_allowed_names"],
        flags["requestheader_username_headers"],
        flags["requestheader_uid_headers"],
        flags["requestheader_group_headers"],
        flags["requestheader_extra_headers_prefix"],
    )


def _oidc(flags: dict[str, Any]) -> JwtConfig | None:
    unknown = [one for one in flags["oidc_signing_algs"] if one not in ALGORITHMS]
    if unknown:
        raise click.BadParameter(
            f'oidc: unsupported signing alg: "{unknown[0]}"', param_hint="--oidc-signing-algs"
        )
    try:
        told = {**flags, "oidc_ca": _bytes(flags["oidc_ca_file"]).decode()}
        return jwt_config.from_flags(told, flags["service_account_issuer"])
    except BadConfiguration as error:
        raise click.BadParameter(str(error), param_hint="--oidc-issuer-url") from error
