"""mount(2) and umount(2), and what is mounted: the kubelet's few needs, without a process for each.

Owns the system calls. They block, so callers run them in a thread.
"""

from __future__ import annotations

import ctypes
import os
import re
from pathlib import Path

MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_REMOUNT, MS_BIND, MS_REC = 1, 2, 4, 8, 32, 4096, 16384
_MNT_DETACH = 2

_OCTAL = re.compile(r"\\([0-7]{3})")
_libc = ctypes.CDLL(None, use_errno=True)


def mount(source: str, target: Path, kind: str = "", flags: int = 0, data: str = "") -> None:
    """Raises OSError."""
    result = _libc.mount(
        source.encode(), os.fsencode(target), kind.encode(), ctypes.c_ulong(flags), data.encode()
    )
    if result:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), str(target))


def unmount(target: Path, *, detach: bool = False) -> None:
    """Raises OSError."""
    if _libc.umount2(os.fsencode(target), _MNT_DETACH if detach else 0):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), str(target))


def mounts_under(folder: Path) -> list[Path]:
    """Return the mount points at or below a folder, deepest first."""
    prefix = str(folder.resolve())
    found = []
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        point = _OCTAL.sub(lambda match: chr(int(match[1], 8)), line.split(" ")[4])
        if point == prefix or point.startswith(prefix + "/"):
            found.append(Path(point))
    return sorted(found, key=lambda path: len(path.parts), reverse=True)


def is_mount(folder: Path) -> bool:
    """Whether something is mounted exactly there."""
    return folder.exists() and folder.resolve() in mounts_under(folder)


def unmount_all(folder: Path) -> None:
    """Unmount everything at or below a folder. Raises OSError for what stays busy."""
    for point in mounts_under(folder):
        try:
            unmount(point)
        except OSError:
            unmount(point, detach=True)
