"""How many seats a list or watch takes: by the objects that it must read. Pure but for the count it is given.

Source: KEP-1040, "Width of requests": a hundred objects a seat, ten seats at most.
"""

from __future__ import annotations

from collections.abc import Callable

from tiphys.apiserver.requestinfo import RequestInfo, read_query

OBJECTS_PER_SEAT = 100
MOST_SEATS = 10

CountObjects = Callable[[RequestInfo], int]
"""How many live objects of a kind (in a namespace) there are."""


def list_seats(count: CountObjects, info: RequestInfo, raw_query: str) -> int:
    """Return the width of a list, or of a watch that begins with what exists."""
    if info.name:
        return 1
    query = read_query(raw_query) if raw_query else {}
    if info.verb == "watch":
        from_now = query.get("resourceVersion", ["0"])[0] not in ("", "0")
        if from_now and query.get("sendInitialEvents", ["false"])[0] != "true":
            return 1
    objects = count(info)
    limit = query.get("limit", ["0"])[0]
    if limit.isdigit() and int(limit) and not ("fieldSelector" in query or "labelSelector" in query):
        objects = min(objects, int(limit))
    return max(1, min(MOST_SEATS, -(-objects // OBJECTS_PER_SEAT)))
