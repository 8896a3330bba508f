"""What services of a node wrote: into the journal, where there is one that knows them, else into files.

Owns the calls of ``journalctl`` and where a service's file may lie. Nothing here fails: what cannot be had
is said in the text. ``logs.node_query`` decides what is asked for.
"""

from __future__ import annotations

import asyncio
import os
from asyncio.subprocess import Process
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from pathlib import Path
from typing import Final

from tiphys.kubelet.logs.node_query import NodeLogQuery, journal_arguments

_COMMAND: Final = "journalctl"
_ALL_S: Final = 30.0
"""So long one request may keep the journal busy."""
_MOST_LINKS: Final = 255
_PIECE_BYTES: Final = 64 * 1024


class Journal:
    """Logs of services; their files lie below ``folder``."""

    def __init__(self, folder: Path, command: str = _COMMAND) -> None:
        self._folder = folder
        self._command = command

    async def read(self, asked: NodeLogQuery) -> AsyncGenerator[bytes, None]:
        """Yield what the services that are asked for wrote."""
        deadline = asyncio.get_running_loop().time() + _ALL_S
        units = await self._units(deadline)
        native = [one for one in asked.services if f"{one}.service".encode() in units]
        others = [one for one in asked.services if one not in native]
        if native:
            async with aclosing(self._journal(asked, native, deadline)) as pieces:
                async for piece in pieces:
                    yield piece
        if others and asked.has_options:
            listed = " ".join(others)
            text = f"\noptions present and query resolved to log files for [{listed}]\n"
            yield f"{text}try without specifying options\n".encode()
            return
        for service in others:
            async with aclosing(self._file_of(service)) as pieces:
                async for piece in pieces:
                    yield piece

    async def _units(self, deadline: float) -> bytes:
        """Return the names that the journal has entries of; nothing where there is no journal."""
        try:
            process = await _started(self._command, "--field", "_SYSTEMD_UNIT")
        except OSError:
            return b""
        try:
            async with asyncio.timeout_at(deadline):
                said, _ = await process.communicate()
        except TimeoutError:
            return b""
        finally:
            await _ended(process)
        return said if process.returncode == 0 else b""

    async def _journal(
        self, asked: NodeLogQuery, services: list[str], deadline: float
    ) -> AsyncGenerator[bytes, None]:
        try:
            process = await _started(self._command, *journal_arguments(asked, services))
        except OSError:
            if not asked.boot:
                yield b"\nerror: journal output not available\n"
            return
        assert process.stdout is not None
        try:
            while True:
                async with asyncio.timeout_at(deadline):
                    piece = await process.stdout.read(_PIECE_BYTES)
                if not piece:
                    return
                yield piece
        except TimeoutError:
            return
        finally:
            await _ended(process)

    async def _file_of(self, service: str) -> AsyncGenerator[bytes, None]:
        for name in (service, f"{service}.log", f"{service}/{service}.log"):
            path = within(self._folder, name)
            try:
                if await asyncio.to_thread(path.is_dir):
                    continue
                opened = await asyncio.to_thread(path.open, "rb")
            except (FileNotFoundError, NotADirectoryError):
                continue
            except OSError as error:
                why = f"open {path}: {os.strerror(error.errno or 0).lower()}"
                yield f"\nerror getting log for {service}: {why}\n".encode()
                return
            with opened:
                while piece := await asyncio.to_thread(opened.read, _PIECE_BYTES):
                    yield piece
            return
        yield f"\nlog not found for {service}\n".encode()


async def _started(*command: str) -> Process:
    return await asyncio.create_subprocess_exec(
        *command, stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip


async def _ended(process: Process) -> None:
    """Leave nothing behind, also of a command that nobody reads to its end."""
    if process.returncode is None:
        with suppress(ProcessLookupError):
            process.kill()
        await process.communicate()  # what nobody reads would keep the pipe open


def within(folder: Path, name: str) -> Path:
    """Return where a name leads below a folder, and nowhere else: links and dots end at the folder."""
    at, parts = folder, _parts(name)
    links = 0
    while parts:
        part = parts.pop(0)
        if part == "..":
            at = at.parent if at != folder else folder
            continue
        step = at / part
        if links < _MOST_LINKS and step.is_symlink():
            links += 1
            target = os.readlink(step)
            at = folder if target.startswith("/") else at
            parts = _parts(target) + parts
        else:
            at = step
    return at


def stat_fault(folder: Path, name: str) -> str:
    """Return why a file below a folder cannot be looked at, in Go's words; "" where it can."""
    path = within(folder, name)
    try:
        path.stat()
    except OSError as error:
        return f"stat {path}: {os.strerror(error.errno or 0).lower()}"
    except ValueError:  # no name has a zero in it
        return f"stat {path}: invalid argument"
    return ""


def _parts(text: str) -> list[str]:
    return [part for part in text.split("/") if part not in ("", ".")]
