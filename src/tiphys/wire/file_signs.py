"""Whether files were written anew: what is compared, without reading them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path


def signs_of(paths: Iterable[Path]) -> tuple[object, ...]:
    """Return what changes when one of these files is written, removed, or a link to one is turned."""
    return tuple(_sign(path) for path in paths)


def _sign(path: Path) -> object:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ino, found.st_size
