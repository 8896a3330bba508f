"""The API server as a process of its own: what SIGTERM does to it while it is busy."""

from __future__ import annotations

import asyncio
import signal
import ssl
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tiphys.apimachinery.errors import StatusError
from tiphys.client.kinds import CONFIG_MAPS
from tiphys.client.rest import Client
from tiphys.client.transport import Call, Credentials, HttpTransport, TransportError
from tiphys.storage.sqlite import SqliteStore
from tiphys.testing.etcd import free_ports

WATCHES, WRITERS = 20, 8
PATIENCE_S = 120
"""On a machine that does much else; what hangs is told from what is slow."""
WATCH = "/api/v1/namespaces/default/configmaps"


class Process:
    """A server on a port of its own, and clients of it."""

    def __init__(self, folder: Path) -> None:
        self.store = folder / "store.db"
        (self.port,) = free_ports(1)
        self.url = f"https://127.0.0.1:{self.port}"
        self.tokens = folder / "tokens.csv"
        self.tokens.write_text('secret,admin,1,"system:masters"\n')
        self.certificates = folder / "certificates"
        self.log = folder / "log"
        self.process: asyncio.subprocess.Process | None = None

    async def start(self, *flags: str) -> None:
        with self.log.open("wb") as log:
            self.process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "tiphys.cmd.apiserver", "--store", f"sqlite:{self.store}",
                "--secure-port", str(self.port), "--token-auth-file", str(self.tokens),
                "--cert-dir", str(self.certificates), *flags, stdout=log, stderr=log,
            )  # fmt: skip
        async with asyncio.timeout(PATIENCE_S):
            while not await self.ready():
                assert self.process.returncode is None, self.log.read_text()
                await asyncio.sleep(0.02)

    async def ready(self) -> bool:
        client = self.client()
        try:
            return (await client.transport.send(Call("GET", "/readyz"))).status == 200
        except TransportError:
            return False
        finally:
            await client.close()

    def client(self, token: str = "secret") -> Client:
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        return Client(HttpTransport(self.url, ssl_context=context, credentials=Credentials(token)))

    async def terminate(self) -> int:
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(PATIENCE_S):
            return await self.process.wait()


@asynccontextmanager
async def serving(folder: Path, *flags: str) -> AsyncIterator[Process]:
    process = Process(folder)
    try:
        await process.start(*flags)
        yield process
    finally:
        if process.process is not None and process.process.returncode is None:
            process.process.kill()
            await process.process.wait()


