"""Static tokens: lines of ``token,user,uid,"group1,group2"`` as ``--token-auth-file`` takes them."""

from __future__ import annotations

import csv
import io
import logging

from tiphys.apiserver.options import TokenEntry

log = logging.getLogger(__name__)


def parse(text: str, path: str = "") -> tuple[TokenEntry, ...]:
    """Read a token file; lines without a token name nobody.

    Raises:
        ValueError: a line has fewer than three columns.
    """
    entries = []
    for number, row in enumerate(csv.reader(io.StringIO(text), skipinitialspace=True), 1):
        if not row:
            continue
        if len(row) < 3:
            raise ValueError(
                f"token file '{path}' must have at least 3 columns (token, user name, user uid), "
                f"found {len(row)}"
            )
        token, user, uid = (cell.strip() for cell in row[:3])
        if not token:
            log.warning("empty token has been found in token file path=%s record=%d", path, number)
            continue
        groups = tuple(group.strip() for group in row[3].split(",") if group.strip()) if len(row) > 3 else ()
        entries.append(TokenEntry(token, user, uid, groups))
    return tuple(entries)
