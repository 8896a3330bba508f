"""``/logs/``: the node's own log files, as a file server shows them, and what its services wrote.

Owns what may be read: files below one folder, and what links in it point to. Folders are listed as upstream's
file server lists them. Reading is done in threads, piece by piece. Queries are heeded where that is on.
"""

from __future__ import annotations

import asyncio
import posixpath
import zlib
from collections.abc import AsyncGenerator
from contextlib import aclosing
from pathlib import Path
from typing import Final

from tiphys.kubelet.logs import node_query
from tiphys.kubelet.logs.journal import Journal, stat_fault
from tiphys.kubelet.server.replies import http_error
from tiphys.wire.file_server import serve_file
from tiphys.wire.message import Request, Response

_PREFIX: Final = "/logs"
_FASTEST: Final = 1
_GZIP: Final = 31


class SystemLogs:
    """Files below ``folder``; with ``journal``, services too."""

    def __init__(self, folder: Path, journal: Journal | None = None) -> None:
        self._folder = folder
        self._journal = journal

    async def answer(self, request: Request) -> Response:
        """Answer a GET of a path that begins with ``/logs/``."""
        path = request.path
        if self._journal is None:
            return await self._file(path, request)
        asked, faults = node_query.read(request.query)
        if faults:
            return http_error(400, node_query.told(faults))
        if asked is None:
            return await self._file(path, request)
        if path.removeprefix(_PREFIX).strip("/"):
            return http_error(406, "path not allowed in query mode")
        faults = await asyncio.to_thread(
            node_query.validate, asked, lambda name: stat_fault(self._folder, name)
        )
        if faults:
            return http_error(406, node_query.told(faults))
        if not asked.services:
            return await self._file(f"{_PREFIX}/{asked.files[0].lstrip('/')}", request)
        headers, stream = {"Content-Type": "text/plain;charset=UTF-8"}, self._journal.read(asked)
        if request.headers.get("accept-encoding") == "gzip":
            headers["Content-Encoding"], stream = "gzip", _compressed(stream)
        return Response(200, headers, stream=stream)

    async def _file(self, path: str, request: Request) -> Response:
        below = posixpath.normpath("/" + path.removeprefix(_PREFIX))  # no way leads above the folder
        return await serve_file(request, self._folder / below.strip("/"), path, one_path=True)


async def _compressed(pieces: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
    packer = zlib.compressobj(_FASTEST, wbits=_GZIP)
    async with aclosing(pieces):
        async for piece in pieces:
            yield await asyncio.to_thread(packer.compress, piece)
    yield packer.flush()
