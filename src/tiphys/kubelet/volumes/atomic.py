"""Folders whose files change all at once, as config map and secret volumes do.

Owns the layout: real files in a time-stamped folder, ``..data`` pointing at it, and a link for each name
through ``..data``. Swapping that one link is the update.
Source: "ConfigMaps": mounted ConfigMaps are updated automatically.
"""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Mapping
from pathlib import Path

from tiphys.apimachinery.dataclass import dataclass

_DATA = "..data"


@dataclass(frozen=True, slots=True)
class Payload:
    """One file: content, permission bits, owner (None leaves it to root)."""

    data: bytes
    mode: int = 0o644
    uid: int | None = None


def write_payload(folder: Path, files: Mapping[str, Payload]) -> bool:
    """Make ``folder`` show exactly these files (by relative path); False if it did already.

    Raises:
        ValueError: a path that leaves the folder. OSError.
    """
    for name in files:
        _check(name)
    current = folder / _DATA
    if _same(current, files):
        return False
    version = folder / f"..{secrets.token_hex(6)}"
    version.mkdir(mode=0o755)
    version.chmod(0o755)
    for name, payload in files.items():
        path = version / name
        path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        path.write_bytes(payload.data)
        if payload.uid is not None:
            os.chown(path, payload.uid, -1)
        path.chmod(payload.mode)
    previous = os.readlink(current) if current.is_symlink() else ""
    pending = folder / f"{_DATA}_tmp"
    pending.unlink(missing_ok=True)
    pending.symlink_to(version.name)
    pending.replace(current)
    _link_names(folder, {name.split("/")[0] for name in files})
    if previous:
        shutil.rmtree(folder / previous, ignore_errors=True)
    return True


def _check(name: str) -> None:
    parts = name.split("/")
    if not name or name.startswith("/") or ".." in parts or parts[0].startswith(".."):
        raise ValueError(f"invalid path {name!r} in a volume")


def _link_names(folder: Path, wanted: set[str]) -> None:
    for entry in folder.iterdir():
        if not entry.name.startswith("..") and entry.name not in wanted and entry.is_symlink():
            entry.unlink()
    for name in wanted:
        link = folder / name
        if not link.is_symlink():
            link.symlink_to(f"{_DATA}/{name}")


def _same(current: Path, files: Mapping[str, Payload]) -> bool:
    if not current.is_dir():
        return False
    have: dict[str, Path] = {
        str(path.relative_to(current)): path for path in current.rglob("*") if path.is_file()
    }
    if set(have) != set(files):
        return False
    for name, path in have.items():
        payload = files[name]
        status = path.stat()
        # A group owner widens the bits afterwards: only bits that are asked for must be there.
        if status.st_mode & payload.mode != payload.mode or path.read_bytes() != payload.data:
            return False
    return True
