"""What of a file an HTTP request gets, and under which type: as upstream's file server decides it. Pure.

Owns preconditions, ranges and types. Files have no tags here, so that tags asked for never match. Who asks
for ranges that are longer together than the file gets it whole.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from email.utils import formatdate, parsedate_to_datetime
from typing import Final

SNIFFED_BYTES: Final = 512

_INVALID: Final = "invalid range"
_NO_OVERLAP: Final = "invalid range: failed to overlap"
_NUMBER: Final = re.compile(r"\+?[0-9]{1,18}", re.ASCII)
_BINARY: Final = re.compile(rb"[\x00-\x08\x0b\x0e-\x1a\x1c-\x1f]")
_PAGE: Final = re.compile(
    rb"[\t\n\x0c\r ]*<(?:!--|!DOCTYPE HTML|HTML|HEAD|SCRIPT|IFRAME|H1|DIV|FONT|TABLE|A|STYLE|TITLE|B|BODY|BR"
    rb"|P)[ >]",
    re.IGNORECASE,
)
_KINDS: Final = {
    ".avif": "image/avif", ".css": "text/css; charset=utf-8", ".gif": "image/gif",
    ".htm": "text/html; charset=utf-8", ".html": "text/html; charset=utf-8", ".jpeg": "image/jpeg",
    ".jpg": "image/jpeg", ".js": "text/javascript; charset=utf-8", ".json": "application/json",
    ".mjs": "text/javascript; charset=utf-8", ".pdf": "application/pdf", ".png": "image/png",
    ".svg": "image/svg+xml", ".wasm": "application/wasm", ".webp": "image/webp",
    ".xml": "text/xml; charset=utf-8",
}  # fmt: skip
"""Go's own table of endings; what has none of these is told by how it begins."""
_BEGINNINGS: Final = (
    (b"%PDF-", "application/pdf"),
    (b"%!PS-Adobe-", "application/postscript"),
    (b"\xfe\xff", "text/plain; charset=utf-16be"),
    (b"\xff\xfe", "text/plain; charset=utf-16le"),
    (b"\xef\xbb\xbf", "text/plain; charset=utf-8"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"PK\x03\x04", "application/zip"),
    (b"Rar!\x1a\x07\x00", "application/x-rar-compressed"),
    (b"Rar!\x1a\x07\x01\x00", "application/x-rar-compressed"),
    (b"\x1f\x8b\x08", "application/x-gzip"),
)


@dataclass(frozen=True)
class Part:
    """The answer's status, and what goes with it: bytes of a file, or why there are none."""

    status: int
    spans: tuple[range, ...] = ()
    why: str = ""

    @property
    def is_behind(self) -> bool:
        """Whether what is asked begins behind the file's end."""
        return self.why == _NO_OVERLAP


def asked_part(headers: Mapping[str, str], modified: int, size: int) -> Part:
    """Judge a GET's headers; ``modified`` is the file's time in seconds."""
    if not _as_expected(headers, modified):
        return Part(412)
    if is_known(headers, modified):
        return Part(304)
    asked = headers.get("range", "") if _same_since(headers, modified) else ""
    try:
        spans = _spans(asked, size)
    except ValueError as fault:
        if str(fault) != _NO_OVERLAP or size:
            return Part(416, why=str(fault))
        spans = []
    if not spans or sum(map(len, spans)) > size:
        return Part(200, (range(size),))
    return Part(206, tuple(spans))


def told_range(span: range, size: int) -> str:
    """Return the ``Content-Range`` of a part of a file."""
    return f"bytes {span.start}-{span.stop - 1}/{size}"


def multipart(spans: Sequence[range], kind: str, size: int, boundary: str) -> list[bytes | range]:
    """Return what a ``multipart/byteranges`` body consists of: text, and ranges of the file in it."""
    found: list[bytes | range] = []
    line = f"--{boundary}"
    for span in spans:
        head = f"{line}\r\nContent-Range: {told_range(span, size)}\r\nContent-Type: {kind}\r\n\r\n"
        found += [head.encode(), span]
        line = f"\r\n--{boundary}"
    return [*found, f"{line}--\r\n".encode()]


def is_known(headers: Mapping[str, str], modified: int) -> bool:
    """Tell whether who asks already has what was last changed at ``modified``."""
    if tags := headers.get("if-none-match"):
        return "*" in _listed(tags)
    since = _seconds(headers.get("if-modified-since", ""))
    return modified != 0 and since is not None and modified <= since


def last_modified(modified: int) -> dict[str, str]:
    """Return the header that tells of a time, none for files without one."""
    return {"last-modified": formatdate(modified, usegmt=True)} if modified else {}


def kind_of(name: str, begin: bytes) -> str:
    """Return the type of a file: its name tells, else how it begins."""
    if kind := _KINDS.get(posixpath.splitext("x" + name)[1].lower()):
        return kind
    if _PAGE.match(begin):
        return "text/html; charset=utf-8"
    if begin.lstrip(b"\t\n\x0c\r ").startswith(b"<?xml"):
        return "text/xml; charset=utf-8"
    for mark, kind in _BEGINNINGS:
        if begin.startswith(mark):
            return kind
    return "application/octet-stream" if _BINARY.search(begin) else "text/plain; charset=utf-8"


def _as_expected(headers: Mapping[str, str], modified: int) -> bool:
    if tags := headers.get("if-match"):
        return "*" in _listed(tags)
    until = _seconds(headers.get("if-unmodified-since", ""))
    return modified == 0 or until is None or modified <= until


def _same_since(headers: Mapping[str, str], modified: int) -> bool:
    known = headers.get("if-range")
    return not known or (modified != 0 and _seconds(known) == modified)


def _spans(asked: str, size: int) -> list[range]:
    """Read a ``Range`` header; ``ValueError`` says why it can't be."""
    if not asked:
        return []
    if not asked.startswith("bytes="):
        raise ValueError(_INVALID)
    parts = [text for part in asked.removeprefix("bytes=").split(",") if (text := part.strip())]
    found = [_span(part, size) for part in parts]
    spans = [span for span in found if span is not None]
    if found and not spans:
        raise ValueError(_NO_OVERLAP)
    return spans


def _span(part: str, size: int) -> range | None:
    """Return one range, None for one that begins behind the end."""
    first, dash, last = part.partition("-")
    first, last = first.strip(), last.strip()
    if not dash:
        raise ValueError(_INVALID)
    if not first:
        return range(max(size - _number(last), 0), size)
    start = _number(first)
    if start >= size:
        return None
    if not last:
        return range(start, size)
    if _number(last) < start:
        raise ValueError(_INVALID)
    return range(start, min(_number(last) + 1, size))


def _number(text: str) -> int:
    if not _NUMBER.fullmatch(text):
        raise ValueError(_INVALID)
    return int(text)


def _listed(tags: str) -> list[str]:
    return [tag.strip() for tag in tags.split(",")]


def _seconds(text: str) -> int | None:
    try:
        return int(parsedate_to_datetime(text).timestamp())
    except (ValueError, OverflowError):
        return None
