"""Where audit events go: what a sink is, and the file that is rotated.

Owns: the log file. Other servers are ``webhook``'s, batches ``batches``'.
"""

from __future__ import annotations

import asyncio
import gzip
import logging
import math
import os
import re
import shutil
import stat
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Lock, Thread
from typing import Final, Protocol

import orjson

from tiphys.apimachinery.clock import Clock
from tiphys.apimachinery.dataclass import dataclass
from tiphys.apimachinery.meta import Object
from tiphys.apiserver.audit.event import encoded

log = logging.getLogger(__name__)
_MEBIBYTE: Final = 1024 * 1024
_GZIP: Final = ".gz"
_LEVEL: Final = 6
"""How hard to compress: as Go does."""
_SPARE_ZEROS: Final = re.compile(r"\.?0*Z$")
"""Fractions of seconds are no longer than they must be."""
_STAMP: Final = "%Y-%m-%dT%H-%M-%S.%f"


Kept = bool | asyncio.Future[bool]
"""Whether an event is in safe hands, or what to wait for to know."""


class Backend(Protocol):
    """Where events end. ``failed`` counts those that were lost."""

    name: str
    failed: int

    async def process(self, events: Sequence[Object]) -> bool:
        """Keep events; False where that failed."""
        ...

    async def close(self) -> None: ...


class Sink(Protocol):
    """Takes events; ``run`` works in the background, ``close`` finishes what was taken."""

    @property
    def strict(self) -> bool:
        """A request whose arrival is not kept must not be served."""
        ...

    @property
    def failures(self) -> dict[str, int]:
        """How many events each part of it has lost."""
        ...

    def put(self, event: Object) -> Kept: ...

    async def run(self) -> None: ...

    async def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class LogOptions:
    """``--audit-log-*``; 0 keeps for ever, or any number, but is the usual size."""

    path: str
    """``-`` is standard output."""
    format: str = "json"
    max_age_days: int = 0
    max_backups: int = 0
    max_size_mib: int = 100
    """0: the file is never full."""
    compress: bool = False
    """Files that are set aside become gzip's."""


def render(event: Object, form: str) -> bytes:
    """Return one line of the log."""
    if form == "json":
        return encoded(event)
    return (_legacy(event) + "\n").encode()


def _legacy(event: Object) -> str:
    """The one-line form of old, which names the user and the object in quotes."""
    user, imitated = event["user"], event.get("impersonatedUser")
    groups = user.get("groups") if user.get("username") else None
    their_groups = (imitated or {}).get("groups")
    words = {
        "id": event["auditID"],
        "stage": event["stage"],
        "ip": (event.get("sourceIPs") or ["<unknown>"])[0],
        "method": event["verb"],
        "user": user.get("username") or "<none>",
        "groups": ",".join(map(_quoted, groups)) if groups else "<none>",
        "as": "<self>" if imitated is None else imitated.get("username", ""),
        "asgroups": "<lookup>" if their_groups is None else ",".join(map(_quoted, their_groups)),
        "user-agent": event.get("userAgent", ""),
        "namespace": (event.get("objectRef") or {}).get("namespace") or "<none>",
        "uri": event["requestURI"],
        "response": str((event.get("responseStatus") or {}).get("code", "<deferred>")),
    }
    told = " ".join(f"{name}={_quoted(word)}" for name, word in words.items())
    return f"{_SPARE_ZEROS.sub('Z', event['requestReceivedTimestamp'])} AUDIT: {told}"


def _quoted(text: str) -> str:
    return orjson.dumps(text).decode()


