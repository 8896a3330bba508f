"""Files of a folder over HTTP, as Go's ``http.ServeFile`` shows them: listings, times, kinds, ranges.

Owns: what a GET of a file or folder is answered with. Which paths lead where is the caller's business.
Threads read; long files come piece by piece.
"""

from __future__ import annotations

import asyncio
import errno
import html
import os
import re
import stat
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from email.utils import format_datetime, parsedate_to_datetime
from pathlib import Path
from typing import BinaryIO, Final
from urllib.parse import quote

from tiphys.wire.message import Request, Response

_INDEX: Final = "/index.html"
_PIECE_BYTES: Final = 256 * 1024
_WHOLE_BYTES: Final = 1024 * 1024
"""Longer answers are streams."""
_SNIFFED_BYTES: Final = 512
_TEXT: Final = "text/plain; charset=utf-8"
_HEAD: Final = '<!doctype html>\n<meta name="viewport" content="width=device-width">\n<pre>\n'
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
    (b"\x1f\x8b\x08", "application/x-gzip"), (b"PK\x03\x04", "application/zip"),
    (b"%PDF-", "application/pdf"),
    (b"\x89PNG\r\n\x1a\n", "image/png"), (b"GIF8", "image/gif"), (b"\xff\xd8\xff", "image/jpeg"),
    (b"\xef\xbb\xbf", _TEXT), (b"<?xml", "text/xml; charset=utf-8"),
)  # fmt: skip
_BINARY: Final = re.compile(rb"[\x00-\x08\x0b\x0e-\x1a\x1c-\x1f]")
_RANGE: Final = re.compile(r"bytes=\s*(\d*)\s*-\s*(\d*)\s*")


async def serve_file(request: Request, target: Path) -> Response:
    """Answer a GET or HEAD with a file, or with the names in a folder, whose path must end with a ``/``."""
    if request.path.endswith(_INDEX):
        return _moved(request, "./")
    try:
        found = await asyncio.to_thread(target.stat)
        if stat.S_ISDIR(found.st_mode):
            return await _folder(request, target, found)
        if not stat.S_ISREG(found.st_mode):  # pipes and devices would never end
            return failure(404, "404 page not found")
        return await asyncio.to_thread(_file, request, target, found)
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return failure(404, "404 page not found")
    except PermissionError:
        return failure(403, "403 Forbidden")
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            return failure(404, "file not found")
        return failure(500, "500 Internal Server Error")


def failure(status: int, text: str) -> Response:
    """Return an answer of plain text, as Go's servers give it."""
    headers = {"content-type": _TEXT, "x-content-type-options": "nosniff"}
    return Response(status, headers, f"{text}\n".encode())


def _moved(request: Request, to: str) -> Response:
    query = f"?{request.raw_query}" if request.raw_query else ""
    return Response(301, {"location": f"{to}{query}"})


async def _folder(request: Request, target: Path, found: os.stat_result) -> Response:
    if not request.path.endswith("/"):
        return _moved(request, f"{request.path.rsplit('/', 1)[-1]}/")
    index = target / _INDEX.lstrip("/")
    if await asyncio.to_thread(index.is_file):
        return await asyncio.to_thread(_file, request, index, index.stat())
    headers = {"last-modified": _changed(found)}
    if _seen_before(request, found):
        return Response(304, headers)
    headers["content-type"] = "text/html; charset=utf-8"
    return Response(200, headers, await asyncio.to_thread(_listing, target))


def _listing(folder: Path) -> bytes:
    names = sorted(
        one.name + ("/" if one.is_dir(follow_symlinks=False) else "") for one in os.scandir(folder)
    )
    links = [f'<a href="{_link(name)}">{html.escape(name)}</a>\n' for name in names]
    return f"{_HEAD}{''.join(links)}</pre>\n".encode()


def _link(name: str) -> str:
    # A colon in the first part would be taken for a scheme.
    text = quote(name, safe="/$&+,:;=@")
    return f"./{text}" if ":" in name.split("/", 1)[0] else text


def _changed(found: os.stat_result) -> str:
    return format_datetime(datetime.fromtimestamp(int(found.st_mtime), UTC), usegmt=True)


def _seen_before(request: Request, found: os.stat_result) -> bool:
    since = request.headers.get("if-modified-since")
    if not since or request.method not in ("GET", "HEAD"):
        return False
    try:
        return int(found.st_mtime) <= parsedate_to_datetime(since).timestamp()
    except ValueError:
        return False


def _file(request: Request, target: Path, found: os.stat_result) -> Response:
    """Open a file and answer with it, or with the part that is wanted. Raises OSError."""
    headers = {"last-modified": _changed(found)}
    if _seen_before(request, found):
        return Response(304, headers)
    opened = target.open("rb")
    size = found.st_size
    headers |= {"content-type": _kind(target, opened), "accept-ranges": "bytes"}
    asked = _RANGE.fullmatch(request.headers.get("range", ""))
    wanted = _part(asked, size)
    if wanted is None:
        opened.close()
        return _beyond(size)
    first, length = wanted
    if asked is not None and length:
        headers["content-range"] = f"bytes {first}-{first + length - 1}/{size}"
    status = 206 if "content-range" in headers else 200
    opened.seek(first)
    if length > _WHOLE_BYTES:
        return Response(status, headers, stream=_pieces(opened, length))
    with opened:
        return Response(status, headers, opened.read(length))


def _part(asked: re.Match[str] | None, size: int) -> tuple[int, int] | None:
    """Return where to begin and how many bytes to send; None for what lies beyond the end.

    Several ranges at once are not served apart: whoever asks for them gets the whole.
    """
    if asked is None or asked.groups() == ("", ""):
        return 0, size
    first, last = asked.groups()
    if not first:
        length = min(int(last), size)
        return size - length, length
    begin = int(first)
    if begin >= size:
        return None if size else (0, 0)
    end = min(int(last), size - 1) if last else size - 1
    return (begin, end - begin + 1) if end >= begin else None


def _beyond(size: int) -> Response:
    answer = failure(416, "invalid range: failed to overlap")
    answer.headers |= {"content-range": f"bytes */{size}"}
    return answer


def _kind(target: Path, opened: BinaryIO) -> str:
    known = _KINDS.get(target.suffix.lower())
    if known is not None:
        return known
    start = opened.read(_SNIFFED_BYTES)
    for beginning, kind in _BEGINNINGS:
        if start.startswith(beginning):
            return kind
    plain = start.lstrip(b"\t\n\x0c\r ").lower()
    if plain.startswith((b"<!doctype html", b"<html", b"<head", b"<body")):
        return "text/html; charset=utf-8"
    return "application/octet-stream" if _BINARY.search(start) else _TEXT


async def _pieces(opened: BinaryIO, length: int) -> AsyncIterator[bytes]:
    try:
        while length > 0:
            piece = await asyncio.to_thread(opened.read, min(_PIECE_BYTES, length))
            if not piece:
                return
            length -= len(piece)
            yield piece
    finally:
        opened.close()
