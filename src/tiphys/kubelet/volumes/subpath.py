"""``subPath`` mounts: part of a volume, which a pod must not use to reach outside of it.

Owns the safe way in: each step of the path is opened without following links, and what was opened is bind
mounted, so that a link swapped in later changes nothing.
Source: "Using subPath"; CVE-2017-1002101.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from tiphys.kubelet.volumes.mount import MS_BIND, MS_REC, is_mount, mount
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
    handle = _open_below(volume.resolve(), sub_path)
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


def read_below(volume: Path, path: str, most_bytes: int) -> str | None:
    """Return the text of a file, or None where there is no such file. Links are not followed.

    Raises:
        VolumeProblem: the path leaves the volume, or the file is too long.
    """
    check_sub_path(path)
    *folders, name = path.split("/")
    handle = os.open(volume, os.O_PATH | os.O_DIRECTORY)
    try:
        for part in filter(None, folders):
            step = os.open(part, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=handle)
            os.close(handle)
            handle = step
        # A pipe that nobody writes to must not hold the reader up.
        opened = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=handle)
    except OSError:
        return None
    finally:
        os.close(handle)
    if not stat.S_ISREG(os.fstat(opened).st_mode):
        os.close(opened)
        return None
    with open(opened, "rb") as file:
        data = file.read(most_bytes + 1)
    if len(data) > most_bytes:
        raise VolumeProblem(f'file "{path}" is longer than {most_bytes} bytes')
    return data.decode(errors="replace")


def _open_below(root: Path, sub_path: str) -> int:
    """Open a path and make what is missing of it. Links count as they are now, if they stay below ``root``.

    What is opened and made is found from the folder above, which is open: nobody can move it away meanwhile.
    """
    try:
        full = (root / sub_path).resolve()
    except RuntimeError as error:  # links that lead to each other
        raise VolumeProblem(f'subpath "{sub_path}" is a loop of links') from error
    if full != root and root not in full.parents:
        raise VolumeProblem(f'subpath "{sub_path}" not within volume path')
    handle = os.open(root, os.O_PATH | os.O_DIRECTORY)
    for part in full.relative_to(root).parts:
        try:
            step = _open_or_make(handle, part)
        finally:
            os.close(handle)
        handle = step
        if stat.S_ISLNK(os.fstat(handle).st_mode):
            os.close(handle)
            raise VolumeProblem("a subpath changed while it was opened")
    return handle


def _open_or_make(above: int, name: str) -> int:
    """Open what a folder has, or make a folder that is its owner's as well."""
    try:
        return os.open(name, os.O_PATH | os.O_NOFOLLOW, dir_fd=above)
    except FileNotFoundError:
        os.mkdir(name, dir_fd=above)
    handle = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=above)
    try:
        like = os.fstat(above)
        os.fchown(handle, like.st_uid, like.st_gid)
        os.fchmod(handle, stat.S_IMODE(like.st_mode) or _DIRECTORY_MODE)
    except OSError:
        os.close(handle)
        raise
    return handle
