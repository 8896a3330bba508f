"""``/logs/``: the node's own log files, as a file server shows them.

Owns what may be read: files below one folder, and what links in it point to. Folders are listed as upstream's
file server lists them. Reading is done in threads, piece by piece.
"""

from __future__ import annotations

import asyncio
import html
import mimetypes
import posixpath
from collections.abc import AsyncIterator
from pathlib import Path
from typing import BinaryIO, Final
from urllib.parse import quote

from tiphys.wire.message import Response

_PREFIX: Final = "/logs"
_PIECE_BYTES: Final = 64 * 1024
_HTML: Final = "text/html; charset=utf-8"
_TEXT: Final = "text/plain; charset=utf-8"
_HEAD: Final = '<!doctype html>\n<meta name="viewport" content="width=device-width">\n<pre>\n'


class SystemLogs:
    """Files below ``folder``."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def answer(self, path: str) -> Response:
        """Answer a GET of a path that begins with ``/logs``."""
        below = posixpath.normpath("/" + path.removeprefix(_PREFIX))  # no way leads above the folder
        target = self._folder / below.strip("/")
        try:
            is_folder = await asyncio.to_thread(target.is_dir)
            if is_folder:
                if not path.endswith("/"):
                    return Response(301, {"Location": path.rsplit("/", 1)[-1] + "/"})
                return Response(200, {"Content-Type": _HTML}, await asyncio.to_thread(_listing, target))
            if path.endswith("/"):
                return _missing()
            if not await asyncio.to_thread(target.is_file):  # pipes and sockets would never end
                return _missing()
            opened = await asyncio.to_thread(target.open, "rb")
        except (FileNotFoundError, NotADirectoryError, ValueError):
            return _missing()
        except PermissionError:
            return Response(403, {"Content-Type": _TEXT}, b"403 Forbidden\n")
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


def _missing() -> Response:
    headers = {"Content-Type": _TEXT, "X-Content-Type-Options": "nosniff"}
    return Response(404, headers, b"404 page not found\n")


async def _pieces(opened: BinaryIO) -> AsyncIterator[bytes]:
    try:
        while piece := await asyncio.to_thread(opened.read, _PIECE_BYTES):
            yield piece
    finally:
        opened.close()
