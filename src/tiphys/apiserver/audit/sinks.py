"""Where audit events go: a file that is rotated, or another server in batches.

Owns: files, batches, retries. Whoever hands events over never waits for either.
"""

from __future__ import annotations

import asyncio
import gzip
import logging
import os
import shutil
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, Protocol

import orjson

from tiphys.apimachinery.clock import Clock
from tiphys.apimachinery.meta import Object
from tiphys.apiserver.audit.policy import API_VERSION

log = logging.getLogger(__name__)
_MEBIBYTE: Final = 1024 * 1024
_GZIP: Final = ".gz"
_STAMP: Final = "%Y-%m-%dT%H-%M-%S.%f"


class Sink(Protocol):
    """Takes events; ``run`` works in the background, ``close`` finishes what was taken."""

    def put(self, event: Object) -> None: ...

    async def run(self) -> None: ...

    async def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class LogOptions:
    """``--audit-log-*``; 0 keeps for ever, or any number."""

    path: str
    """``-`` is standard output."""
    format: str = "json"
    max_age_days: int = 0
    max_backups: int = 0
    max_size_mib: int = 100
    compress: bool = False
    """Files that are set aside become gzip's."""


def render(event: Object, form: str) -> bytes:
    """Return one line of the log."""
    if form == "json":
        return orjson.dumps(event) + b"\n"
    return (_legacy(event) + "\n").encode()


def _legacy(event: Object) -> str:
    """The one-line form of old, which names the user and the object in quotes."""
    user, reference = event["user"], event.get("objectRef") or {}
    namespace = reference.get("namespace") or "<none>"
    status = event.get("responseStatus") or {}
    imitated = event.get("impersonatedUser") or {}

    def quoted(values: Sequence[str]) -> str:
        return '"' + '","'.join(values) + '"' if values else "<none>"

    agent = orjson.dumps(event.get("userAgent", "")).decode()
    return (
        f'{event["stageTimestamp"]} AUDIT: id="{event["auditID"]}" stage="{event["stage"]}" '
        f'ip="{(event.get("sourceIPs") or ["<unknown>"])[0]}" method="{event["verb"]}" '
        f'user="{user.get("username", "<none>")}" groups={quoted(user.get("groups") or ())} '
        f'as="{imitated.get("username", "<self>")}" '
        f"asgroups={quoted(imitated.get('groups') or ()) if imitated else '<lookup>'} "
        f'user-agent={agent} namespace="{namespace}" uri="{event["requestURI"]}" '
        f'response="{status.get("code", "<deferred>")}"'
    )


