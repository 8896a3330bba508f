"""How wide lists, watches and writes are."""

import pytest

from tiphys.apiserver.filters.requestinfo import parse
from tiphys.apiserver.flowcontrol.work import ONE, Stored, Width, Widths, widest

PODS = "/api/v1/pods"


def width(info, query="", *, stored=None, watchers=0, most=1000, by_size=True):
    measure = Widths(lambda _info: stored or Stored(0), lambda _info: watchers, by_size=by_size)
    return measure(info, query, most)


LISTS = [
    ("nothing", Stored(0), "", 1),
    ("a few small ones", Stored(100, 900), "", 1),
    ("by bytes", Stored(101, 1000), "", 2),
    ("what is streamed", Stored(50_000, 4000), "", 10),
    ("a page", Stored(50_000, 1000), "limit=500", 5),
    ("a page with a selector", Stored(50_000, 1000), "limit=500&labelSelector=a", 5),
    ("a page of large ones", Stored(50_000, 100_000), "limit=3", 3),
    ("a limit that is none", Stored(50_000, 1000), "limit=x", 100),
    ("a time that is none", Stored(5, 1000), "timeoutSeconds=x", 100),
    ("a limit of nothing", Stored(50, 10_000), "limit=", 100),
    ("one by name", Stored(50_000, 1000), "fieldSelector=metadata.name=p", 1),
    ("a large one by name", Stored(50_000, 250_000), "fieldSelector=metadata.name=p", 3),
    ("a huge one by name", Stored(50_000, 2_000_000), "fieldSelector=metadata.name=p&limit=500", 10),
    ("nobody knows how large", Stored(1, 0), "", 10),
    ("none of a kind that nobody knows", Stored(0, 0), "fieldSelector=metadata.name=p", 1),
    ("a watch from now on", Stored(50_000, 1000), "watch=1", 1),
    ("a watch from a version", Stored(50_000, 1000), "watch=1&resourceVersion=7", 1),
    ("a watch with what exists", Stored(50_000, 1000), "watch=1&sendInitialEvents=true", 10),
    ("in other words", Stored(50_000, 1000), "watch=1&sendInitialEvents=yes", 10),
    ("in no words", Stored(50_000, 1000), "watch=1&sendInitialEvents=", 10),
    ("a watch without", Stored(50_000, 1000), "watch=1&sendInitialEvents=False", 1),
    ("a watch for no time", Stored(50_000, 1000), "watch=1&timeoutSeconds=x", 100),
]


@pytest.mark.parametrize(
    ("stored", "query", "seats"), [row[1:] for row in LISTS], ids=[row[0] for row in LISTS]
)
def test_lists(stored, query, seats):
    assert width(parse("GET", PODS, query), query, stored=stored) == Width(seats)


@pytest.mark.parametrize(
    ("objects", "query", "seats"),
    [(0, "", 1), (101, "", 2), (550, "limit=5", 6), (5 * 10**6, "", 100), (699, "limit=399", 7),
     (799, "fieldSelector=metadata.name%3Dtest", 1), (799, "limit=invalid", 100)],
)  # fmt: skip
def test_lists_by_objects(objects, query, seats):
    found = width(parse("GET", PODS, query), query, stored=Stored(objects, 10**6), by_size=False)
    assert found == Width(seats)


def test_no_list_takes_more_than_its_level_gives():
    assert width(parse("GET", PODS, ""), stored=Stored(5000, 5000), most=4) == Width(4)


WRITES = [
    ("POST", "/api/v1/namespaces/d/pods", 9, 10, ONE),
    ("POST", "/api/v1/namespaces/d/pods", 10, 10, Width(1, 1, 0.005)),
    ("PUT", "/api/v1/namespaces/d/pods/p", 95, 10, Width(1, 10, 0.005)),
    ("PATCH", "/api/v1/namespaces/d/pods/p/status", 1000, 50, Width(1, 10, 0.05)),
    ("DELETE", "/api/v1/namespaces/d/pods/p", 1000, 2, Width(1, 2, 0.25)),
    ("POST", "/api/v1/namespaces/d/serviceaccounts/s/token", 1000, 10, ONE),
    ("DELETE", "/api/v1/namespaces/d/pods", 1000, 10, ONE),
    ("GET", "/api/v1/namespaces/d/pods/p", 1000, 10, ONE),
]


@pytest.mark.parametrize(("method", "path", "watchers", "most", "expected"), WRITES)
def test_writes(method, path, watchers, most, expected):
    found = width(parse(method, path, ""), watchers=watchers, most=most)
    assert (found.seats, found.final) == (expected.seats, expected.final)
    assert found.extra_s == pytest.approx(expected.extra_s)


def test_seats_to_take():
    assert (Width(1, 10, 0.1).most, Width(5).most) == (10, 5)


@pytest.mark.parametrize(
    ("nominal", "hand", "most"),
    [(5, 6, 1), (10, 6, 1), (15, 6, 2), (20, 6, 3), (35, 6, 5), (100, 6, 15), (200, 6, 30), (10, 1, 2),
     (100, 20, 5), (0, 6, 1), (245, 6, 37), (13, 0, 100)],
)  # fmt: skip
def test_how_much_of_a_level_one_request_may_take(nominal, hand, most):
    assert widest(nominal, hand) == most
