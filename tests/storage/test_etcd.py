import asyncio
import os
import socket
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest
from etcd_line import Line, opened

from tiphys.storage.base import Compacted, CompareFailed, Delete, Event, Put, Record, StoreUnavailable
from tiphys.storage.etcd import EtcdStore
from tiphys.storage.etcd_client import EtcdClient, EtcdOptions
from tiphys.storage.etcd_watch import WentBack, _check_still_there, batches, complete
from tiphys.wire import pki

pytestmark = pytest.mark.etcd


async def test_a_cut_line_loses_no_event(etcd: Any, line: Line) -> None:
    url = await line.open()
    async with opened(url) as watching, opened(etcd.url) as writing:
        seen: list[Event] = []
        async with watching.watch("/w/", start_revision=2) as stream:
            for number in range(30):
                await writing.commit([Put(f"/w/{number}", b"")])
                if number % 10 == 5:
                    line.cut()
            async for events in stream:
                seen += events
                if len(seen) >= 30:
                    break
    assert [event.record.mod_revision for event in seen] == list(range(2, 32))


async def store_with_lost_answer(
    etcd: Any, line: Line, write: Callable[[EtcdStore], Awaitable[int]], present: str, expected: bytes | None
) -> tuple[Any, list[Event]]:
    """Do ``write`` so that its answer, and only that, gets lost once it is done."""
    url = await line.open()
    async with opened(etcd.url) as other, opened(url, options=EtcdOptions(timeout_s=5)) as store:
        await other.commit([Put("/there", b"old")])
        await store.confirm()
        before = other.revision
        line.swallow = lambda: other.revision > before
        try:
            outcome: Any = await write(store)
        except Exception as error:
            outcome = error
        await other.confirm()
        found = await other.get(present)
        assert (found.value if found else None) == expected
        return outcome, await other.history("", before + 1, other.revision)


WRITES = {
    "a new key": (Put("/new", b"1", expect=0), b"1"),
    "an update": (Put("/there", b"1", expect=2), b"1"),
    "a delete": (Delete("/there", expect=2), None),
    "whatever was there": (Put("/there", b"1"), b"1"),
}


@pytest.mark.parametrize("write", [pytest.param(write, id=name) for name, write in WRITES.items()])
async def test_a_write_whose_answer_is_lost_is_done_once(
    etcd: Any, line: Line, write: tuple[Put | Delete, bytes | None]
) -> None:
    wanted, expected = write

    async def commit(store: EtcdStore) -> int:
        return await store.commit([wanted])

    outcome, events = await store_with_lost_answer(etcd, line, commit, wanted.key, expected)
    assert len(events) == 1
    assert outcome == events[0].record.mod_revision


async def answers_again(store: EtcdStore) -> None:
    """Ask until somebody answers: a member that was away is tried again within a second or two."""
    async with asyncio.timeout(30):
        while True:
            try:
                return await store.confirm()
            except StoreUnavailable:
                continue


async def test_a_write_that_did_not_arrive_is_refused_and_not_done(etcd: Any, line: Line) -> None:
    url = await line.open()
    async with opened(url) as store:
        line.is_down = True
        line.cut()
        store._client._options = EtcdOptions(timeout_s=0.5)  # whoever is away is not waited for for long
        with pytest.raises(StoreUnavailable):
            await store.commit([Put("/a", b"", expect=0)])
        with pytest.raises(StoreUnavailable):
            await store.confirm()
        store._client._options = EtcdOptions()
        line.is_down = False
        await answers_again(store)
        assert await store.get("/a") is None


@pytest.mark.slow
async def test_history_lost_while_away_is_told(etcd: Any, line: Line) -> None:
    url = await line.open()
    lost = asyncio.Event()
    heard: list[Event] = []
    async with opened(etcd.url) as other, opened(url) as store:
        store.subscribe(heard.extend, lost.set)
        async with store.watch("/") as stream:
            await store.commit([Put("/a", b"1")])
            line.is_down = True
            line.cut()
            for number in range(5):
                await other.commit([Put("/a", b"%d" % number)])
            await other.compact(other.revision)
            line.is_down = False
            await lost.wait()
            assert len([events async for events in stream]) == 1
        assert store.revision == other.revision
        assert await store.commit([Put("/b", b"")]) == heard[-1].record.mod_revision
    assert [event.record.key for event in heard] == ["/a", "/b"]


