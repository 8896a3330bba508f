"""Configuration files of components: one YAML document of a known kind, each field a flag under another name.

A table says which flag a field is. Fields that mean nothing here are known too: they are told once; unknown
ones are refused. A flag on the command line beats the file.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import field
from pathlib import Path
from typing import Any

import click
import yaml

from tiphys.apimachinery.dataclass import dataclass

log = logging.getLogger(__name__)

Convert = Callable[[Any], Any]


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of file. Fields are dotted paths."""

    api_version: str
    name: str
    flags: Mapping[str, str | tuple[str, Convert]]
    """Field to parameter of the command, with what makes its value of the field's."""
    idle: frozenset[str] = field(default_factory=frozenset)
    """Fields that have no effect; one stands for all below it."""
    lenient: bool = False
    """Unknown fields are told, not refused."""
    usual: Mapping[str, Any] = field(default_factory=dict)
    """Values of fields without effect that ask for none."""


def load(path: str) -> dict[str, Any]:
    """Read a file's one object. Raises click.FileError."""
    try:
        document = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise click.FileError(path, error.strerror or "") from error
    except yaml.YAMLError as error:
        raise click.FileError(path, f"no YAML: {error}") from error
    if not isinstance(document, dict):
        raise click.FileError(path, "no object")
    return document


def merge(base: dict[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Lay one document over another: objects are merged, all else is replaced."""
    merged = dict(base)
    for name, value in over.items():
        before = merged.get(name)
        merged[name] = merge(before, value) if isinstance(before, dict) and isinstance(value, dict) else value
    return merged


def parameters(document: Mapping[str, Any], kind: Kind) -> dict[str, Any]:
    """Return the command's parameters that a document sets. Raises click.UsageError."""
    if document.get("kind") != kind.name or document.get("apiVersion") != kind.api_version:
        kind_name, version = document.get("kind"), document.get("apiVersion")
        raise click.UsageError(f'no kind "{kind_name}" is registered for version "{version}" in scheme')
    found: dict[str, Any] = {}
    unknown: list[str] = []
    idle: list[str] = []
    for path, value in _leaves(document, kind):
        if path in ("kind", "apiVersion"):
            continue
        target = kind.flags.get(path)
        if target is None and path in kind.usual and kind.usual[path] == value:
            continue  # as kubeadm writes it down: what is so anyway
        if target is None:
            (idle if _is_idle(path, kind) else unknown).append(path)
        elif not _is_usual(value):
            name, convert = (target, _as_it_is) if isinstance(target, str) else target
            found[name] = convert(value)
    if unknown:
        named = ", ".join(f'unknown field "{path}"' for path in unknown)
        if not kind.lenient:
            raise click.UsageError(f"strict decoding error: {named}")
        log.warning("%s", named)
    if idle:
        log.warning("fields of %s that have no effect here: %s", kind.name, ", ".join(sorted(set(idle))))
    return found


def _leaves(document: Mapping[str, Any], kind: Kind, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield each field that the table may know, with its value; empty objects say nothing."""
    for name, value in document.items():
        path = f"{prefix}{name}"
        if path in kind.flags or not isinstance(value, dict):
            if path in kind.flags or not _is_usual(value) or not _is_idle(path, kind):
                yield path, value
        else:
            yield from _leaves(value, kind, f"{path}.")


def _is_idle(path: str, kind: Kind) -> bool:
    parts = path.split(".")
    return any(".".join(parts[:end]) in kind.idle for end in range(1, len(parts) + 1))


def _is_usual(value: Any) -> bool:
    """Say whether a value is Go's zero, which stands for the default. False is a choice of its own."""
    return value is None or value in ("", "0s", "0") or value == [] or (value == 0 and value is not False)


def _as_it_is(value: Any) -> Any:
    return value


def comma_list(value: Any) -> str:
    """Return a list as its flag takes it."""
    return ",".join(str(one) for one in value)


def pairs(sign: str = "=") -> Convert:
    """Return what writes an object as its flag takes it: ``name=value``, by commas."""
    return lambda value: ",".join(f"{name}{sign}{one}" for name, one in value.items())
