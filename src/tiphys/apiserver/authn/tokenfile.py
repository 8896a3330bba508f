"""Static tokens: lines of ``token,user,uid,"group1,group2"`` as ``--token-auth-file`` takes them."""

from __future__ import annotations

import logging

from tiphys.apimachinery import go_csv
from tiphys.apiserver.options import TokenEntry

log = logging.getLogger(__name__)


def parse(text: str, path: str = "") -> tuple[TokenEntry, ...]:
    """Read a token file; lines without a token name nobody, of lines with the same the last one counts.

    White space is part of what it stands in.

    Raises:
        ValueError: a line has fewer than three columns, or quotes where there must be none.
    """
    entries: dict[str, TokenEntry] = {}
    for number, row in enumerate(go_csv.records(text), 1):
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
