"""Static tokens: lines of ``token,user,uid,"group1,group2"`` as ``--token-auth-file`` takes them."""

from __future__ import annotations

import csv
import io

from tiphys.apiserver.options import TokenEntry


def parse(text: str) -> tuple[TokenEntry, ...]:
    """Read a token file.

    Raises:
        ValueError: a line has fewer than three columns or an empty token.
    """
    entries = []
    for number, row in enumerate(csv.reader(io.StringIO(text), skipinitialspace=True), 1):
        if not row or not any(cell.strip() for cell in row):
            continue
        if len(row) < 3:
            raise ValueError(f"token file line {number}: expected at least 3 columns (token, user, uid)")
        token, user, uid = (cell.strip() for cell in row[:3])
        if not token:
            raise ValueError(f"token file line {number}: empty token")
        groups = tuple(group.strip() for group in row[3].split(",") if group.strip()) if len(row) > 3 else ()
        entries.append(TokenEntry(token, user, uid, groups))
    return tuple(entries)
