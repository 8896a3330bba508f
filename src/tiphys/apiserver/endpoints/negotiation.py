"""Which form an answer takes: media type, Table or PartialObjectMetadata, pretty or not.

Pure. Source: the "API concepts" page: alternate representations, Table, ``as=...;v=...;g=...``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

from tiphys.apimachinery.dataclass import dataclass
from tiphys.apimachinery.errors import NotAcceptable, UnsupportedMediaType
from tiphys.apimachinery.go_text import BOOLS
from tiphys.apimachinery.short_memory import short_memory, short_memory_of_many
from tiphys.wire.accept import Clause, clauses, reaches
from tiphys.wire.message import Request

JSON = "application/json"
YAML = "application/yaml"
PROTOBUF = "application/vnd.kubernetes.protobuf"
MEDIA_TYPES = (JSON, YAML, PROTOBUF)
_STREAMS = (f"{JSON};stream=watch", f"{PROTOBUF};stream=watch")
WATCHED_TYPES = MEDIA_TYPES + _STREAMS
"""What a collection is read in."""
NO_ROUTE = "415: Unsupported Media Type"
_TRANSFORMS = ("Table", "PartialObjectMetadata", "PartialObjectMetadataList")
_AGGREGATED = ("APIGroupDiscoveryList", "apidiscovery.k8s.io", "v2")
NO_PEERS = "nopeer"
_META_VERSIONS = ("v1", "v1beta1")
UNKNOWN_FORMAT = "the body of the request was in an unknown format - accepted media types include: "
_TOKEN = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]++"
_QUOTED = r'"(?:\\[()<>@,;:\\"/\[\]?=]|[^"\\\r\n]|\\(?![()<>@,;:\\"/\[\]?=]))*"'
_PARAMETER = rf";\s*+({_TOKEN})\s*+=\s*+({_TOKEN}|{_QUOTED})\s*+"
"""Compiled when first needed: most bodies come without parameters."""
_TRANSFORMING = ("as", "g", "v")
_PRETTY_AGENTS = ("curl", "Wget", "Mozilla/5.0")


@dataclass(frozen=True, slots=True)
class Format:
    """How to answer. ``transform`` is empty for the object itself."""

    media_type: str = JSON
    transform: str = ""
    transform_version: str = "v1"
    pretty: bool = False
    profile: str = ""
    """Which of several documents of a kind; only discovery has any."""

    @property
    def plain_json(self) -> bool:
        """True when stored bytes can go out as they are."""
        return self.media_type == JSON and not self.transform and not self.pretty


@short_memory_of_many(1024)
def accept_format(
    accept: str,
    pretty: str,
    user_agent: str,
    *,
    watch: bool = False,
    protobuf: bool = True,
    tables: bool = True,
) -> Format:
    """Choose the answer's form.

    ``protobuf`` False for custom resources, which have none but for their metadata; ``tables`` False for what
    has no columns (reviews) and for watches that begin with a list, which are never tables.

    Raises:
        NotAcceptable: nothing that the client accepts is served.
    """
    is_pretty = _is_pretty(pretty, user_agent) and not watch
    if not accept:
        return Format(JSON, "", "v1", is_pretty)
    offered = MEDIA_TYPES if protobuf else (JSON, YAML)
    known = _TRANSFORMS if tables else _TRANSFORMS[1:]
    found = next((one for clause in clauses(accept) for one in _formats(clause, offered, known)), None)
    if found is None:
        raise _refused(MEDIA_TYPES)
    if watch and found.media_type == YAML:  # there is no stream of it, and nothing else is tried
        raise _refused(_STREAMS)
    return replace(found, pretty=is_pretty or (found.pretty and not watch))


@short_memory_of_many(256)
def failure_format(accept: str, pretty: str, user_agent: str) -> Format | None:
    """Choose the form of a Status that tells of a failure; None: none that is served is accepted."""
    is_pretty = _is_pretty(pretty, user_agent)
    if not accept:
        return Format(pretty=is_pretty)
    plain = (clause for clause in clauses(accept) if not clause.get("sv"))
    found = next((one for clause in plain for one in _formats(clause, MEDIA_TYPES, ())), None)
    return None if found is None else replace(found, pretty=is_pretty or found.pretty)


def _refused(media_types: tuple[str, ...]) -> NotAcceptable:
    return NotAcceptable(f"only the following media types are accepted: {', '.join(media_types)}")


def _formats(clause: Clause, offered: tuple[str, ...], known: tuple[str, ...]) -> Iterator[Format]:
    """Yield the forms that a clause takes of those offered, and of the transforms that are known."""
    transform, version = clause.get("as"), clause.get("v")
    if not clause.parameters.keys().isdisjoint(_TRANSFORMING) and not (
        transform in known and clause.get("g") == "meta.k8s.io" and version in _META_VERSIONS
    ):
        return
    if clause.get("sv") not in ("", "v1") or clause.get("stream") not in ("", "watch"):
        return
    for media_type in MEDIA_TYPES if transform else offered:
        if media_type == (PROTOBUF if transform == "Table" else YAML if clause.get("stream") else ""):
            continue
        if clause.takes(media_type):
            yield Format(media_type, transform, version or "v1", clause.get("pretty") == "1")


def has_no_body(request: Request) -> bool:
    """Whether there is no body, nor one to come: it may not have been read yet."""
    return not request.body and request.headers.get("content-length", "") in ("", "0")


def check_route(accept: str, produced: tuple[str, ...], *, bodiless: bool = False) -> None:
    """Refuse what the router of built-in kinds finds no route for: none has ``produced`` what is named.

    ``bodiless``: it is a write without a body.

    Raises:
        NotAcceptable. UnsupportedMediaType: of a write without a body.
    """
    if not accept or reaches(accept, produced):
        return
    available = f"\n\nAvailable representations: {', '.join(produced)}"
    if bodiless:
        raise UnsupportedMediaType(NO_ROUTE + available, details={})
    raise NotAcceptable("406: Not Acceptable" + available, details={})


@short_memory_of_many(256)
def discovery_format(accept: str, pretty: str, user_agent: str, *, aggregated: bool) -> Format:
    """Choose the form of a discovery document; ``aggregated`` where it may be the one of all groups.

    Raises:
        NotAcceptable: nothing that the client accepts is served.
    """
    is_pretty = _is_pretty(pretty, user_agent)
    whole = _aggregated(accept) if aggregated else None
    if whole is not None:
        return replace(whole, pretty=is_pretty or whole.pretty)
    found = failure_format(accept, pretty, user_agent)
    if found is None:
        raise _refused(MEDIA_TYPES)
    return found


def _aggregated(accept: str) -> Format | None:
    """Return the form of the one document of all groups, if a clause asks for it: then no other is heeded."""
    for clause in clauses(accept):
        asked = (clause.get("as"), clause.get("g"), clause.get("v"))
        if asked != _AGGREGATED or clause.get("sv") or clause.get("stream") not in ("", "watch"):
            continue
        for media_type in MEDIA_TYPES:
            if clause.takes(media_type) and not (media_type == YAML and clause.get("stream")):
                profile = NO_PEERS if clause.get("profile") == NO_PEERS else ""
                return Format(
                    media_type, asked[0], asked[2], pretty=clause.get("pretty") == "1", profile=profile
                )
    return None


def _is_pretty(pretty: str, user_agent: str) -> bool:
    if pretty:
        return BOOLS.get(pretty, False)
    return user_agent.startswith(_PRETTY_AGENTS)


@short_memory(256)
def body_media_type(content_type: str) -> str:
    """Return the media type of a body; JSON when the client names none.

    Raises:
        UnsupportedMediaType: it is none that is read, or what is said of it cannot be read.
    """
    if not content_type:
        return JSON
    media_type = content_type.partition(";")[0].strip().lower()
    if media_type not in MEDIA_TYPES or (";" in content_type and not _sound(content_type)):
        raise UnsupportedMediaType(UNKNOWN_FORMAT + ", ".join(MEDIA_TYPES))
    return media_type


def _sound(content_type: str) -> bool:
    """Tell whether the parameters of a media type are whole, and no name comes with two values."""
    if not re.fullmatch(rf"[^;]*+(?:{_PARAMETER})*+;?\s*+", content_type):
        return False
    given = {(name.lower(), value) for name, value in re.findall(_PARAMETER, content_type)}
    return len(given) == len({name for name, _ in given})