async def test_confirm_shows_what_others_wrote(etcd: Any) -> None:
    async with opened(etcd.url) as one, opened(etcd.url) as other:
        heard: list[Event] = []
        one.subscribe(heard.extend)
        for number in range(10):
            revision = await other.commit([Put("/a", b"%d" % number)])
            await asyncio.gather(*(one.confirm() for _ in range(3)))
            assert one.revision == revision
            assert heard[-1].record.value == b"%d" % number


async def test_roots_keep_apart(etcd: Any) -> None:
    async with opened(etcd.url, root="/one") as one, opened(etcd.url, root="/two") as two:
        await one.commit([Put("/a", b"1", expect=0)])
        revision = await two.commit([Put("/a", b"2", expect=0)])
        await one.confirm()
        assert one.revision == revision
        assert [record.value for record in (await one.range("")).records] == [b"1"]
        assert [event.record.value for event in await two.history("/", 2, revision)] == [b"2"]
        with pytest.raises(CompareFailed) as caught:
            await one.commit([Put("/a", b"", expect=0)])
        assert caught.value.current == Record("/a", b"1", 2, 2)


async def test_a_root_in_the_place_of_the_base(etcd: Any) -> None:
    async with opened(etcd.url) as bare, opened(etcd.url, root="/blue", base="/registry") as store:
        await bare.commit([Put("/bluebell/pods/a", b"other")])
        revision = await store.commit([Put("/registry/pods/a", b"1", expect=0)])
        assert (await bare.get("/blue/pods/a")).value == b"1"
        for prefix in ("", "/", "/registry/", "/registry/pods/"):
            assert [record.key for record in (await store.range(prefix)).records] == ["/registry/pods/a"]
        assert (await store.get("/registry/pods/a")).mod_revision == revision
        assert [e.record.key for e in await store.history("", 2, revision)] == ["/registry/pods/a"]
        with pytest.raises(ValueError, match="does not begin with"):
            await store.commit([Put("/elsewhere", b"")])


async def test_big_answers(etcd: Any) -> None:
    value = os.urandom(400_000)
    async with opened(etcd.url) as store:
        for number in range(10):
            await store.commit([Put(f"/big/{number}", value)])
        assert len((await store.range("/big/")).records) == 10
        client = EtcdClient([etcd.url], EtcdOptions(max_receive_bytes=3_000_000))
        client.open()
        sizes = []
        async with aclosing(batches(client, 2)) as stream:
            async for last, events in stream:
                sizes.append(len(events))
                if last == 11:
                    break
        await client.close()
    assert sum(sizes) == 10


async def test_history_ends_where_asked(etcd: Any) -> None:
    async with opened(etcd.url) as store:
        for number in range(6):
            await store.commit([Put(f"/{number % 2}", b"%d" % number)])
        found = await store.history("/1", 3, 6)
        assert [event.record.value for event in found] == [b"1", b"3"]
        await store.compact(4)
        with pytest.raises(Compacted) as caught:
            await store.history("/", 4, 6)
        assert caught.value.oldest == 4
        assert len(await store.history("/", 5, 6)) == 2


class Forgetful:
    """A stream of an etcd that has not noted yet that it is to tell what was before: a busy one is late."""

    def __init__(self, call: Any) -> None:
        self._call = call
        self.cancel = call.cancel

    async def read(self) -> Any:
        response = await self._call.read()
        for event in response.events:
            event.ClearField("prev_kv")
        return response


@pytest.fixture
def forgetful(monkeypatch: pytest.MonkeyPatch) -> None:
    watch = EtcdClient.watch

    async def forget(client: EtcdClient, request: Any) -> Forgetful:
        return Forgetful(await watch(client, request))

    monkeypatch.setattr(EtcdClient, "watch", forget)


@pytest.mark.usefixtures("forgetful")
async def test_what_was_before_is_known_also_where_etcd_does_not_tell_it(etcd: Any) -> None:
    async with opened(etcd.url) as store, store.watch("/") as stream:
        for value in (b"1", b"2"):
            await store.commit([Put("/a", value)])
        last = await store.commit([Delete("/a")])
        live: list[Event] = []
        while len(live) < 3:
            live += await anext(stream)
        for events in (live, await store.history("/", 2, last)):
            assert [event.previous and event.previous.value for event in events] == [None, b"1", b"2"]
            assert [event.deleted for event in events] == [False, False, True]
            assert events[-1].record.value == b"2"


