"""Container logs as the runtime writes them: reading, following, rotating.

Owns the CRI log format: ``<time> <stream> <P|F> <text>``, one line each, P for a part of a longer line.
Blocking reads are short and done in place; following polls.
"""

from __future__ import annotations

import asyncio
import gzip
import os
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import BinaryIO

from tiphys.apimachinery.clock import parse_time
from tiphys.apimachinery.dataclass import dataclass

_POLL_S = 0.1
_CHUNK = 64 * 1024


@dataclass(frozen=True, slots=True)
class LogOptions:
    """What of a log is wanted (PodLogOptions)."""

    follow: bool = False
    tail_lines: int | None = None
    since: datetime | None = None
    timestamps: bool = False
    limit_bytes: int | None = None
    stream: str = ""
    """``stdout`` or ``stderr``; empty is both."""


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line of the file; ``partial`` when the text goes on in the next one."""

    time: bytes
    stream: bytes
    partial: bool
    text: bytes


def parse_line(line: bytes) -> LogLine | None:
    """Read a line without its newline; None for what is not in the format."""
    parts = line.split(b" ", 3)
    if len(parts) < 3 or parts[1] not in (b"stdout", b"stderr"):
        return None
    tags = parts[2].split(b":")
    return LogLine(parts[0], parts[1], tags[0] == b"P", parts[3] if len(parts) > 3 else b"")


def render(line: LogLine, options: LogOptions) -> bytes:
    """Return what the reader gets for a line, b"" if it does not want it."""
    if options.stream and line.stream.decode() != options.stream:
        return b""
    if options.since is not None and _before(line.time, options.since):
        return b""
    text = line.text if line.partial else line.text + b"\n"
    return line.time + b" " + text if options.timestamps else text


def _before(stamp: bytes, since: datetime) -> bool:
    try:
        return (
            parse_time(stamp.decode()[:26].rstrip("Z") + "Z" if stamp.endswith(b"Z") else stamp.decode())
            < since
        )
    except ValueError:
        return False


def _tail_start(file: BinaryIO, lines: int) -> int:
    """Return the offset where the last ``lines`` full lines begin; parts belong to their line."""
    end = file.seek(0, os.SEEK_END)
    if lines <= 0:
        return end
    position, buffer = end, b""
    while position > 0:
        size = min(_CHUNK, position)
        position -= size
        file.seek(position)
        buffer = file.read(size) + buffer
        pieces = buffer.split(b"\n")
        # The first piece may be cut; the last is empty after a final newline.
        full = pieces[1:] if position else pieces
        count = 0
        for index in range(len(full) - 1, -1, -1):
            line = parse_line(full[index])
            if line is None:
                continue
            if not line.partial:
                count += 1
            if count > lines:
                return end - len(b"\n".join(full[index + 1 :]))
    return 0


async def read_log(path: Path, options: LogOptions, alive: Callable[[], bool]) -> AsyncIterator[bytes]:
    """Yield the log's text; with ``follow`` go on while ``alive()`` says that the container writes.

    Raises:
        FileNotFoundError: there is no log.
    """
    left = options.limit_bytes
    async for piece in _pieces(path, options, alive):
        if left is None:
            yield piece
            continue
        yield piece[:left]
        left -= len(piece)
        if left <= 0:
            return


async def _pieces(path: Path, options: LogOptions, alive: Callable[[], bool]) -> AsyncIterator[bytes]:
    file: BinaryIO = path.open("rb")
    rest = b""
    try:
        if options.tail_lines is not None:
            file.seek(_tail_start(file, options.tail_lines))
        while True:
            chunk = file.read(_CHUNK)
            if chunk:
                *lines, rest = (rest + chunk).split(b"\n")
                text = b"".join(_rendered(lines, options))
                if text:
                    yield text
                continue
            if not options.follow:
                break
            fresh = _rotated(file, path)
            if fresh is not None:
                file.close()
                file = fresh
                continue
            if not alive():
                # What was written before the end may have come after our last read.
                chunk = file.read()
                text = b"".join(_rendered((rest + chunk).split(b"\n"), options))
                if text:
                    yield text
                break
            await asyncio.sleep(_POLL_S)
    finally:
        file.close()


def _rendered(lines: list[bytes], options: LogOptions) -> Iterator[bytes]:
    for raw in lines:
        line = parse_line(raw)
        if line is not None:
            yield render(line, options)


def _rotated(file: BinaryIO, path: Path) -> BinaryIO | None:
    """Return the new file if another one has taken the path."""
    try:
        if os.fstat(file.fileno()).st_ino != path.stat().st_ino:
            return path.open("rb")
    except FileNotFoundError:
        pass
    return None


def last_lines(path: Path, lines: int, size: int) -> str:
    """Return the end of a log as text, at most so many lines and bytes; empty without a log."""
    try:
        with path.open("rb") as file:
            file.seek(_tail_start(file, lines))
            data = b"".join(_rendered(file.read().split(b"\n"), LogOptions()))
    except OSError:
        return ""
    return data[-size:].decode(errors="replace")


def rotate(path: Path, keep: int, stamp: str) -> None:
    """Move a log aside as ``<log>.<stamp>``, compress the one before, drop the oldest. Raises OSError.

    The runtime must be told to reopen the path afterwards.
    """
    older = sorted(path.parent.glob(f"{path.name}.*"))
    for file in older:
        if file.suffix != ".gz":
            with file.open("rb") as source, gzip.open(f"{file}.gz", "wb") as target:
                while chunk := source.read(_CHUNK):
                    target.write(chunk)
            file.unlink()
    compressed = sorted(path.parent.glob(f"{path.name}.*.gz"))
    for file in compressed[: max(0, len(compressed) - (keep - 2))]:
        file.unlink()
    path.rename(path.with_name(f"{path.name}.{stamp}"))
