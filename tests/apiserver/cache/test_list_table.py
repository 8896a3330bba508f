"""Lists at every revision of a short history, whole and by page: the cases of upstream's suite for stores."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from tests.apiserver.cache.conftest import PODS, pod

from tiphys.apimachinery.errors import Expired, StatusError, Timeout
from tiphys.apiserver.cache import CachedStore, versions
from tiphys.apiserver.registry.objects import Page, Selection
from tiphys.storage.base import Put, Store

FIRST = 2
"""The revision of the first write; 10: after a write to another kind. 2 is compacted to."""
NAMES = ("first/bar", "second/bar", "second/foo", "third/barfoo", "third/foo", "second/baz")
NOW = ["first/bar", "second/bar", "second/foo", "third/barfoo", "third/foo"]


@dataclass(frozen=True)
class Case:
    """What is asked, and what comes: keys (or an error), where it goes on, how many are left."""

    want: list[str] | type[StatusError]
    namespace: str = ""
    name: str = ""
    rv: str = ""
    match: str = ""
    limit: int = 0
    start: str = ""
    """A continue token of revision ``rv``."""
    goes_on: str = ""
    left: int | None = None
    revision: int = 10


E, N = "Exact", "NotOlderThan"
CASES = {
    "too high": Case(Timeout, rv=str(2**63 - 1)),
    "of a namespace": Case(NOW[:1], "first"),
    "of a namespace, 0": Case(NOW[:1], "first", rv="0"),
    "of a namespace, before an update": Case(NOW[:1], "first", rv="2", match=E, revision=2),
    "before it was there": Case([], "second", rv="2", match=E, revision=2),
    "once it was there": Case(NOW[1:2], "second", rv="3", match=E, revision=3),
    "compacted": Case(Expired, "first", rv="1", match=E),
    "compacted, of all": Case(Expired, rv="1", match=E),
    "compacted, not older": Case(NOW[:1], "first", rv="1", match=N),
    "current": Case(NOW[:1], "first", rv="9"),
    "current, exact": Case(NOW[:1], "first", rv="9", match=E, revision=9),
    "current, not older": Case(NOW[:1], "first", rv="9", match=N),
    "nothing there": Case([], "none"),
    "limit": Case(NOW[1:2], "second", limit=1, goes_on="bar", left=1),
    "limit, current": Case(NOW[1:2], "second", rv="9", limit=1, goes_on="bar", left=1, revision=9),
    "limit, exact": Case(NOW[1:2], "second", rv="9", match=E, limit=1, goes_on="bar", left=1, revision=9),
    "limit, not older": Case(NOW[1:2], "second", rv="9", match=N, limit=1, goes_on="bar", left=1),
    "limit, 0": Case(NOW[1:3], "second", rv="0", limit=1),
    "limit, 0, not older": Case(NOW[1:3], "second", rv="0", match=N, limit=1),
    "limit, before it was there": Case([], "second", rv="2", match=E, limit=1, revision=2),
    "limit, once it was there": Case(NOW[1:2], "second", rv="3", match=E, limit=1, revision=3),
    "token": Case(NOW[2:3], "second", rv="9", limit=1, start="foo", revision=9),
    "one name, others behind it": Case(NOW[3:4], name="barfoo", limit=1, goes_on=NOW[3]),
    "one name, others behind it, not older": Case(
        NOW[3:4], name="barfoo", rv="9", match=N, limit=1, goes_on=NOW[3]
    ),
    "one name, others behind it, exact": Case(
        NOW[:1], name="bar", rv="9", match=E, limit=1, goes_on=NOW[0], revision=9
    ),
    "one object": Case(NOW[1:2], "second", name="bar", limit=1),
    "one object, exact": Case(NOW[1:2], "second", name="bar", rv="9", match=E, limit=1, revision=9),
    "a full page, others behind it": Case(NOW[:2], name="bar", limit=2, goes_on=NOW[1]),
    "behind the last of a name": Case([], name="bar", rv="9", limit=2, start=NOW[1] + "\0", revision=9),
    "the last of all, a full page": Case(
        NOW[4:], name="foo", rv="9", limit=1, start="third/barfoo", revision=9
    ),
    "one name, last page": Case(NOW[3:4], name="barfoo", limit=2),
    "two of a name": Case(["second/foo", "third/foo"], name="foo", limit=2),
    "two of a name by page": Case(["second/foo"], name="foo", limit=1, goes_on="second/foo"),
    "one left of a name": Case(["third/foo"], name="foo", rv="9", limit=1, start="third/barfoo", revision=9),
    "one that is gone": Case([], name="baz", rv="9", match=N, limit=5),
    "one that was there": Case(["second/baz"], name="baz", rv="8", match=E, revision=8),
    "all": Case(NOW),
    "after the first": Case(NOW[:1], rv="2", match=E, revision=2),
    "after the third": Case(NOW[:3], rv="4", match=E, revision=4),
    "after the sixth": Case([*NOW[:2], "second/baz", *NOW[2:]], rv="7", match=E, revision=7),
    "after the last": Case(NOW, rv="10", match=E, revision=10),
    "yet to come": Case(Timeout, rv="11", match=E),
    "limit after the second": Case(NOW[:1], rv="3", match=E, limit=1, goes_on=NOW[0], left=1, revision=3),
    "limit after the third": Case(NOW[:2], rv="4", match=E, limit=2, goes_on=NOW[1], left=1, revision=4),
    "limit of all": Case(NOW[:4], rv="5", match=E, limit=4, revision=5),
    "limit after the fifth": Case(NOW[:1], rv="6", match=E, limit=1, goes_on=NOW[0], left=4, revision=6),
    "limit after the seventh": Case(
        [*NOW[:2], "second/baz", "second/foo"],
        rv="8", match=E, limit=4, goes_on="second/foo", left=2, revision=8,
    ),
    "limit above all": Case(NOW, rv="9", match=E, limit=8, revision=9),
    "going on, compacted": Case(Expired, rv="1", limit=1, start=NOW[0] + "\0"),
    "going on after the first": Case([], rv="2", limit=1, start=NOW[0] + "\0", revision=2),
    "going on after the second": Case(NOW[1:2], rv="3", limit=1, start=NOW[0] + "\0", revision=3),
    "going on after the third": Case(NOW[2:3], rv="4", limit=2, start=NOW[1] + "\0", revision=4),
    "going on after the fifth": Case(
        NOW[1:2], rv="6", limit=1, start=NOW[0] + "\0", goes_on=NOW[1], left=3, revision=6
    ),
    "going on after the sixth": Case(
        ["second/baz", "second/foo"], rv="7", limit=2, start=NOW[1] + "\0", goes_on=NOW[2], left=2, revision=7
    ),
    "going on at the present": Case(
        NOW[1:2], rv="-1", limit=1, start=NOW[0] + "\0", goes_on=NOW[1], left=3, revision=10
    ),
}  # fmt: skip


@pytest.fixture
async def history(below: Store, store: CachedStore) -> CachedStore:
    """Six creations, an update and a deletion of pods, then a write of something else."""
    for name in NAMES:
        namespace, _, own = name.partition("/")
        await store.create(PODS, pod(own, namespace))
    await store.update(PODS, pod("bar", "first", node="fake"), FIRST)
    await store.delete(PODS, "second", "baz", 7)
    await below.commit([Put("/registry/other/x", b"{}")])
    await store._feed.caught_up(10)
    await below.compact(FIRST)
    return store


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
async def test_list(history: CachedStore, case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    async def ask() -> Page:
        matches = None if not case.name else (lambda cached: cached.name == case.name)
        token = versions.encode_token(int(case.rv), case.start) if case.start else ""
        return await history.list(
            PODS, Selection(case.namespace, case.name, matches), limit=case.limit, continue_token=token,
            resource_version="" if token else case.rv, resource_version_match=case.match,
        )  # fmt: skip

    if not isinstance(case.want, list):
        monkeypatch.setattr("tiphys.apiserver.cache.feed._CATCH_UP_S", 0.01)
        with pytest.raises(case.want):
            await ask()
        return
    page = await ask()
    assert [f"{one.namespace}/{one.name}" for one in page.items] == case.want
    assert (page.revision, page.remaining) == (case.revision, case.left)
    if not case.goes_on:
        assert page.continue_token == ""
        return
    assert versions.decode_token(page.continue_token)[:2] == (case.revision, case.goes_on + "\0")
