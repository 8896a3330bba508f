"""The files of a client's TLS context: certificate, key, authorities. They may be written anew at any time.

Owns: noticing it, and making a context of what they hold then. Files that do not fit each other change
nothing: the second of a pair may not be written yet. Called by ``transport`` before it connects, and once a
minute.
"""

from __future__ import annotations

import logging
import ssl
from collections.abc import Callable, Iterable
from pathlib import Path

from tiphys.apimachinery.errors import TiphysError
from tiphys.wire.file_signs import signs_of

log = logging.getLogger(__name__)


class TlsFiles:
    """``make`` reads the files into a context. It raises OSError or TiphysError where it cannot."""

    def __init__(self, paths: Iterable[Path], make: Callable[[], ssl.SSLContext | None]) -> None:
        self._paths = tuple(paths)
        self._make = make
        self._seen = signs_of(self._paths)

    def changed(self) -> ssl.SSLContext | None:
        """Return a context of what was written since the last one; None: nothing was, or nothing good."""
        signs = signs_of(self._paths)
        if signs == self._seen:
            return None
        try:
            context = self._make()
        except (OSError, TiphysError) as error:
            log.warning("certificates not taken over error=%s", error)
            return None
        self._seen = signs
        log.info("certificates taken over files=%s", ",".join(map(str, self._paths)))
        return context
