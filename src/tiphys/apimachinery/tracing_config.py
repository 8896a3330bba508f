"""What a TracingConfiguration says: where spans go, and of how many requests there are some. Pure.

Owns: its fields, their bounds, upstream's words. Called by the API server's command for a file of its own,
and by the kubelet's for a part of its configuration.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from tiphys.apimachinery.dataclass import dataclass
from tiphys.apimachinery.errors import FieldError
from tiphys.apimachinery.field_errors import invalid
from tiphys.apimachinery.tracing import MILLION

KIND: Final = "TracingConfiguration"
VERSIONS: Final = tuple(f"apiserver.config.k8s.io/{version}" for version in ("v1alpha1", "v1beta1", "v1"))
_FIELDS: Final = {"endpoint": str, "samplingRatePerMillion": int}
_SCHEMES: Final = ("dns", "unix", "unix-abstract")
_SCHEME: Final = re.compile(r"([A-Za-z][-+.A-Za-z0-9]*):")
_NAMING: Final = "https://github.com/grpc/grpc/blob/master/doc/naming.md"


class BadTracing(ValueError):
    """No valid configuration; the text is upstream's."""


@dataclass(frozen=True, slots=True)
class TracingOptions:
    """Where spans go; ``endpoint`` empty: to a collector on this machine."""

    endpoint: str = ""
    per_million: int = 0
    """Of so many requests that begin a trace there are spans. Those of traces begun elsewhere go by that."""


def read_document(document: Any) -> TracingOptions:
    """Return what a file of the API server says. Raises BadTracing."""
    found = document if isinstance(document, dict) else {}
    kind, version = found.get("kind") or "", found.get("apiVersion") or ""
    if kind != KIND or version not in VERSIONS:
        why = f'no kind "{kind}" is registered for version "{version}"'
        raise BadTracing(f"failed to read tracing config: unable to decode tracing configuration data: {why}")
    try:
        return read({key: value for key, value in found.items() if key not in ("kind", "apiVersion")}, "")
    except BadTracing as error:
        raise BadTracing(f"failed to validate tracing configuration: {error}") from error


def read(document: Mapping[str, Any], path: str) -> TracingOptions:
    """Return what a section at a path says. Raises BadTracing: with every fault."""
    unknown = [key for key in document if key not in _FIELDS]
    if unknown:
        named = ", ".join(f'unknown field "{_at(path, key)}"' for key in unknown)
        raise BadTracing(f"strict decoding error: {named}")
    for key, kind in _FIELDS.items():
        value = document.get(key)
        if value is not None and (not isinstance(value, kind) or isinstance(value, bool)):
            raise BadTracing(f"{_at(path, key)}: must be of type {kind.__name__}")
    rate, endpoint = document.get("samplingRatePerMillion"), document.get("endpoint")
    faults = [] if rate is None else _rate(rate, _at(path, "samplingRatePerMillion"))
    faults += [] if endpoint is None else _endpoint(endpoint, _at(path, "endpoint"))
    if faults:
        lines = [str(fault) for fault in faults]
        raise BadTracing(lines[0] if len(lines) == 1 else f"[{', '.join(lines)}]")
    return TracingOptions(endpoint or "", rate or 0)


def _at(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key


def _rate(rate: int, path: str) -> list[FieldError]:
    if rate < 0:
        return [invalid(path, rate, "sampling rate must be positive")]
    if rate > MILLION:
        return [invalid(path, rate, "sampling rate per million must be less than or equal to one million")]
    return []


def _endpoint(endpoint: str, path: str) -> list[FieldError]:
    whole = endpoint if "//" in endpoint else f"dns://{endpoint}"
    found = _SCHEME.match(whole)
    scheme = found.group(1).lower() if found else ""
    text = _url_fault(whole, scheme)
    if not text and scheme not in _SCHEMES:
        text = f"unsupported scheme: {scheme}.  Options are none, dns, unix, or unix-abstract.  See {_NAMING}"
    return [invalid(path, whole, text)] if text else []


def _url_fault(whole: str, scheme: str) -> str:
    """Say why a text is no URL, in Go's words; nothing where it is one."""
    from tiphys.apimachinery.cel.library.urls import parse_request_uri  # few have a file that says this

    first = whole.partition("/")[0]
    if not scheme and ":" in first and not whole.startswith(":"):
        return f'parse "{whole}": first path segment in URL cannot contain colon'
    try:
        parse_request_uri(whole if ":" in first else f"/{whole}")
    except ValueError as error:
        return str(error)
    return ""
