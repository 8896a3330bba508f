"""``subPath`` mounts: part of a volume, which a pod must not use to reach outside of it.

Owns the safe way in: each step of the path is opened without following links, and what was opened is bind
mounted, so that a link swapped in later changes nothing.
Source: "Using subPath"; CVE-2017-1002101.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from tiphys.kubelet.mount import MS_BIND, MS_REC, is_mount, mount
from tiphys.kubelet.volumes.payload import VolumeProblem

_DIRECTORY_MODE = 0o750


def check_sub_path(sub_path: str) -> None:
    """Raises VolumeProblem for a path that is absolute or steps up."""
    if sub_path.startswith("/") or ".." in sub_path.split("/"):
        raise VolumeProblem(f'invalid SubPath "{sub_path}": must not be absolute or contain ".."')


def bind_sub_path(volume: Path, sub_path: str, target: Path) -> Path:
    """Bind ``volume/sub_path`` (made as a folder if missing) at ``target`` and return it.

    Raises:
        VolumeProblem: the path leaves the volume. OSError.
    """
    check_sub_path(sub_path)
    if is_mount(target):
        return target
    root = volume.resolve()
    _make_folders(root, sub_path)
    full = (root / sub_path).resolve()
    if full != root and root not in full.parents:
        raise VolumeProblem(f'subpath "{sub_path}" not within volume path')
    handle = _open_below(root, str(full.relative_to(root)))
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        if stat.S_ISDIR(os.fstat(handle).st_mode):
            target.mkdir(exist_ok=True)
        else:
            target.touch()
        mount(f"/proc/self/fd/{handle}", target, flags=MS_BIND | MS_REC)
    finally:
        os.close(handle)
    return target


def _make_folders(root: Path, sub_path: str) -> None:
    """Make what is missing, step by step, without following a link out."""
    current = root
    for part in (part for part in sub_path.split("/") if part not in ("", ".")):
        step = current / part
        resolved = step.resolve()
        if resolved != root and root not in resolved.parents:
            raise VolumeProblem(f'subpath "{sub_path}" not within volume path')
        if not resolved.exists():
            mode = stat.S_IMODE(current.stat().st_mode) or _DIRECTORY_MODE
            resolved.mkdir()
            os.chown(resolved, current.stat().st_uid, current.stat().st_gid)
            resolved.chmod(mode)
        current = resolved


def _open_below(root: Path, relative: str) -> int:
    handle = os.open(root, os.O_PATH | os.O_DIRECTORY)
    for part in (part for part in relative.split("/") if part not in ("", ".")):
        try:
            step = os.open(part, os.O_PATH | os.O_NOFOLLOW, dir_fd=handle)
        finally:
            os.close(handle)
        handle = step
        if stat.S_ISLNK(os.fstat(handle).st_mode):
            os.close(handle)
            raise VolumeProblem("a subpath changed while it was opened")
    return handle
