"""Configuration files of ``apiserver.config.k8s.io``: what those of authentication and authorization share.

Owns: YAML, kind and version, wrong types, and how several faults are told in one text. Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final, TypeVar

import yaml

from tiphys.apimachinery.errors import FieldError

_VERSIONS: Final = tuple(f"apiserver.config.k8s.io/{version}" for version in ("v1", "v1beta1", "v1alpha1"))
T = TypeVar("T")


class BadConfiguration(ValueError):
    """No valid configuration, of a file or of flags; the text lists every fault."""

    def __init__(self, text: str, kind: str = "") -> None:
        super().__init__(text)
        self.kind = kind


def read_file(
    text: str, kind: str, unreadable: str, read: Callable[[dict[str, Any], list[FieldError]], T]
) -> T:
    """Return what ``read`` makes of a file's document; it appends the faults that it finds to its list.

    ``unreadable`` introduces what is said of a text that is no YAML.

    Raises:
        BadConfiguration: with every fault.
    """
    try:
        document = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise BadConfiguration(f"{unreadable}: {error}", kind) from error
    if not isinstance(document, dict) or document.get("kind") != kind:
        found = document.get("kind") if isinstance(document, dict) else None
        raise BadConfiguration(f'expected {kind}, got "{found or ""}"', kind)
    if document.get("apiVersion") not in _VERSIONS:
        raise BadConfiguration(
            f'no kind "{kind}" is registered for version "{document.get("apiVersion")}"', kind
        )
    faults: list[FieldError] = []
    try:
        made = read(document, faults)
    except (AttributeError, TypeError) as error:
        raise BadConfiguration(f"a field of the {kind} has the wrong type", kind) from error
    if faults:
        raise BadConfiguration(joined(faults), kind)
    return made


def joined(faults: Iterable[FieldError]) -> str:
    """Return faults as one text, each told once."""
    lines = list(dict.fromkeys(str(fault) for fault in faults))
    return lines[0] if len(lines) == 1 else f"[{', '.join(lines)}]"
