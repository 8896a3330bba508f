"""A unix socket of this process's own whose connections come out elsewhere, by way of a tunnel.

gRPC connects for itself and asks nobody how: it is given such a socket. Owns: the socket, in a folder that
only this user may enter, and the connections through it, until it is closed.
"""

from __future__ import annotations

import asyncio
import logging
import shutil
import socket
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Final

from tiphys.wire.dial import Tunnel, TunnelFailed, adopt
from tiphys.wire.relay import relay

log = logging.getLogger(__name__)
_PATIENCE_S: Final = 30.0
_BACKLOG: Final = 64


class Doorway:
    """Leads to one host and port."""

    def __init__(self, through: Tunnel, host: str, port: int) -> None:
        self._through, self._host, self._port = through, host, port
        self._folder = ""
        self._listening: socket.socket | None = None
        self._task: asyncio.Task[None] | None = None

    @property
    def target(self) -> str:
        """What gRPC calls it."""
        return f"unix:{self._folder}/door"

    def open(self) -> None:
        """Listen. Raises OSError."""
        self._folder = tempfile.mkdtemp(prefix="tiphys-")
        self._listening = listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listening.setblocking(False)
        listening.bind(str(Path(self._folder) / "door"))
        listening.listen(_BACKLOG)
        self._task = asyncio.create_task(self._serve(listening))  # parent: close

    async def close(self) -> None:
        """End every connection. Idempotent."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        if self._listening is not None:
            self._listening.close()
            shutil.rmtree(self._folder, ignore_errors=True)

    async def _serve(self, listening: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        async with asyncio.TaskGroup() as group:
            while True:
                sock, _ = await loop.sock_accept(listening)
                group.create_task(self._lead(sock))

    async def _lead(self, sock: socket.socket) -> None:
        """Carry one connection; where there is no way through, its end is all that the caller sees."""
        stream = await adopt(sock)
        try:
            async with asyncio.timeout(_PATIENCE_S):
                beyond = await adopt(await self._through(self._host, self._port))
        except (TunnelFailed, TimeoutError) as error:
            log.warning("no way to host=%s port=%s error=%s", self._host, self._port, error)
            await stream.close()
            return
        with suppress(ConnectionError):
            await relay(stream, beyond)
