"""Files of a folder over HTTP, as Go's file server shows them: listings, and where else to look.

Owns: what a GET of a file or folder is answered with. Which paths lead where is the caller's business,
``sent_file`` decides what of a file is sent. Threads read; long files come piece by piece.
"""

from __future__ import annotations

import asyncio
import errno
import os
import stat
from collections.abc import AsyncIterator
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO, Final
from urllib.parse import quote

from tiphys.wire.message import Request, Response
from tiphys.wire.sent_file import SNIFFED_BYTES, Part, asked_part, is_known, kind_of, last_modified

_INDEX: Final = "/index.html"
_PIECE_BYTES: Final = 256 * 1024
_WHOLE_BYTES: Final = 1024 * 1024
"""Longer answers are streams."""
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
        headers |= {
            "content-type": kind_of(target.name, opened.read(SNIFFED_BYTES)),
            "accept-ranges": "bytes",
        }
        if part.status == 206:
            headers["content-range"] = f"bytes {part.span.start}-{part.span.stop - 1}/{size}"
        opened.seek(part.span.start)
        length = len(part.span)
        if length <= _WHOLE_BYTES:
            return Response(part.status, headers, opened.read(length))
        cleanup.pop_all()
    return Response(part.status, headers, stream=_pieces(opened, length))


def _beyond(part: Part, size: int) -> Response:
    answer = failure(part.status, part.why)
    if part.is_behind:
        answer.headers["content-range"] = f"bytes */{size}"
    return answer


async def _pieces(opened: BinaryIO, length: int) -> AsyncIterator[bytes]:
    """Read what was there when the file was opened."""
    try:
        while piece := await asyncio.to_thread(opened.read, min(_PIECE_BYTES, length)):
            length -= len(piece)
            yield piece
    finally:
        opened.close()
