"""Configuration files of ``apiserver.config.k8s.io``: what those of the API server's parts share.

Owns: YAML, kind and version, fields that there are not, wrong types, what is no URL, and how several faults
are told in one text. Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, TypeVar

from tiphys.apimachinery import go_yaml
from tiphys.apimachinery.cel.library.urls import parse_request_uri
from tiphys.apimachinery.dataclass import dataclass
from tiphys.apimachinery.errors import FieldError
from tiphys.apimachinery.schema.type_meta import NO_KIND

_VERSIONS: Final = tuple(f"apiserver.config.k8s.io/{version}" for version in ("v1", "v1beta1", "v1alpha1"))
_HEAD: Final = ("apiVersion", "kind")
_NO_REQUEST: Final = "invalid URI for request"
T = TypeVar("T")
Fields = Mapping[str, "Fields | None"]
"""The fields of a kind by name, None where nothing is below. A list has those of its elements."""


class BadConfiguration(ValueError):
    """No valid configuration, of a file or of flags; the text lists every fault."""

    def __init__(self, text: str, kind: str = "") -> None:
        super().__init__(text)
        self.kind = kind


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of configuration: its fields, and what introduces the faults of a file.

    ``unreadable`` introduces those of a text that cannot be decoded, ``invalid`` all others. ``secret`` texts
    are not quoted.
    """

    name: str
    fields: Fields
    unreadable: str = ""
    invalid: str = ""
    versions: tuple[str, ...] = _VERSIONS
    also: tuple[str, str] = ("", "")
    """Another kind and version that such files may give themselves."""
    secret: bool = False


def fields(*leaves: str, **nested: Fields) -> Fields:
    """Return fields: some without anything below, some with."""
    return {**dict.fromkeys(leaves), **nested}


def read_file(text: str, kind: Kind, read: Callable[[dict[str, Any], list[FieldError]], T]) -> T:
    """Return what ``read`` makes of a file's document; it appends the faults that it finds to its list.

    Raises:
        BadConfiguration: with every fault.
    """
    try:
        document = _decoded(text, kind)
    except ValueError as error:
        raise BadConfiguration(f"{kind.unreadable}{error}", kind.name) from error
    faults: list[FieldError] = []
    try:
        made = read(document, faults)
    except BadConfiguration:
        raise
    except ValueError as error:
        raise BadConfiguration(f"{kind.unreadable}{error}", kind.name) from error
    except (AttributeError, TypeError, KeyError) as error:
        text = f"{kind.unreadable}a field of the {kind.name} has the wrong type"
        raise BadConfiguration(text, kind.name) from error
    if faults:
        raise BadConfiguration(f"{kind.invalid}{joined(faults)}", kind.name)
    return made


def _decoded(text: str, kind: Kind) -> dict[str, Any]:
    """Return the document of a file. Raises ValueError where it is none of that kind."""
    shown = "" if kind.secret else f" in '{text}'"
    document, _ = go_yaml.load(text)
    if document is None:
        raise ValueError(f"Object 'Kind' is missing{shown}")
    if not isinstance(document, dict):
        raise ValueError(f"{NO_KIND}: the document is no object")
    found, version = document.get("kind"), document.get("apiVersion")
    if not found:
        raise ValueError(f"Object 'Kind' is missing{shown}")
    if not version:
        raise ValueError(f"Object 'apiVersion' is missing{shown}")
    if (found != kind.name or version not in kind.versions) and (found, version) != kind.also:
        raise ValueError(f'no kind "{found}" is registered for version "{version}"')
    if strange := strangeness(text, document, kind.fields):
        raise ValueError(strange)
    return document


def strangeness(text: str, document: Mapping[str, Any], known: Fields) -> str:
    """Tell of keys that come twice and of fields that there are not; nothing where all is well."""
    strange = [*_repeated(text), *_unknown(document, {**dict.fromkeys(_HEAD), **known}, "")]
    return f"strict decoding error: {', '.join(strange)}" if strange else ""


def _repeated(text: str) -> list[str]:
    """Tell of the keys that one object has twice, as Go's reader of YAML does."""
    return go_yaml.doubled_fault(go_yaml.load(text)[1])


def _unknown(value: Any, fields: Fields, path: str) -> list[str]:
    if isinstance(value, list):
        return [text for at, one in enumerate(value) for text in _unknown(one, fields, f"{path}[{at}]")]
    if not isinstance(value, Mapping):
        return []
    found: list[str] = []
    for key, below in value.items():
        where = f"{path}.{key}" if path else str(key)
        if key not in fields:
            found.append(f'unknown field "{where}"')
        elif (nested := fields[key]) is not None:
            found += _unknown(below, nested, where)
    return found


def url_fault(url: str) -> str:
    """Say why a text is no URL, absolute or not, in Go's words; nothing where it is one."""
    try:
        parse_request_uri(url)
    except ValueError as error:
        text = str(error)
    else:
        return ""
    if not url or not text.endswith(_NO_REQUEST):
        return text if url else ""
    return _path_fault(url.partition("#")[0].partition("?")[0], text.removesuffix(_NO_REQUEST))


def _path_fault(path: str, introduction: str) -> str:
    """Say why a text is no path that goes on from another URL."""
    if ":" in path.partition("/")[0]:
        return f"{introduction}first path segment in URL cannot contain colon"
    try:
        parse_request_uri(f"/{path}")
    except ValueError as error:
        return f"{introduction}{str(error).partition(': ')[2]}"
    return ""


def joined(faults: Iterable[FieldError]) -> str:
    """Return faults as one text, each told once."""
    lines = list(dict.fromkeys(str(fault) for fault in faults))
    return lines[0] if len(lines) == 1 else f"[{', '.join(lines)}]"