async def between(client: EtcdClient, first: int, last: int) -> list[Any]:
    """Return the events of some revisions as etcd tells them."""
    found: list[Any] = []
    async with aclosing(batches(client, first)) as stream:
        async for reached, events in stream:
            found += [event for event in events if event.kv.mod_revision <= last]
            if reached >= last:
                break
    return found


async def test_what_was_before_and_is_gone_is_no_creation(etcd: Any) -> None:
    async with opened(etcd.url) as store:
        for value in (b"1", b"2"):
            await store.commit([Put("/a", value)])
        changed = await between(store._client, 2, 3)
        changed[-1].ClearField("prev_kv")
        await store.compact(3)
        with pytest.raises(Compacted) as caught:
            await complete(store._client, changed)
        assert caught.value.oldest == 3


async def test_old_versions_are_compacted_by_age(etcd: Any) -> None:
    async with opened(etcd.url, compact_every_s=0.02) as store:
        for number in range(3):
            await store.commit([Put("/a", b"%d" % number)])

        while True:
            try:
                await store.get("/a", revision=2)
            except Compacted:
                break


@pytest.mark.slow
async def test_etcd_ends_leases(etcd: Any) -> None:
    async with opened(etcd.url) as store, store.watch("/") as stream:
        await store.commit([Put("/a", b"1", lease=await store.grant_lease(1))])
        seen: list[Event] = []
        async for events in stream:
            seen += events
            if len(seen) == 2:
                break
    assert (seen[1].deleted, seen[1].record.value) == (True, b"1")


async def test_tls(tmp_path: Path, etcd_process: type[Any]) -> None:
    now = datetime.now(UTC)
    authority = pki.make_ca("etcd", now)
    server = pki.issue_server(authority, "etcd", ["127.0.0.1", "localhost"], now)
    client = pki.issue_client(authority, "store", [], now)
    (tmp_path / "ca.crt").write_bytes(authority.certificate)
    server.write(tmp_path / "server.crt", tmp_path / "server.key")
    client.write(tmp_path / "client.crt", tmp_path / "client.key")
    flags = [
        f"--cert-file={tmp_path / 'server.crt'}",
        f"--key-file={tmp_path / 'server.key'}",
        f"--trusted-ca-file={tmp_path / 'ca.crt'}",
        "--client-cert-auth",
    ]
    process = etcd_process(tmp_path / "etcd", scheme="https", flags=flags)
    await process.start()
    try:
        known = EtcdOptions(tmp_path / "ca.crt", tmp_path / "client.crt", tmp_path / "client.key")
        async with opened(process.url, options=known) as store:
            assert await store.commit([Put("/a", b"")]) == 2
        with pytest.raises(StoreUnavailable):
            await EtcdStore([process.url], options=EtcdOptions(tmp_path / "ca.crt", timeout_s=0.5)).open()
        with pytest.raises(StoreUnavailable, match="cannot read"):
            await EtcdStore([process.url], options=EtcdOptions(tmp_path / "none.crt")).open()
    finally:
        await process.end()


@pytest.mark.slow
async def test_the_leader_dies_under_writes(tmp_path: Path, etcd_process: type[Any]) -> None:
    members = [etcd_process(tmp_path / "etcd", f"m{number}") for number in range(3)]
    for member in members:
        await member.start(members)
    told: dict[str, list[int]] = {}
    stopping = asyncio.Event()

    async def write(store: EtcdStore, worker: int) -> None:
        """Create keys and count one up; note what was acknowledged."""
        counter, value, number = f"/count/{worker}", 0, 0
        version = await store.commit([Put(counter, b"0", expect=0)])
        while not stopping.is_set():
            number += 1
            key = f"/new/{worker}/{number}"
            try:
                revision = await store.commit([Put(key, b"x", expect=0)])
                told[key] = [revision]
                version = await store.commit([Put(counter, b"%d" % (value + 1), expect=version)])
                value += 1
            except StoreUnavailable:
                found = await store.get(counter)  # what a client does: look, then go on
                assert found is not None
                version, value = found.mod_revision, int(found.value)
        told[counter] = [value]

    try:
        async with opened(*(member.url for member in members), options=EtcdOptions(timeout_s=15)) as store:
            seen: list[Event] = []
            store.subscribe(seen.extend)
            writing = [asyncio.create_task(write(store, worker)) for worker in range(4)]
            for _ in range(2):
                mark = store.revision
                async with store.watch("", start_revision=mark + 100) as stream:
                    async for _events in stream:
                        break
                leader = await leader_of(members)
                await leader.end()
                async with store.watch("", start_revision=store.revision + 100) as stream:
                    async for _events in stream:
                        break
                await leader.start(members)
            stopping.set()
            await asyncio.gather(*writing)
            await store.confirm()
            records = {record.key: record for record in (await store.range("/")).records}
            assert [event.record.mod_revision for event in seen] == list(range(2, store.revision + 1))
    finally:
        for member in members:
            await member.end()
    for key, revisions in told.items():
        if key.startswith("/new/"):
            assert [records[key].mod_revision] == revisions
        else:
            assert int(records[key].value) == revisions[0]
    for worker in range(4):
        counted = [int(e.record.value) for e in seen if e.record.key == f"/count/{worker}"]
        assert counted == list(range(len(counted)))
    created = [event.record.key for event in seen if event.record.key.startswith("/new/")]
    assert len(created) == len(set(created))