class LogFile:
    """Appends lines; a file that is full is set aside under the time of day."""

    name = "log"

    def __init__(self, options: LogOptions, clock: Clock, *, strict: bool = False) -> None:
        self.strict = strict
        self.failed = 0
        self._options = options
        self._clock = clock
        self._path = Path(options.path)
        self._file: int | None = None
        self._size = 0
        self._lock = Lock()
        """Guards what the thread that tidies up shares with others."""
        self._tidying: Thread | None = None
        self._untidy = False
        """Whether there is something to see to that the thread has not looked for."""

    @property
    def failures(self) -> dict[str, int]:
        return {self.name: self.failed}

    def put(self, event: Object) -> bool:
        """Write one event now; False where that failed."""
        line = render(event, self._options.format)
        try:
            self._write(line)
        except OSError as error:
            self.failed += 1
            log.error("audit event not written path=%s error=%s", self._options.path, error)
            return False
        return True

    async def process(self, events: Sequence[Object]) -> bool:
        """Write all of them; False where one failed."""
        written = [self.put(event) for event in events]
        return all(written)

    def _write(self, line: bytes) -> None:
        if self._options.path == "-":
            _write_all(1, line)
            return
        limit = self._options.max_size_mib * _MEBIBYTE or math.inf
        if len(line) > limit:
            raise OSError(f"write length {len(line)} exceeds maximum file size {limit}")
        if self._file is None:
            self._begin(limit - len(line))
        if self._size + len(line) > limit:
            self.rotate()
        assert self._file is not None
        _write_all(self._file, line)
        self._size += len(line)

    def _begin(self, most: float) -> None:
        """Go on in a file that is there, unless it is larger already. Raises OSError."""
        if self._path.exists() and self._path.stat().st_size >= most:
            self.rotate()
            return
        self._open()
        self._tidy()

    def _open(self) -> None:
        self._path.parent.mkdir(0o700, parents=True, exist_ok=True)
        # Only the server's own user may read who asked for what.
        self._file = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        self._size = self._path.stat().st_size

    def rotate(self) -> None:
        """Set the file aside, begin another, drop those that are too old or too many. Raises OSError.

        Who may read the one may read the other: rights and owners stay as somebody has made them.
        """
        self._close()
        stamp = self._clock.now().strftime(_STAMP)[:-3]
        before = self._path.stat() if self._path.exists() else None
        if before is not None:
            self._path.rename(self._path.with_name(f"{self._path.stem}-{stamp}{self._path.suffix}"))
        self._open()
        if before is not None and self._file is not None:
            _own(self._file, before)
        self._tidy()

    def _tidy(self) -> None:
        """See to the files set aside, on a thread: of a full file that takes seconds."""
        with self._lock:
            self._untidy = True
            if self._tidying is None:
                self._tidying = Thread(target=self._tidy_up, name="audit-tidy", daemon=True)
                self._tidying.start()

    def _tidy_up(self) -> None:
        while True:
            with self._lock:
                if not self._untidy:
                    self._tidying = None
                    return
                self._untidy = False
            try:
                self._tidy_now()
            except OSError as error:
                log.warning("audit logs not tidied up path=%s error=%s", self._options.path, error)

    def settle(self) -> None:
        """Wait until the files set aside are seen to."""
        with self._lock:
            tidying = self._tidying
        if tidying is not None:
            tidying.join()

    def _tidy_now(self) -> None:
        """Drop files set aside that are to go, compress the others where that is wanted. Raises OSError."""
        kept, doomed = self._aside(), self._doomed()
        for path in doomed:
            path.unlink(missing_ok=True)
        for _, path in kept if self._options.compress else ():
            if path not in doomed and path.suffix != _GZIP:
                _compress(path)

    def _aside(self) -> list[tuple[datetime, Path]]:
        """Return the files set aside and when they were, the newest first."""
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
        return sorted(kept, reverse=True)

    def _doomed(self) -> list[Path]:
        """Return the files set aside that are to go."""
        kept, doomed = self._aside(), []
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
        await asyncio.to_thread(self.settle)

    def _close(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None


def _write_all(file: int, line: bytes) -> None:
    """Write a whole line. Raises OSError: of a disk that is nearly full it may have taken a part."""
    written = os.write(file, line)
    while written < len(line):
        written += os.write(file, line[written:])


def _own(file: int, like: os.stat_result) -> None:
    """Give a file the owners and rights of another one. Raises OSError."""
    os.fchown(file, like.st_uid, like.st_gid)
    os.fchmod(file, stat.S_IMODE(like.st_mode))


def _compress(path: Path) -> None:
    """Put a file's gzip form, as private as it was, in its place. Raises OSError."""
    made = os.open(f"{path}{_GZIP}", os.O_WRONLY | os.O_TRUNC | os.O_CREAT, 0o600)
    with path.open("rb") as source, open(made, "wb") as raw:
        _own(made, path.stat())
        with gzip.GzipFile(path.name, "wb", _LEVEL, fileobj=raw) as target:
            shutil.copyfileobj(source, target)
    path.unlink()
