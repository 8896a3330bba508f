import asyncio
import gc
import ssl
import sys
from pathlib import Path
from typing import Any

import click
import pytest

from tiphys.apiserver.server import ApiServer
from tiphys.client.transport import Call, HttpTransport, TransportError
from tiphys.cmd import apiserver as command
from tiphys.cmd.apiserver import apiserver, tune_interpreter
from tiphys.cmd.store_flags import open_store
from tiphys.storage.base import StoreUnavailable
from tiphys.storage.etcd import EtcdStore
from tiphys.storage.memory import MemoryStore
from tiphys.storage.retention import Retention
from tiphys.storage.sqlite import SqliteStore
from tiphys.testing.etcd import free_ports


@pytest.mark.parametrize(
    ("text", "flags", "kind"),
    [
        pytest.param("memory", {}, MemoryStore, id="memory"),
        pytest.param("sqlite:/nowhere/store.db", {}, SqliteStore, id="sqlite"),
        pytest.param("etcd:http://a:2379,http://b:2379", {}, EtcdStore, id="etcd"),
        pytest.param(
            "memory", {"etcd_servers": "https://a:2379", "etcd_cafile": Path("ca.crt")}, EtcdStore,
            id="the flags of etcd go first",
        ),
    ],
)  # fmt: skip
def test_stores(text: str, flags: dict[str, Any], kind: type) -> None:
    assert type(open_store(text, flags)) is kind


@pytest.mark.parametrize("text", ["", "sqlite:", "etcd:", "etcd:ftp://a", "postgres:x"])
def test_no_store(text: str) -> None:
    with pytest.raises(click.BadParameter):
        open_store(text)


def test_a_busy_loop_lets_the_writer_in() -> None:
    before = sys.getswitchinterval(), gc.get_threshold()
    try:
        gc.set_threshold(700, 10, 10)  # Python's own
        tune_interpreter()
        assert sys.getswitchinterval() <= 0.001
        assert gc.get_threshold()[0] > 10_000
    finally:
        sys.setswitchinterval(before[0])
        gc.set_threshold(*before[1])


def test_limits_of_history() -> None:
    store = open_store("sqlite:/nowhere/store.db", {"history_age": 60.0, "history_size": 2})
    assert isinstance(store, SqliteStore)
    assert store._upkeep._retention == Retention(60, 2 * 1024 * 1024)
    store = open_store("etcd:http://a", {"etcd_compaction_interval": 60.0})
    assert isinstance(store, EtcdStore)
    assert store._compact_every_s == 60


@pytest.mark.parametrize(
    ("flags", "key"),
    [
        ({}, b"/registry/minions/a"),
        ({"etcd_prefix": "/registry/"}, b"/registry/minions/a"),
        ({"etcd_prefix": "blue"}, b"/blue/minions/a"),
        ({"etcd_prefix": "/blue/green"}, b"/blue/green/minions/a"),
    ],
)
def test_keys_in_etcd_begin_with_the_prefix(flags: dict[str, Any], key: bytes) -> None:
    store = open_store("etcd:http://a", flags)
    assert isinstance(store, EtcdStore)
    assert store._keys.encode("/registry/minions/a") == key
    assert key.startswith(store._keys.encode(""))


@pytest.mark.parametrize("ends", [True, False])
async def test_a_server_whose_store_is_slow_listens_in_the_end(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, ends: bool
) -> None:
    filled, stop = asyncio.Event(), asyncio.Event()
    start = ApiServer.start

    async def slow(server: ApiServer) -> None:
        await filled.wait()
        await start(server)

    monkeypatch.setattr(ApiServer, "start", slow)
    monkeypatch.setattr(command, "_told_to_stop", lambda: stop)
    monkeypatch.setattr(command, "tune_interpreter", lambda: None)
    (port,) = free_ports(1)
    tokens = tmp_path / "tokens"
    tokens.write_text('t,root,1,"system:masters"\n')  # roles are not known before the store is read
    line = [
        "--bind-address=127.0.0.1", f"--secure-port={port}", f"--cert-dir={tmp_path}",
        "--storage-initialization-timeout=0s", "--endpoint-reconciler-type=none",
        f"--token-auth-file={tokens}",
    ]  # fmt: skip
    with apiserver.make_context("apiserver", line) as context, context.scope():
        running = asyncio.create_task(command.run(dict(context.params)))
        await asyncio.sleep(0)  # it reads its flags at once
    tls = ssl.create_default_context()
    tls.check_hostname, tls.verify_mode = False, ssl.CERT_NONE
    client = HttpTransport(f"https://127.0.0.1:{port}", ssl_context=tls)

    root = {"Authorization": "Bearer t"}

    async def answered(path: str, status: int) -> None:
        async with asyncio.timeout(60):
            while True:
                try:
                    if (await client.send(Call("GET", path, headers=root))).status == status:
                        return
                except TransportError:
                    assert not running.done()
                await asyncio.sleep(0.01)

    try:
        await answered("/readyz", 500)
        await answered("/api/v1/pods", 429)
        if ends:
            filled.set()
            await answered("/readyz", 200)
            await answered("/api/v1/pods", 200)
    finally:
        await client.close()
        stop.set()
        await running


async def test_a_store_that_is_away_at_the_start_is_said_of_plainly(monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(_server: ApiServer) -> None:
        raise StoreUnavailable("etcd does not answer")

    monkeypatch.setattr(ApiServer, "start", fail)
    monkeypatch.setattr(command, "_told_to_stop", asyncio.Event)
    line = ["--bind-address=127.0.0.1", "--endpoint-reconciler-type=none"]
    with (
        apiserver.make_context("apiserver", line) as context,
        context.scope(),
        pytest.raises(click.ClickException, match="etcd does not answer"),
    ):
        await command.run(dict(context.params))


def test_a_server_is_given_the_stores_that_its_flags_name() -> None:
    here, there = "http://127.0.0.1:1", "http://127.0.0.1:2"
    line = [f"--etcd-servers={here}", f"--etcd-servers-overrides=/events#{there}", "--bind-address=127.0.0.1"]
    with apiserver.make_context("apiserver", line) as context, context.scope():
        flags = dict(context.params)
        server = command._assemble(flags, command.options_from(flags))
    assert [name for name, _ in server._store._client._endpoints] == ["127.0.0.1:1"]  # type: ignore[attr-defined]
    (other,) = server.stores._by_prefix.items()
    assert other[0] == "/registry/events/"
    assert [name for name, _ in other[1]._client._endpoints] == ["127.0.0.1:2"]  # type: ignore[attr-defined]
