"""hostPath volumes: checking, or making, what a pod asks for on its node.

Source: "hostPath volume types".
"""

from __future__ import annotations

import stat
from collections.abc import Callable
from pathlib import Path

from tiphys.kubelet.volumes.payload import VolumeProblem

_CHECKS: dict[str, tuple[Callable[[int], bool], str]] = {
    "Directory": (stat.S_ISDIR, "is not a directory"),
    "DirectoryOrCreate": (stat.S_ISDIR, "is not a directory"),
    "File": (stat.S_ISREG, "is not a file"),
    "FileOrCreate": (stat.S_ISREG, "is not a file"),
    "Socket": (stat.S_ISSOCK, "is not a socket file"),
    "CharDevice": (stat.S_ISCHR, "is not a character device"),
    "BlockDevice": (stat.S_ISBLK, "is not a block device"),
}


def prepare_host_path(path: Path, kind: str) -> Path:
    """Return the path once it is what ``kind`` says. Raises VolumeProblem."""
    if kind == "DirectoryOrCreate":
        path.mkdir(mode=0o755, parents=True, exist_ok=True)
    elif kind == "FileOrCreate" and not path.exists():
        try:
            path.touch(mode=0o644)
        except OSError as error:
            raise VolumeProblem(f"hostPath type check failed: {error}") from error
    if kind not in _CHECKS:
        return path
    check, words = _CHECKS[kind]
    if not path.exists() or not check(path.stat().st_mode):
        raise VolumeProblem(f"hostPath type check failed: {path} {words}")
    return path
