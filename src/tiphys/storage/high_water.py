"""``HighWater``: the newest revision that was acknowledged, kept beside a SQLite file, in its lock file.

A file whose write-ahead log was lost, or in whose place an older copy was put, is a sound one to SQLite: only
this tells that it holds less than clients were told of. Nothing waits for it to reach the disk. A process
that is killed leaves it as it was; after a power failure it may be older, never newer, than what was synced.

Owns: those eight bytes. Refuses: judging them, which ``sqlite_file`` does.
"""

from __future__ import annotations

import mmap
import os
from typing import Final

_SIZE: Final = 8


class HighWater:
    """On an open file, which is its owner's to close. Raises OSError."""

    def __init__(self, handle: int) -> None:
        if os.fstat(handle).st_size < _SIZE:
            os.pwrite(handle, bytes(_SIZE), 0)  # so that the bytes have their place on the disk
        self._map = mmap.mmap(handle, _SIZE)
        self._number = memoryview(self._map).cast("Q")

    @property
    def revision(self) -> int:
        """The newest revision noted; 0: none was."""
        return self._number[0]

    def note(self, revision: int) -> None:
        """Note a revision, in one store of the processor: a kill leaves this number or the one before."""
        self._number[0] = revision

    def close(self) -> None:
        """Let go of the file."""
        self._number.release()
        self._map.close()
