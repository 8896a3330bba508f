"""Static tokens: lines of ``token,user,uid,"group1,group2"`` as ``--token-auth-file`` takes them."""

from __future__ import annotations

import csv
import io
import logging
from collections.abc import Iterator

from tiphys.apiserver.options import TokenEntry

log = logging.getLogger(__name__)


def parse(text: str, path: str = "") -> tuple[TokenEntry, ...]:
    """Read a token file; lines without a token name nobody, of lines with the same the last one counts.

    White space is part of what it stands in.

    Raises:
        ValueError: a line has fewer than three columns, or quotes that do not end.
    """
    entries: dict[str, TokenEntry] = {}
    for number, row in enumerate(_rows(text), 1):
        if len(row) < 3:
            raise ValueError(
                f"token file '{path}' must have at least 3 columns (token, user name, user uid), "
                f"found {len(row)}"
            )
        token, user, uid = row[:3]
        if not token:
            log.warning("empty token has been found in token file path=%s record=%d", path, number)
            continue
        if token in entries:
            log.warning("duplicate token has been found in token file path=%s record=%d", path, number)
        groups = tuple(row[3].split(",")) if len(row) > 3 else ()
        entries[token] = TokenEntry(token, user, uid, groups)
    return tuple(entries.values())


def _rows(text: str) -> Iterator[list[str]]:
    try:
        yield from filter(None, csv.reader(io.StringIO(text, newline=""), strict=True))
    except csv.Error as error:
        raise ValueError(str(error)) from error