async def leader_of(members: list[Any]) -> Any:
    """Ask each member whether it leads."""
    for member in members:
        metrics = await asyncio.to_thread(read_url, f"{member.url}/metrics")
        if b"etcd_server_is_leader 1" in metrics:
            return member
    raise AssertionError("nobody leads")


def read_url(url: str) -> bytes:
    with urlopen(url) as response:
        text: bytes = response.read()
        return text


async def test_an_etcd_whose_port_was_taken_gets_another(
    etcd_process: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = other.getsockname()[1]
        monkeypatch.setattr("tiphys.testing.etcd.free_ports", lambda count: [taken] * count)
        process = etcd_process(tmp_path / "etcd")
        monkeypatch.undo()
        await process.start()
        try:
            assert process.url != f"http://127.0.0.1:{taken}"
            async with opened(process.url) as store:
                assert await store.commit([Put("/a", b"")]) == 2
        finally:
            await process.end()


async def test_how_large_the_file_is(etcd: Any) -> None:
    async with opened(etcd.url) as store:
        assert store.size_bytes() == 0
        await store.measure()
        assert store.size_bytes() >= 4096


@pytest.mark.parametrize(
    ("kept", "from_"), [pytest.param(0, 5, id="emptied"), (1, 5), pytest.param(9, 0, id="written on since")]
)
async def test_a_cluster_that_went_back_is_told_of(
    tmp_path: Path, etcd_process: type[Any], line: Line, etcd: Any, kept: int, from_: int
) -> None:
    """Another etcd, with fewer revisions or others, in the place of the one that was followed."""
    url = await line.open()
    lost = asyncio.Event()
    heard: list[Event] = []
    emptied = etcd_process(tmp_path / "emptied")
    await emptied.start()
    try:
        async with opened(url) as store, opened(emptied.url) as other:
            store.subscribe(heard.extend, lost.set)
            for number in range(4):
                await store.commit([Put("/a", b"%d" % number)])
            for _ in range(kept):
                await other.commit([Put("/a", b"kept")])
            line.lead(emptied.url)
            await lost.wait()
            assert (store.revision, store.lives, store.went_back_from) == (1 + kept, 2, from_)
            await other.commit([Put("/b", b"")])
            await store.confirm()
            assert heard[-1].record.key == "/b"
            assert await store.commit([Put("/c", b"")]) == heard[-1].record.mod_revision == 3 + kept
            line.cut()
            await other.commit([Put("/d", b"")])
            await store.confirm()
            assert (heard[-1].record.key, store.lives) == ("/d", 2), "a line that is cut begins no life"
    finally:
        await emptied.end()


async def test_a_late_member_is_no_cluster_that_went_back(etcd: Any) -> None:
    """A member says where it is; whether the cluster knows what was seen, the cluster is asked."""
    async with opened(etcd.url) as store:
        await store.commit([Put("/a", b"")])
        await store.commit([Delete("/a")])
        client = EtcdClient([etcd.url], EtcdOptions())
        client.open()
        try:
            put, gone = await between(client, 2, 3)
            for seen, event in ((2, put), (3, gone), (3, None)):
                await _check_still_there(client, seen, event)
            for seen, event in ((3, put), (2, gone), (4, None)):
                with pytest.raises(WentBack):
                    await _check_still_there(client, seen, event)
            await store.compact(3)
            await _check_still_there(client, 2, put)
        finally:
            await client.close()
