"""Which form an answer takes: media type, Table or PartialObjectMetadata, pretty or not.

Pure. Source: the "API concepts" page: alternate representations, Table, ``as=...;v=...;g=...``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache

from tiphys.apimachinery.dataclass import dataclass
from tiphys.apimachinery.errors import NotAcceptable, UnsupportedMediaType

JSON = "application/json"
YAML = "application/yaml"
PROTOBUF = "application/vnd.kubernetes.protobuf"
MEDIA_TYPES = (JSON, YAML, PROTOBUF)
_TRANSFORMS = ("Table", "PartialObjectMetadata", "PartialObjectMetadataList")
_ALL_GROUPS = "APIGroupDiscoveryList"
_DISCOVERY_VERSION = "v2"
NO_PEERS = "nopeer"
_META_VERSIONS = ("v1", "v1beta1")
_TRANSFORMING = ("as", "g", "v")
PRETTY_AGENTS = ("curl", "Wget", "Mozilla/5.0")


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


@dataclass(frozen=True, slots=True)
class _Clause:
    media_type: str
    parameters: tuple[tuple[str, str], ...]
    quality: float

    def get(self, name: str) -> str:
        for key, value in self.parameters:
            if key == name:
                return value
        return ""

    @property
    def transforms(self) -> bool:
        """Whether another kind is asked for, be it in part."""
        return any(key in _TRANSFORMING for key, _ in self.parameters)


def _parse_media_type(text: str) -> tuple[str, list[tuple[str, str]]]:
    media_type, *rest = text.split(";")
    parameters = []
    for part in rest:
        key, _, value = part.partition("=")
        parameters.append((key.strip().lower(), value.strip().strip('"')))
    return media_type.strip().lower(), parameters


@lru_cache(maxsize=256)
def _clauses(accept: str) -> tuple[_Clause, ...]:
    clauses = []
    for text in accept.split(","):
        if not text.strip():
            continue
        media_type, parameters = _parse_media_type(text)
        quality = 1.0
        for key, value in parameters:
            if key == "q":
                try:
                    quality = float(value)
                except ValueError:
                    quality = 0.0
        clauses.append(_Clause(media_type, tuple(p for p in parameters if p[0] != "q"), quality))
    return tuple(sorted(clauses, key=lambda clause: -clause.quality))


def _matches(offered: str, wanted: str) -> bool:
    if wanted in ("*/*", offered):
        return True
    return wanted.endswith("/*") and offered.startswith(wanted[:-1])


@lru_cache(maxsize=1024)
def accept_format(
    accept: str,
    pretty: str,
    user_agent: str,
    *,
    watch: bool = False,
    protobuf: bool = True,
    transforms: bool = True,
    tables: bool = True,
) -> Format:
    """Choose the answer's form.

    ``protobuf`` False for custom resources, which have none but for their metadata; ``transforms`` False for
    answers that are no objects with metadata (reviews, Scale, Status); ``tables`` False for watches that
    begin with a list, which are never tables.

    Raises:
        NotAcceptable: nothing that the client accepts is served.
    """
    is_pretty = _is_pretty(pretty, user_agent) and not watch
    offered = MEDIA_TYPES if protobuf else (JSON, YAML)
    if not accept.strip():
        return Format(JSON, "", "v1", is_pretty)
    known = _TRANSFORMS if transforms and tables else _TRANSFORMS[1:] if transforms else ()
    found = next((one for clause in _clauses(accept) for one in _formats(clause, offered, known)), None)
    if found is None:
        raise NotAcceptable(f"only the following media types are accepted: {', '.join(offered)}")
    if watch and found.media_type == YAML:  # there is no stream of it, and nothing else is tried
        streams = ", ".join(f"{one};stream=watch" for one in offered if one != YAML)
        raise NotAcceptable(f"only the following media types are accepted: {streams}")
    return replace(found, pretty=is_pretty or (found.pretty and not watch))


def _formats(clause: _Clause, offered: tuple[str, ...], known: tuple[str, ...]) -> Iterator[Format]:
    """Yield the forms that a clause takes of those offered, and of the transforms that are known."""
    transform, version = clause.get("as"), clause.get("v")
    if clause.transforms and not (
        transform in known and clause.get("g") == "meta.k8s.io" and version in _META_VERSIONS
    ):
        return
    if clause.get("sv") not in ("", "v1") or clause.get("stream") not in ("", "watch"):
        return
    for media_type in MEDIA_TYPES if transform else offered:
        if media_type == (PROTOBUF if transform == "Table" else YAML if clause.get("stream") else ""):
            continue
        if _matches(media_type, clause.media_type):
            yield Format(media_type, transform, version or "v1", clause.get("pretty") == "1")


@lru_cache(maxsize=256)
def discovery_format(accept: str, pretty: str, user_agent: str, *, aggregated: bool) -> Format:
    """Choose the form of a discovery document; ``aggregated`` where it may be the one of all groups.

    Raises:
        NotAcceptable: nothing that the client accepts is served.
    """
    is_pretty = _is_pretty(pretty, user_agent)
    if not accept.strip():
        return Format(JSON, pretty=is_pretty)
    for clause in _clauses(accept):
        transform, version = clause.get("as"), clause.get("v")
        if transform and not (
            aggregated
            and (transform, clause.get("g")) == (_ALL_GROUPS, "apidiscovery.k8s.io")
            and version == _DISCOVERY_VERSION
        ):
            continue
        for media_type in MEDIA_TYPES:
            if _matches(media_type, clause.media_type):
                profile = NO_PEERS if transform and clause.get("profile") == NO_PEERS else ""
                return Format(media_type, transform, version or "v1", is_pretty, profile)
    raise NotAcceptable(f"only the following media types are accepted: {', '.join(MEDIA_TYPES)}")


def _is_pretty(pretty: str, user_agent: str) -> bool:
    if pretty:
        return pretty.lower() in ("1", "true", "t")
    return user_agent.startswith(PRETTY_AGENTS)


@lru_cache(maxsize=256)
def body_media_type(content_type: str, accepted: tuple[str, ...] = MEDIA_TYPES) -> str:
    """Return the media type of a body; JSON when the client names none.

    Raises:
        UnsupportedMediaType: it is none of ``accepted``.
    """
    media_type = content_type.split(";", 1)[0].strip().lower() or JSON
    if media_type not in accepted:
        raise UnsupportedMediaType(
            "the body of the request was in an unknown format - accepted media types include: "
            + ", ".join(accepted)
        )
    return media_type