class Load:
    """Writers that go on until they are refused, and watches that are read to their end."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self.written: set[str] = set()
        self.seen: list[set[str]] = []
        self.watching = 0
        self.answers: list[int] = []
        self.enough = asyncio.Event()

    async def write(self, writer: int) -> None:
        client = self._process.client()
        try:
            for number in range(100_000):
                name = f"w{writer}-{number}"
                await client.create(CONFIG_MAPS, {"metadata": {"name": name, "namespace": "default"}})
                self.written.add(name)
                if len(self.written) >= 20 * WRITERS:
                    self.enough.set()
        except TransportError:
            return
        except StatusError as error:
            self.answers.append(error.code)
        finally:
            await client.close()

    async def watch(self) -> None:
        """Raises TransportError where the watch is cut off in the middle of its stream."""
        client, seen = self._process.client(), set[str]()
        self.seen.append(seen)
        try:
            call = Call("GET", WATCH, "watch=1&resourceVersion=0", timeout_s=60)
            async with client.transport.stream(call) as stream:
                assert stream.status == 200
                self.watching += 1
                rest = b""
                async for chunk in stream.chunks:
                    *lines, rest = (rest + chunk).split(b"\n")
                    seen.update(_name(line) for line in lines)
                assert rest == b""
        finally:
            await client.close()


def _name(line: bytes) -> str:
    import orjson

    event: dict[str, Any] = orjson.loads(line)
    assert event["type"] in ("ADDED", "BOOKMARK"), event
    return str(event["object"]["metadata"]["name"])


async def test_terminated_while_busy(tmp_path: Path) -> None:
    """Nothing that was answered is lost, streams end whole, nobody new is let in, and it exits well."""
    async with serving(tmp_path, "--shutdown-watch-termination-grace-period", "1s") as process:
        load = Load(process)
        async with asyncio.timeout(PATIENCE_S), asyncio.TaskGroup() as group:
            for _ in range(WATCHES):
                group.create_task(load.watch())
            for writer in range(WRITERS):
                group.create_task(load.write(writer))
            await load.enough.wait()
            while load.watching < WATCHES:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            code = await process.terminate()
        assert code == 0, process.log.read_text()
        assert load.answers == []
        with pytest.raises(OSError, match="Connect"):
            await asyncio.open_connection("127.0.0.1", process.port)
        assert "Traceback" not in process.log.read_text()
    store = SqliteStore(process.store)
    await store.open()
    found = await store.range("/registry/configmaps/default/")
    await store.close()
    kept = {record.key.rsplit("/", 1)[-1] for record in found.records}
    assert load.written <= kept
    assert all(seen <= kept for seen in load.seen)


@pytest.mark.slow
async def test_a_watch_that_nobody_waits_for(tmp_path: Path) -> None:
    """It goes on while the server is ending, and keeps it up for as long as a request may take."""
    async with serving(tmp_path, "--request-timeout", "2s") as process:
        load, began = Load(process), time.monotonic()
        watching = asyncio.create_task(load.watch())
        async with asyncio.timeout(PATIENCE_S):
            while not load.watching:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            assert await process.terminate() == 0
            await watching
        assert time.monotonic() - began > 2, "that is the server's own time, not a measure of its speed"


@pytest.mark.slow
async def test_the_delay_before_the_end(tmp_path: Path) -> None:
    """While a load balancer learns of it, everything is served on, but it says that it is not ready."""
    async with serving(tmp_path, "--shutdown-delay-duration", "1s") as process:
        client = process.client()
        assert process.process is not None
        process.process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(PATIENCE_S):
            while (await client.transport.send(Call("GET", "/readyz"))).status != 500:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        assert (await client.transport.send(Call("GET", "/livez"))).status == 200
        await client.create(CONFIG_MAPS, {"metadata": {"name": "late", "namespace": "default"}})
        async with asyncio.timeout(PATIENCE_S):
            assert await process.process.wait() == 0
        await client.close()


class Silent:
    """A service that takes connections and says nothing until it is let go."""

    def __init__(self) -> None:
        self.asked, self.release = asyncio.Event(), asyncio.Event()

    async def __call__(self, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.asked.set()
        await self.release.wait()
        writer.close()


def webhook(folder: Path, port: int) -> Path:
    """Write the kubeconfig of a service that is asked about tokens."""
    text = f"""
clusters: [{{name: a, cluster: {{server: "http://127.0.0.1:{port}"}}}}]
contexts: [{{name: a, context: {{cluster: a, user: a}}}}]
users: [{{name: a, user: {{}}}}]
current-context: a
"""
    (folder / "webhook").write_text(text)
    return folder / "webhook"


@pytest.mark.slow
async def test_new_requests_are_told_to_come_again(tmp_path: Path) -> None:
    """Somebody whose token is still asked about keeps the server up: who comes meanwhile is told so."""
    silent = Silent()
    service = await asyncio.start_server(silent, "127.0.0.1", 0)
    flag = (
        f"--authentication-token-webhook-config-file={webhook(tmp_path, service.sockets[0].getsockname()[1])}"
    )
    async with asyncio.timeout(PATIENCE_S), serving(tmp_path, "--shutdown-send-retry-after", flag) as process:
        client, stranger = process.client(), process.client("stranger")
        waiting = asyncio.ensure_future(stranger.transport.send(Call("GET", WATCH)))
        await silent.asked.wait()
        assert process.process is not None
        process.process.send_signal(signal.SIGTERM)
        while (answer := await client.transport.send(Call("GET", WATCH))).status != 429:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        assert answer.headers["retry-after"] == "5"
        assert (await client.transport.send(Call("GET", "/livez"))).status == 200
        assert not waiting.done()
        silent.release.set()
        assert (await waiting).status == 401
        assert await process.process.wait() == 0
        await client.close()
        await stranger.close()
    service.close()


@pytest.mark.slow
async def test_who_is_told_twice_does_not_wait(tmp_path: Path) -> None:
    async with serving(tmp_path, "--shutdown-delay-duration", "1h") as process:
        assert process.process is not None
        process.process.send_signal(signal.SIGTERM)
        while await process.ready():  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        assert await process.terminate() == 1
