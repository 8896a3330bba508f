"""How wide lists and watches are."""

import pytest

from tiphys.apiserver.flowcontrol.work import list_seats
from tiphys.apiserver.requestinfo import parse

PODS = "/api/v1/pods"


@pytest.mark.parametrize(
    ("objects", "query", "seats"),
    [
        (0, "", 1), (100, "", 1), (101, "", 2), (550, "", 6), (50_000, "", 10),
        (50_000, "limit=500", 5), (50_000, "limit=1", 1), (50_000, "limit=500&labelSelector=a", 10),
        (50_000, "limit=x", 10), (50_000, "fieldSelector=metadata.name=p", 1),
        (50_000, "watch=1", 10), (50_000, "watch=1&resourceVersion=7", 1),
        (50_000, "watch=1&resourceVersion=0", 10),
        (50_000, "watch=1&resourceVersion=7&sendInitialEvents=true", 10),
    ],
)  # fmt: skip
def test_seats(objects: int, query: str, seats: int) -> None:
    assert list_seats(lambda _info: objects, parse("GET", PODS, query), query) == seats
