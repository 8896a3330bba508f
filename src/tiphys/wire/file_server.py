"""Files of a folder over HTTP, as Go's file server shows them: listings, and where else to look.

Owns: what a GET of a file or folder is answered with. Which paths lead where is the caller's business,
``sent_file`` decides what of a file is sent. Threads read; long files come piece by piece.
"""

from __future__ import annotations

import asyncio
import errno
import os
import secrets
import stat
from collections.abc import AsyncIterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO, Final
from urllib.parse import quote

from tiphys.wire.message import Request, Response
from tiphys.wire.sent_file import (
    SNIFFED_BYTES,
    Part,
    asked_part,
    is_known,
    kind_of,
    last_modified,
    multipart,
    told_range,
)

_INDEX: Final = "/index.html"
_PIECE_BYTES: Final = 256 * 1024
_WHOLE_BYTES: Final = 1024 * 1024
"""Longer answers are streams."""
_BOUNDARY_BYTES: Final = 30
_TEXT: Final = "text/plain; charset=utf-8"
_HEAD: Final = '<!doctype html>\n<meta name="viewport" content="width=device-width">\n<pre>\n'
_ESCAPED: Final = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&#34;", "'": "&#39;"})


async def serve_file(
    request: Request, target: Path, path: str | None = None, *, one_path: bool = False
) -> Response:
    """Answer a GET or HEAD with a file, or with the names in a folder, whose path must end with a ``/``.

    ``path`` stands in for the request's. With ``one_path`` no file's path may end with one.
    """
    path = request.path if path is None else path
    if path.endswith(_INDEX):
        return _moved(request, "./")
    try:
        return await asyncio.to_thread(_answer, request, target, path, one_path=one_path)
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return failure(404, "404 page not found")
    except PermissionError:
        return failure(403, "403 Forbidden")
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG and not one_path:
            return failure(404, "file not found")
        return failure(500, "500 Internal Server Error")


def failure(status: int, text: str) -> Response:
    """Return an answer of plain text, as Go's servers give it."""
    headers = {"content-type": _TEXT, "x-content-type-options": "nosniff"}
    return Response(status, headers, f"{text}\n".encode())


def _moved(request: Request, to: str) -> Response:
    query = f"?{request.raw_query}" if request.raw_query else ""
    return Response(301, {"location": f"{to}{query}"})


def _answer(request: Request, target: Path, path: str, *, one_path: bool) -> Response:
    found = target.stat()
    name = path.rstrip("/").rsplit("/", 1)[-1]
    if stat.S_ISDIR(found.st_mode):
        return _folder(request, target, found) if path.endswith("/") else _moved(request, f"{name}/")
    if one_path and path.endswith("/"):
        return _moved(request, f"../{name}")
    return _file(request, target, found)


def _folder(request: Request, target: Path, found: os.stat_result) -> Response:
    index = target / _INDEX.lstrip("/")
    if index.is_file():
        return _file(request, index, index.stat())
    headers = last_modified(int(found.st_mtime))
    if is_known(request.headers, int(found.st_mtime)):
        return Response(304, headers)
    headers["content-type"] = "text/html; charset=utf-8"
    return Response(200, headers, _listing(target))


def _listing(folder: Path) -> bytes:
    """Return a folder's page; what links to a folder is shown as no folder."""
    found = sorted(os.scandir(folder), key=lambda one: os.fsencode(one.name))
    names = [one.name + ("/" if one.is_dir(follow_symlinks=False) else "") for one in found]
    links = [f'<a href="{_link(name)}">{name.translate(_ESCAPED)}</a>\n' for name in names]
    return f"{_HEAD}{''.join(links)}</pre>\n".encode(errors="surrogateescape")


def _link(name: str) -> str:
    # A colon in the first part would be taken for a scheme.
    text = quote(os.fsencode(name), safe="/$&+,:;=@")
    return f"./{text}" if ":" in name.split("/", 1)[0] else text


def _file(request: Request, target: Path, found: os.stat_result) -> Response:
    """Open a file and answer with it, or with the part that is wanted. Raises OSError."""
    if not stat.S_ISREG(found.st_mode):  # pipes and devices would never end
        return failure(404, "404 page not found")
    size, modified = found.st_size, int(found.st_mtime)
    part = asked_part(request.headers, modified, size)
    if part.status == 416:
        return _beyond(part, size)
    headers = last_modified(modified)
    if part.status in {304, 412}:
        return Response(part.status, headers)
    with ExitStack() as cleanup:
        opened = cleanup.enter_context(target.open("rb"))
        kind = kind_of(target.name, opened.read(SNIFFED_BYTES))
        headers |= {"content-type": kind, "accept-ranges": "bytes"}
        pieces: list[bytes | range] = list(part.spans)
        if len(pieces) > 1:
            boundary = secrets.token_hex(_BOUNDARY_BYTES)
            headers["content-type"] = f"multipart/byteranges; boundary={boundary}"
            pieces = multipart(part.spans, kind, size, boundary)
        elif part.status == 206:
            headers["content-range"] = told_range(part.spans[0], size)
        length = sum(map(len, pieces))
        if request.method == "HEAD":
            return Response(part.status, headers, stream=_nothing(), length=length)
        if length <= _WHOLE_BYTES:
            return Response(part.status, headers, _read(opened, pieces))
        cleanup.pop_all()
    return Response(part.status, headers, stream=_streamed(opened, pieces), length=length)


def _beyond(part: Part, size: int) -> Response:
    answer = failure(part.status, part.why)
    if part.is_behind:
        answer.headers["content-range"] = f"bytes */{size}"
    return answer


def _read(opened: BinaryIO, pieces: Sequence[bytes | range]) -> bytes:
    found = bytearray()
    for piece in pieces:
        if isinstance(piece, range):
            opened.seek(piece.start)
            found += opened.read(len(piece))
        else:
            found += piece
    return bytes(found)


async def _streamed(opened: BinaryIO, pieces: Sequence[bytes | range]) -> AsyncIterator[bytes]:
    """Read what was there when the file was opened, up to where some of it is gone."""
    with opened:
        for piece in pieces:
            if not isinstance(piece, range):
                yield piece
                continue
            opened.seek(piece.start)
            left = len(piece)
            while left:
                data = await asyncio.to_thread(opened.read, min(_PIECE_BYTES, left))
                if not data:
                    return
                left -= len(data)
                yield data


async def _nothing() -> AsyncIterator[bytes]:
    no_pieces: Sequence[bytes] = ()
    for piece in no_pieces:
        yield piece