class LogFile:
    """Appends lines; a file that is full is set aside under the time of day."""

    def __init__(self, options: LogOptions, clock: Clock) -> None:
        self._options = options
        self._clock = clock
        self._path = Path(options.path)
        self._file: int | None = None
        self._size = 0

    def put(self, event: Object) -> None:
        line = render(event, self._options.format)
        try:
            self._write(line)
        except OSError as error:
            log.error("audit event not written path=%s error=%s", self._options.path, error)

    def _write(self, line: bytes) -> None:
        if self._options.path == "-":
            os.write(1, line)
            return
        limit = self._options.max_size_mib * _MEBIBYTE
        if self._file is None:
            self._open()
        elif limit and self._size + len(line) > limit:
            self.rotate()
        assert self._file is not None
        os.write(self._file, line)
        self._size += len(line)

    def _open(self) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        # Only the server's own user may read who asked for what.
        self._file = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        self._size = self._path.stat().st_size

    def rotate(self) -> None:
        """Set the file aside, begin another, drop those that are too old or too many. Raises OSError."""
        self._close()
        stamp = self._clock.now().strftime(_STAMP)[:-3]
        if self._path.exists():
            aside = self._path.with_name(f"{self._path.stem}-{stamp}{self._path.suffix}")
            self._path.rename(aside)
            if self._options.compress:
                _compress(aside)
        self._open()
        for path in self._doomed():
            path.unlink(missing_ok=True)

    def _doomed(self) -> list[Path]:
        """Return the files set aside that are to go."""
        kept: list[tuple[datetime, Path]] = []
        for path in self._path.parent.glob(f"{self._path.stem}-*"):
            name = path.name.removesuffix(_GZIP)
            if not name.endswith(self._path.suffix):
                continue
            text = name[len(self._path.stem) + 1 : len(name) - len(self._path.suffix)]
            try:
                kept.append((datetime.strptime(text, _STAMP).replace(tzinfo=UTC), path))
            except ValueError:
                continue  # somebody else's file
        kept.sort(reverse=True)
        doomed = []
        if self._options.max_backups:
            doomed += [path for _, path in kept[self._options.max_backups :]]
        if self._options.max_age_days:
            oldest = self._clock.now() - timedelta(days=self._options.max_age_days)
            doomed += [path for made, path in kept if made < oldest]
        return doomed

    async def run(self) -> None:
        return

    async def close(self) -> None:
        self._close()

    def _close(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None


def _compress(path: Path) -> None:
    """Put a file's gzip form, as private as it was, in its place. Raises OSError."""
    with path.open("rb") as source, gzip.open(f"{path}{_GZIP}", "wb") as target:
        os.chmod(f"{path}{_GZIP}", 0o600)
        shutil.copyfileobj(source, target)
    path.unlink()


@dataclass(frozen=True, slots=True)
class BatchOptions:
    """``--audit-webhook-batch-*`` and ``--audit-webhook-initial-backoff``."""

    buffer: int = 10_000
    max_size: int = 400
    max_wait_s: float = 30.0
    retries: int = 4
    backoff_s: float = 10.0
    max_bytes: int = 0
    """Of one batch's events; 0: any number. One event that is larger goes alone."""


class Send(Protocol):
    """Posts one EventList. Raises OSError where that fails."""

    async def __call__(self, body: bytes) -> None: ...

    async def close(self) -> None: ...


class Webhook:
    """Gathers events and sends them on in batches. What finds the buffer full is dropped, and counted."""

    def __init__(self, send: Send, options: BatchOptions) -> None:
        self._send = send
        self._options = options
        self._events: deque[Object] = deque()
        self._filled = asyncio.Event()
        self.dropped = 0

    def put(self, event: Object) -> None:
        if len(self._events) >= self._options.buffer:
            self.dropped += 1
            return
        self._events.append(event)
        if len(self._events) >= self._options.max_size:
            self._filled.set()

    async def run(self) -> None:
        """Send for ever, each batch when it is full or has waited long enough."""
        while True:
            try:
                async with asyncio.timeout(self._options.max_wait_s):
                    await self._filled.wait()
            except TimeoutError:
                pass
            self._filled.clear()
            await self.flush()

    async def flush(self) -> None:
        """Send all that there is."""
        while self._events:
            await self._deliver(self._batch())

    def _batch(self) -> list[Object]:
        """Take the next events to send at once."""
        batch = [self._events.popleft()]
        size = self._size_of(batch[0])
        while self._events and len(batch) < self._options.max_size:
            size += self._size_of(self._events[0])
            if self._options.max_bytes and size > self._options.max_bytes:
                break
            batch.append(self._events.popleft())
        return batch

    def _size_of(self, event: Object) -> int:
        return len(orjson.dumps(event)) if self._options.max_bytes else 0

    async def _deliver(self, batch: list[Object]) -> None:
        body = orjson.dumps({"kind": "EventList", "apiVersion": API_VERSION, "metadata": {}, "items": batch})
        fault: OSError | None = None
        for attempt in range(self._options.retries + 1):
            try:
                await self._send(body)
                return
            except OSError as error:
                fault = error
            if attempt < self._options.retries:
                await asyncio.sleep(self._options.backoff_s * 1.5**attempt)
        self.dropped += len(batch)
        log.error("audit events dropped count=%d error=%s", len(batch), fault)

    async def close(self) -> None:
        """Send what is left, once."""
        batch, self._events = list(self._events), deque()
        if batch:
            try:
                await self._send(orjson.dumps(
                    {"kind": "EventList", "apiVersion": API_VERSION, "metadata": {}, "items": batch}
                ))  # fmt: skip
            except OSError as error:
                log.error("audit events dropped count=%d error=%s", len(batch), error)
        await self._send.close()
