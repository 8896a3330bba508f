"""Files of authorities that flags name: read when a component starts, refused where they hold none."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import click

from tiphys.cmd.component import FlagError
from tiphys.wire.client_certificates import PROXIES, USERS, read_bundle

_FAULTS: Final = {
    USERS: "unable to load client CA provider",
    PROXIES: "unable to create request header authentication config",
}


def users_of(path: Path) -> bytes:
    """Return authorities of clients (PEM). Raises click.FileError, FlagError."""
    return _read(USERS, path)


def proxies_of(path: Path) -> bytes:
    """Return authorities of front proxies (PEM). Raises click.FileError, FlagError."""
    return _read(PROXIES, path)


def _read(purpose: str, path: Path) -> bytes:
    try:
        return read_bundle(purpose, path)
    except OSError as error:
        raise click.FileError(str(path), error.strerror or "") from error
    except ValueError as error:
        raise FlagError(f"{_FAULTS[purpose]}: {error}") from error
