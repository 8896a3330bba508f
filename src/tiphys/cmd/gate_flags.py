"""Flags that every component has: ``--feature-gates``, and TLS of its endpoint."""

from __future__ import annotations

import logging
import ssl
from collections.abc import Callable, Mapping
from typing import Any

import click

from tiphys.apimachinery.compatibility import BINARY, VersionError, effective
from tiphys.apimachinery.featuregates import FeatureGateError, FeatureGates, parse, resolve
from tiphys.cmd.component import FlagError
from tiphys.wire.tls_options import HTTP1, HTTP2, TlsOptionError, TlsOptions, read

log = logging.getLogger(__name__)


def gate_flags(command: Callable[..., None]) -> Callable[..., None]:
    """Add the flags; ``read_gates`` takes them out of the command's keywords."""
    return click.option("--feature-gates", default="", help="Name=true or Name=false, by commas.")(command)


def emulation_flags(command: Callable[..., None]) -> Callable[..., None]:
    """Add the flags of components that can behave as an older version of theirs."""
    for flag in (
        click.option("--emulated-version", default="", help="Behave as this version, as 1.35 or kube=1.35."),
        click.option("--min-compatibility-version", default="", help="Stay compatible with this one."),
    ):
        command = flag(command)
    return command


def _versions(flags: Mapping[str, Any]) -> list[list[str]]:
    names = ("emulated_version", "min_compatibility_version")
    return [[one for one in flags.get(name, "").split(",") if one] for name in names]


def is_emulating(flags: Mapping[str, Any]) -> bool:
    """Whether a component is to behave as an older version of its. What cannot be read is told elsewhere."""
    try:
        return effective(*_versions(flags)).emulated != BINARY
    except VersionError:
        return True


def read_gates(flags: dict[str, Any]) -> FeatureGates:
    """Return the gates, and say which of them need not be set. Raises FlagError."""
    versions = _versions(flags)
    for name in ("emulated_version", "min_compatibility_version"):
        flags.pop(name, "")
    try:
        gates = resolve(parse(flags.pop("feature_gates")), effective(*versions))
    except (FeatureGateError, VersionError) as error:
        raise FlagError(str(error)) from error
    for warning in gates.warnings():
        log.warning("%s", warning)
    return gates


class Numbers(click.ParamType[tuple[int, ...]]):
    """Whole numbers by commas, as pflag reads those of 32 bits."""

    name = "numbers"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, ...]:
        if isinstance(value, tuple | list):
            return tuple(value)
        flag = param.opts[0] if param is not None else ""
        return tuple(_number(one, value, flag) for one in str(value).split(",") if value)


def _number(text: str, value: str, flag: str) -> int:
    why = "invalid syntax"
    try:
        number = int(text, 0)
        if -(1 << 31) <= number < 1 << 31:
            return number
        why = "value out of range"
    except ValueError:
        pass
    raise FlagError(
        f'invalid argument "{value}" for "{flag}" flag: strconv.ParseInt: parsing "{text}": {why}'
    )


def tls_flags(command: Callable[..., None]) -> Callable[..., None]:
    """Add the flags; ``read_tls`` takes them out of the command's keywords."""
    for flag in (
        click.option("--tls-cipher-suites", default="", help="Of TLS up to 1.2, by commas."),
        click.option("--tls-min-version", default="", help="VersionTLS12 when not given."),
        click.option(
            "--tls-curve-preferences",
            type=Numbers(),
            default="",
            help="By which keys are agreed on, by TLS's numbers and commas: 23 is P-256, 29 X25519, ...",
        ),
    ):
        command = flag(command)
    return command


def read_tls(flags: dict[str, Any]) -> TlsOptions:
    """Return which TLS to speak. Raises FlagError."""
    suites = [one for one in flags.pop("tls_cipher_suites").split(",") if one]
    protocols = HTTP1 if flags.pop("disable_http2_serving", False) else HTTP2
    try:
        options = read(flags.pop("tls_min_version"), suites, protocols, flags.pop("tls_curve_preferences"))
        if options.curves:
            options.apply(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))
        return options
    except TlsOptionError as error:
        raise FlagError(str(error)) from error
