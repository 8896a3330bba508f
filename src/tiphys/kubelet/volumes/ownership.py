"""Giving a volume to a pod's ``fsGroup``.

Source: "Configure volume permission and ownership change policy for Pods".
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

_READ_WRITE, _READ_ONLY, _ENTER = 0o660, 0o440, 0o110


def give_to_group(
    folder: Path, group: int, *, read_only: bool = False, on_root_mismatch: bool = False
) -> None:
    """Change group and mode of a tree; links are left alone. Raises OSError."""
    root = folder.stat()
    if on_root_mismatch and root.st_gid == group and root.st_mode & stat.S_ISGID:
        return
    bits = _READ_ONLY if read_only else _READ_WRITE
    for parent, folders, files in os.walk(folder):
        for name in files:
            _give(Path(parent, name), group, bits)
        for name in folders:
            _give(Path(parent, name), group, bits)
    # The top last: an interrupted change is seen and done again.
    _give(folder, group, bits)


def _give(path: Path, group: int, bits: int) -> None:
    status = path.lstat()
    if stat.S_ISLNK(status.st_mode):
        return
    os.lchown(path, -1, group)
    mode = stat.S_IMODE(status.st_mode) | bits
    if stat.S_ISDIR(status.st_mode):
        mode |= _ENTER | stat.S_ISGID
    path.chmod(mode)
