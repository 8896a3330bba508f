"""Snapshots of a store in etcd: taken under load, put back there or into SQLite, interrupted, refused."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from tiphys.apimachinery.clock import RealClock
from tiphys.cmd.snapshot import snapshot
from tiphys.ctl import state
from tiphys.ctl.components import components
from tiphys.ctl.layout import Cluster
from tiphys.storage.base import Delete, Event, Put, StoreUnavailable
from tiphys.storage.check import check_file
from tiphys.storage.etcd import EtcdStore
from tiphys.storage.etcd_client import EtcdOptions
from tiphys.storage.etcd_snapshot import put_back, save
from tiphys.storage.snapshot import SnapshotError, look, read, stage
from tiphys.storage.snapshot import save as save_file
from tiphys.storage.sqlite import SqliteStore
from tiphys.wire import pki

pytestmark = pytest.mark.etcd
NOW = 1_800_000_000.0


@asynccontextmanager
async def opened(url: str, root: str = "/registry", **options: Any) -> AsyncIterator[EtcdStore]:
    store = EtcdStore([url], root=root, base="/registry", compact_every_s=0, **options)
    async with asyncio.timeout(30):
        await store.open()
        try:
            yield store
        finally:
            await store.close()


def key(name: object) -> str:
    return f"/registry/{name}"


async def values(store: EtcdStore | SqliteStore) -> dict[str, bytes]:
    return {record.key: record.value for record in (await store.range("")).records}


async def test_a_snapshot_under_load_is_of_one_moment(
    etcd: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tiphys.storage.etcd_snapshot._PAGE", 3)
    file = tmp_path / "saved.db"
    async with opened(etcd.url) as store:
        for number in range(20):
            await store.commit([Put(key(f"old/{number:02}"), b"0")])
        moving = asyncio.Event()

        async def write() -> None:
            for number in range(1, 200):
                await store.commit([Put(key(f"old/{at:02}"), b"%d" % number) for at in range(20)])
                moving.set()

        writing = asyncio.create_task(write())
        await moving.wait()
        summary = await save(store, file, NOW)
        writing.cancel()
        then = {r.key: r.value for r in (await store.range("", revision=summary.revision)).records}
    assert (summary, summary.keys) == (look(file), 20)
    assert len(set(then.values())) == 1, "all are written together"
    assert {record.key: record.value for record in read(file).records} == then
    assert check_file(file) == []
    assert [name for name in os.listdir(tmp_path) if name.startswith("saved")] == ["saved.db"]


async def test_what_was_changed_made_and_deleted_since_is_undone(etcd: Any, tmp_path: Path) -> None:
    file = tmp_path / "saved.db"
    async with opened(etcd.url) as store:
        await store.commit([Put(key(name), name.encode()) for name in ("same", "changed", "deleted")])
        await save(store, file, NOW)
        await store.commit([Put(key("changed"), b"x"), Delete(key("deleted")), Put(key("new"), b"x")])
        last = store.revision
        async with store.watch("/registry/", start_revision=last + 1) as stream:
            await put_back(store, file, NOW)
            seen: list[Event] = []
            async for events in stream:
                seen += events
                if len(seen) == 3:
                    break
        assert await values(store) == {key(n): n.encode() for n in ("same", "changed", "deleted")}
        assert (await store.get(key("same"))).mod_revision < last  # type: ignore[union-attr]
    told = {(event.record.key, event.deleted, event.record.mod_revision > last) for event in seen}
    assert told == {(key("changed"), False, True), (key("deleted"), False, True), (key("new"), True, True)}


async def test_much_is_put_back_in_transactions_that_etcd_takes(etcd: Any, tmp_path: Path) -> None:
    file = tmp_path / "saved.db"
    async with opened(etcd.url) as store:
        for number in range(250):
            await store.commit([Put(key(f"small/{number}"), b"s")])
        for number in range(4):
            await store.commit([Put(key(f"big/{number}"), b"%d" % number * 1_000_000)])
        await save(store, file, NOW)
        before = await values(store)
    async with opened(etcd.url, root="/elsewhere") as other:
        await put_back(other, file, NOW)
        assert await values(other) == before
        for number in range(250):
            await other.commit([Put(key(f"more/{number}"), b"")])
        await put_back(other, file, NOW)
        assert await values(other) == before


async def test_leases_go_on_and_what_has_run_out_stays_away(etcd: Any, tmp_path: Path) -> None:
    file = tmp_path / "saved.db"
    async with opened(etcd.url) as store:
        short, long = await store.grant_lease(100), await store.grant_lease(5000)
        writes = [
            Put(key("short"), b"1", lease=short),
            Put(key("long"), b"1", lease=long),
            Put(key("x"), b"1"),
        ]
        await store.commit(writes)
        await save(store, file, NOW)
        assert 4990 <= read(file).leases[long] - NOW <= 5000
        await put_back(store, file, NOW + 1000)
        assert set(await values(store)) == {key("long"), key("x")}
        again = (await store.get(key("long"))).lease  # type: ignore[union-attr]
        assert again not in (0, long)
        assert 3900 <= await store.lease_left_s(again) <= 4000
        await store.revoke_lease(again)
        assert set(await values(store)) == {key("x")}


async def test_from_etcd_into_sqlite_and_back(etcd: Any, tmp_path: Path) -> None:
    there, back, path = tmp_path / "there.db", tmp_path / "back.db", tmp_path / "store.db"
    async with opened(etcd.url) as store:
        await store.commit([Put(key("a"), b"1"), Put(key("b"), b"1")])
        await store.commit([Put(key("a"), b"2")])
        saved = await save(store, there, NOW)
        stage(there, path)
        file = SqliteStore(path)
        await file.open()
        assert await values(file) == await values(store)
        assert (await file.get(key("a"))).mod_revision == saved.revision  # type: ignore[union-attr]
        await file.commit([Put(key("c"), b"3"), Delete(key("b"))])
        await file.close()
        assert check_file(path) == []
        save_file(path, back)
        await put_back(store, back, NOW)
        assert await values(store) == {key("a"): b"2", key("c"): b"3"}


async def test_what_is_staged_is_put_back_before_the_store_serves(etcd: Any, tmp_path: Path) -> None:
    staged = tmp_path / "etcd.restore"
    async with opened(etcd.url, staged=staged) as store:
        await store.commit([Put(key(number), b"") for number in range(3)])
        await save(store, tmp_path / "saved.db", NOW)
        await store.commit([Put(key("late"), b"")])
    (tmp_path / "saved.db").rename(staged)
    async with opened(etcd.url, staged=staged) as store:
        assert set(await values(store)) == {key(number) for number in range(3)}
        assert not staged.exists()
        await store.commit([Put(key("later"), b"")])
    async with opened(etcd.url, staged=staged) as store:
        assert key("later") in await values(store)


async def test_one_that_was_interrupted_is_completed(
    etcd: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    staged = tmp_path / "etcd.restore"
    monkeypatch.setattr("tiphys.storage.etcd_snapshot._WRITES", 5)
    async with opened(etcd.url) as store:
        await store.commit([Put(key(f"{number:02}"), b"old") for number in range(30)])
        await save(store, staged, NOW)
        before = await values(store)
        await store.commit([Put(key(f"{number:02}"), b"new") for number in range(20)])
        await store.commit([Delete(key(f"{number:02}")) for number in range(20, 30)])
    commit, commits = EtcdStore.commit, 0

    async def failing(self: EtcdStore, writes: Any) -> int:
        nonlocal commits
        commits += 1
        if commits == 3:
            raise StoreUnavailable("no member answers")
        return await commit(self, writes)

    monkeypatch.setattr(EtcdStore, "commit", failing)
    with pytest.raises(StoreUnavailable, match="no member answers"):
        async with opened(etcd.url, staged=staged):
            pass
    assert staged.exists()
    async with opened(etcd.url, staged=staged) as store:
        assert await values(store) == before
    assert not staged.exists()


async def test_a_damaged_file_changes_nothing(etcd: Any, tmp_path: Path) -> None:
    staged = tmp_path / "etcd.restore"
    staged.write_text("no database" * 500)
    async with opened(etcd.url) as store:
        await store.commit([Put(key("a"), b"1")])
        with pytest.raises(SnapshotError, match="is no snapshot of a store"):
            await put_back(store, staged, NOW)
        assert await values(store) == {key("a"): b"1"}
    with pytest.raises(StoreUnavailable, match=r"cannot restore .*etcd\.restore: .* is no snapshot"):
        async with opened(etcd.url, staged=staged):
            pass


def run(*arguments: object) -> tuple[int, str]:
    result = CliRunner().invoke(snapshot, [str(argument) for argument in arguments])
    return result.exit_code, result.output


async def test_the_command_on_a_named_etcd(etcd: Any, tmp_path: Path) -> None:
    file, url = tmp_path / "saved.db", f"etcd:{etcd.url}"
    async with opened(etcd.url) as store:
        await store.commit([Put(key("a"), b"1")])
        code, text = await asyncio.to_thread(run, "save", file, "--store", url)
        assert (code, text) == (0, f"saved to {file}: revision 2, 1 keys, {file.stat().st_size} bytes\n")
        await store.commit([Put(key("a"), b"2")])
        code, text = await asyncio.to_thread(run, "restore", file, "--store", url)
        assert (code, text.startswith(f"restored from {file}: revision 2, 1 keys")) == (0, True)
        await store.confirm()
        assert await values(store) == {key("a"): b"1"}
    (tmp_path / "text").write_text("no")
    code, text = await asyncio.to_thread(run, "restore", tmp_path / "text", "--store", url)
    assert (code, "is no snapshot of a store" in text) == (1, True)
    code, text = await asyncio.to_thread(run, "save", file, "--store", "etcd:ftp://x")
    assert (code, text) == (1, "Error: not an etcd URL: 'ftp://x'\n")


@pytest.mark.parametrize(
    "names", [("etcd-cafile", "etcd-certfile", "etcd-keyfile"), ("cacert", "cert", "key")]
)
async def test_the_command_on_an_etcd_with_certificates(
    tmp_path: Path, etcd_process: type[Any], names: tuple[str, ...]
) -> None:
    now = RealClock().now()
    authority = pki.make_ca("etcd", now)
    files = [tmp_path / name for name in ("ca.crt", "client.crt", "client.key")]
    files[0].write_bytes(authority.certificate)
    pki.issue_client(authority, "store", [], now).write(*files[1:])
    pki.issue_server(authority, "etcd", ["127.0.0.1"], now).write(tmp_path / "crt", tmp_path / "key")
    flags = [
        f"--cert-file={tmp_path / 'crt'}", f"--key-file={tmp_path / 'key'}",
        f"--trusted-ca-file={files[0]}", "--client-cert-auth",
    ]  # fmt: skip
    process = etcd_process(tmp_path / "etcd", scheme="https", flags=flags)
    await process.start()
    try:
        shown = [f"--{name}={path}" for name, path in zip(names, files, strict=True)]
        reached = [f"--store=etcd:{process.url}", "--etcd-prefix=/other", *shown]
        options = EtcdOptions(*files)
        async with opened(process.url, root="/other", options=options) as store:
            await store.commit([Put(key("a"), b"1")])
            assert (await asyncio.to_thread(run, "save", tmp_path / "saved", *reached))[0] == 0
            await store.commit([Put(key("a"), b"2")])
            assert (await asyncio.to_thread(run, "restore", tmp_path / "saved", *reached))[0] == 0
            await store.confirm()
            assert await values(store) == {key("a"): b"1"}
    finally:
        await process.end()


async def test_a_cluster_that_keeps_its_objects_in_etcd(
    etcd: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TIPHYS_HOME", str(tmp_path))
    monkeypatch.setattr(Cluster, "etcd_url", etcd.url)
    cluster, file = (
        Cluster("blue", 3, tmp_path / "blue", 1, outbound=False, store="etcd"),
        tmp_path / "saved.db",
    )
    cluster.folder.mkdir()
    state.save(cluster)
    (server,) = (c for c in components(cluster) if c.name == "apiserver")
    assert f"--etcd-staged-snapshot={cluster.staged_snapshot}" in server.argv
    async with opened(etcd.url) as store:
        await store.commit([Put(key("a"), b"1")])
        assert (await asyncio.to_thread(run, "save", file, "--name", "blue"))[0] == 0
        await store.commit([Put(key("b"), b"1")])
    assert (await asyncio.to_thread(run, "restore", file, "--name", "blue"))[0] == 0
    async with opened(etcd.url, staged=cluster.staged_snapshot) as store:
        assert await values(store) == {key("a"): b"1"}
