"""Checks a store file's invariants: after a crash, in tests, and by hand.

By hand: ``python -m tiphys.storage.check FILE``. The connection is read-only; the store may be in use.
"""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from tiphys.storage.keyspace import MAX_WRITES


def check_file(path: str | Path) -> list[str]:
    """Return what is wrong with the file: nothing, for a sound one."""
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        (verdict,) = connection.execute("PRAGMA integrity_check(1)").fetchone()
        if verdict != "ok":
            return [f"file is damaged: {verdict}"]
        compacted = dict(connection.execute("SELECT name, value FROM meta")).get("compacted", 0)
        rows = connection.execute(
            "SELECT id, key, create_rev, prev_rev, deleted, value IS NULL FROM log ORDER BY id"
        )
        return list(check_log(rows, compacted))


def check_log(rows: Iterable[tuple[Any, ...]], compacted: int) -> Iterator[str]:
    """Follow every key through the log in order; yield each broken invariant.

    Revisions are dense after the compacted one; a version names the one before it; a key's create revision
    holds until it is deleted; only the living are deleted.
    """
    live: dict[str, tuple[int, int]] = {}
    newest = 0
    for id_, key, created, previous, deleted, empty in rows:
        revision, slot = divmod(id_, MAX_WRITES)
        if revision != newest:
            if newest >= max(compacted, 2) and revision != newest + 1:
                yield f"revision {newest + 1} is missing: {revision} follows {newest}"
            if slot and revision > compacted:
                yield f"revision {revision} does not begin with its first write"
            newest = revision
        before = live.get(key)
        if bool(deleted) != bool(empty):
            yield f"{key} at {revision}: a deletion has no value, a put has one"
        if before is not None and (previous, created) != before:
            yield f"{key} at {revision}: follows {previous} created {created}, log says {before}"
        if before is None and revision > compacted:
            if deleted:
                yield f"{key} at {revision}: deleted, but not there"
            elif previous or created != revision:
                yield f"{key} at {revision}: first version claims to follow {previous}"
        if deleted:
            live.pop(key, None)
        else:
            live[key] = (revision, created)


if __name__ == "__main__":
    faults = check_file(sys.argv[1])
    print("\n".join(faults) or "sound")
    sys.exit(bool(faults))
