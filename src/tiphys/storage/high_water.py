"""``HighWater``: the newest revision that was acknowledged, kept beside a SQLite file, in its lock file.

A file whose write-ahead log was lost, or in whose place an older copy was put, is a sound one to SQLite: only
this tells that it holds less than clients were told of. Nothing waits for it to reach the disk. A process
that is killed leaves it as it was; after a power failure it may be older, never newer, than what was synced.
It counts in the very file it was written to: a copy of a folder, made while its server wrote, has parts of
different moments, and nothing was promised of it.

Owns: those bytes. Refuses: judging them, which ``sqlite_file`` does.
"""

from __future__ import annotations

import mmap
import os
from typing import Final

_SIZE: Final = 16
"""The revision, and the number of the file that it is in."""


class HighWater:
    """On an open file, which is its owner's to close. Raises OSError."""

    def __init__(self, handle: int) -> None:
        found = os.fstat(handle)
        if found.st_size < _SIZE:
            os.pwrite(handle, bytes(_SIZE), 0)  # so that the bytes have their place on the disk
        self._map = mmap.mmap(handle, _SIZE)
        self._numbers = memoryview(self._map).cast("Q")
        if self._numbers[1] != found.st_ino:
            self._numbers[0], self._numbers[1] = 0, found.st_ino

    @property
    def revision(self) -> int:
        """The newest revision noted; 0: none was."""
        return self._numbers[0]

    def note(self, revision: int) -> None:
        """Note a revision, in one store of the processor: a kill leaves this number or the one before."""
        self._numbers[0] = revision

    def close(self) -> None:
        """Let go of the file."""
        self._numbers.release()
        self._map.close()
