"""``/logs/``: the node's own log files, as a file server shows them, and what its services wrote.

Owns what may be read: files below one folder, and what links in it point to. Folders are listed as upstream's
file server lists them. Reading is done in threads, piece by piece. Queries are heeded where that is on.
"""

from __future__ import annotations

import asyncio
import html
import mimetypes
import posixpath
import zlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import BinaryIO, Final
from urllib.parse import quote

from tiphys.kubelet.logs import node_query
from tiphys.kubelet.logs.journal import Journal, stat_fault
from tiphys.kubelet.server.replies import http_error, not_found
from tiphys.wire.message import Request, Response

_PREFIX: Final = "/logs"
_PIECE_BYTES: Final = 64 * 1024
_FASTEST: Final = 1
_GZIP: Final = 31
_HTML: Final = "text/html; charset=utf-8"
_TEXT: Final = "text/plain; charset=utf-8"
_HEAD: Final = '<!doctype html>\n<meta name="viewport" content="width=device-width">\n<pre>\n'


class SystemLogs:
    """Files below ``folder``; with ``journal``, services too."""

    def __init__(self, folder: Path, journal: Journal | None = None) -> None:
        self._folder = folder
        self._journal = journal

    async def answer(self, request: Request) -> Response:
        """Answer a GET of a path that begins with ``/logs/``."""
        path = request.path
        if self._journal is None:
            return await self._file(path)
        asked, faults = node_query.read(request.query)
        if faults:
            return http_error(400, node_query.told(faults))
        if asked is None:
            return await self._file(path)
        if path.removeprefix(_PREFIX).strip("/"):
            return http_error(406, "path not allowed in query mode")
        faults = await asyncio.to_thread(
            node_query.validate, asked, lambda name: stat_fault(self._folder, name)
        )
        if faults:
            return http_error(406, node_query.told(faults))
        if not asked.services:
            return await self._file(f"{_PREFIX}/{asked.files[0].lstrip('/')}")
        headers, stream = {"Content-Type": "text/plain;charset=UTF-8"}, self._journal.read(asked)
        if request.headers.get("accept-encoding") == "gzip":
            headers["Content-Encoding"], stream = "gzip", _compressed(stream)
        return Response(200, headers, stream=stream)

    async def _file(self, path: str) -> Response:
        below = posixpath.normpath("/" + path.removeprefix(_PREFIX))  # no way leads above the folder
        target = self._folder / below.strip("/")
        try:
            is_folder = await asyncio.to_thread(target.is_dir)
            if is_folder:
                if not path.endswith("/"):
                    return Response(301, {"Location": path.rsplit("/", 1)[-1] + "/"})
                return Response(200, {"Content-Type": _HTML}, await asyncio.to_thread(_listing, target))
            if path.endswith("/"):
                return not_found()
            if not await asyncio.to_thread(target.is_file):  # pipes and sockets would never end
                return not_found()
            opened = await asyncio.to_thread(target.open, "rb")
        except (FileNotFoundError, NotADirectoryError, ValueError):
            return not_found()
        except PermissionError:
            return http_error(403, "403 Forbidden")
        kind = mimetypes.guess_type(target.name)[0] or _TEXT
        return Response(200, {"Content-Type": kind}, stream=_pieces(opened))


def _listing(folder: Path) -> bytes:
    """Return a folder's page."""
    names = sorted(one.name + ("/" if one.is_dir() else "") for one in folder.iterdir())
    links = [f'<a href="{_target(name)}">{html.escape(name)}</a>\n' for name in names]
    return f"{_HEAD}{''.join(links)}</pre>\n".encode()


def _target(name: str) -> str:
    # A colon in the first part would be taken for a scheme.
    text = quote(name)
    return f"./{text}" if ":" in name.split("/", 1)[0] else text


async def _compressed(pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    packer = zlib.compressobj(_FASTEST, wbits=_GZIP)
    async for piece in pieces:
        yield await asyncio.to_thread(packer.compress, piece)
    yield packer.flush()


async def _pieces(opened: BinaryIO) -> AsyncIterator[bytes]:
    try:
        while piece := await asyncio.to_thread(opened.read, _PIECE_BYTES):
            yield piece
    finally:
        opened.close()
