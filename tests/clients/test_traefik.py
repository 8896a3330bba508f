"""Traefik, a controller in Go with informers of its own: Ingresses become routes, their status is written."""

from __future__ import annotations

import asyncio
import http.client
import socket
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import yaml

from tiphys.apimachinery.meta import Object, gvk_of
from tiphys.apis.table import TABLE
from tiphys.client.kinds import INGRESSES, SERVICE_ACCOUNTS
from tiphys.testing import Cluster

pytestmark = [pytest.mark.slow]
HERE = Path(__file__).parent / "traefik"
WAIT_S = 60
CONFLICT = "the object has been modified; please apply your changes to the latest version and try again"


@pytest.fixture(scope="module")
def traefik(install: Callable[[Path], Path]) -> Path:
    return install(HERE / "requirements.lock") / "bin" / "traefik"


async def test_ingresses_become_routes(traefik: Path, tmp_path: Path) -> None:
    shop = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with shop, Cluster(listen=True) as cluster:
        await apply(cluster, (HERE / "manifests.yaml").read_text().replace("PORT", str(port_of(shop))))
        async with running(traefik, cluster, tmp_path) as port:
            await routed(port, "shop.example.test", 200)
            shown = await cluster.wait_for(
                INGRESSES, "shop", "default", lambda o: o["status"]["loadBalancer"]
            )
            assert shown["status"]["loadBalancer"] == {"ingress": [{"ip": "203.0.113.7"}]}

            rename = [{"op": "replace", "path": "/spec/rules/0/host", "value": "new.example.test"}]
            await cluster.client.patch(INGRESSES, "shop", "default", rename, type="json")
            await routed(port, "new.example.test", 200)
            await routed(port, "shop.example.test", 404)

            await cluster.client.delete(INGRESSES, "shop", "default")
            await routed(port, "new.example.test", 404)


def addressed(ingress: Object | None) -> bool:
    return bool(ingress and ingress["status"]["loadBalancer"])


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")
    await writer.drain()
    writer.close()


async def apply(cluster: Cluster, text: str) -> None:
    for item in yaml.safe_load(text)["items"]:
        row = TABLE.by_kind(gvk_of(item))
        assert row is not None, item["kind"]
        await cluster.client.create(row.gvr, item)


@asynccontextmanager
async def running(traefik: Path, cluster: Cluster, folder: Path) -> AsyncIterator[int]:
    """Traefik with a token that may do what its role says; yields the port that it routes from."""
    granted = await cluster.client.post(SERVICE_ACCOUNTS, "traefik", "traefik", "token", {"spec": {}})
    (folder / "token").write_text(granted["status"]["token"])
    assert cluster.folder is not None
    ports = {"web": free_port(), "traefik": free_port()}
    flags = [
        *(f"--entrypoints.{name}.address=127.0.0.1:{port}" for name, port in ports.items()),
        "--providers.kubernetesingress=true",
        f"--providers.kubernetesingress.endpoint={cluster.url}",
        f"--providers.kubernetesingress.token={folder / 'token'}",
        f"--providers.kubernetesingress.certauthfilepath={cluster.folder / 'ca.crt'}",
        "--providers.kubernetesingress.allowexternalnameservices=true",
        "--providers.kubernetesingress.ingressendpoint.ip=203.0.113.7",
        "--global.checknewversion=false",
        "--global.sendanonymoususage=false",
    ]
    with (folder / "log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(traefik, *flags, stdout=log, stderr=log)
        try:
            yield ports["web"]
        finally:
            process.kill()
            await process.wait()
    faults = [line for line in (folder / "log").read_text().splitlines() if "ERR" in line]
    unexpected = [line for line in faults if CONFLICT not in line]
    assert not unexpected


async def routed(port: int, host: str, status: int) -> None:
    """Wait until a request for ``host`` gets ``status``."""
    seen = await asyncio.to_thread(asked_until, port, host, status)
    assert seen == status, host


def asked_until(port: int, host: str, status: int) -> int | None:
    """Ask again and again, as Traefik tells nobody when it has new routes."""
    give_up = time.monotonic() + WAIT_S
    while (seen := asked(port, host)) != status and time.monotonic() < give_up:
        time.sleep(0.1)
    return seen


def asked(port: int, host: str) -> int | None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/", headers={"Host": host})
        return connection.getresponse().status
    except OSError:
        return None
    finally:
        connection.close()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def port_of(server: asyncio.Server) -> int:
    return server.sockets[0].getsockname()[1]
