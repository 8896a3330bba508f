"""Two API servers over one etcd are one API."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import orjson
import pytest

from tiphys.apimachinery.clock import RealClock
from tiphys.apiserver.options import ApiServerOptions, TokenEntry
from tiphys.apiserver.server import ApiServer
from tiphys.storage.etcd import EtcdStore
from tiphys.testing.etcd import EtcdProcess
from tiphys.wire.message import Request, Response
from tiphys.wire.pki import make_signing_key

pytestmark = pytest.mark.etcd

MAPS = "/api/v1/namespaces/default/configmaps"
OPTIONS = ApiServerOptions(
    tokens=(TokenEntry("admin", "admin", "1", ("system:masters",)),),
    service_account_signing_key=make_signing_key(),
)


async def send(server: ApiServer, method: str, path: str, body: Any = None) -> Response:
    path, _, query = path.partition("?")
    headers = {"authorization": "Bearer admin", "accept": "application/json"}
    if body is not None:
        headers["content-type"] = "application/json"
    data = orjson.dumps(body) if body is not None else b""
    return await server.handler(Request(method, path, query, headers, data))


async def call(server: ApiServer, method: str, path: str, body: Any = None) -> tuple[int, Any]:
    response = await send(server, method, path, body)
    raw = response.body if isinstance(response.body, bytes) else b"".join(response.body)
    return response.status, orjson.loads(raw)


@pytest.fixture
async def servers(tmp_path: Path) -> AsyncIterator[list[ApiServer]]:
    etcd = EtcdProcess(tmp_path)
    await etcd.start()
    servers = [ApiServer(EtcdStore([etcd.url]), OPTIONS, RealClock()) for _ in range(2)]
    try:
        await asyncio.gather(*(server.start() for server in servers))
        yield servers
        for server in servers:
            await server.stop()
    finally:
        await etcd.end()


def config_map(name: str, **data: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


async def test_each_sees_at_once_what_the_other_wrote(servers: list[ApiServer]) -> None:
    one, other = servers
    for number in range(10):
        status, made = await call(one, "POST", MAPS, config_map(f"m{number}", n="0"))
        assert status == 201
        made["data"]["n"] = "1"
        status, changed = await call(other, "PUT", f"{MAPS}/m{number}", made)
        assert (status, changed["data"]) == (200, {"n": "1"})
        assert await call(one, "GET", f"{MAPS}/m{number}") == (200, changed)
        assert (await call(one, "PUT", f"{MAPS}/m{number}", made))[0] == 409
        assert (await call(other, "POST", MAPS, config_map(f"m{number}")))[0] == 409
        one, other = other, one
    for server in servers:
        found = (await call(server, "GET", MAPS))[1]["items"]
        assert len([item for item in found if item["data"] == {"n": "1"}]) == 10
    assert (await call(one, "DELETE", f"{MAPS}/m0"))[0] == 200
    assert (await call(other, "GET", f"{MAPS}/m0"))[0] == 404


@pytest.mark.parametrize(
    ("size", "said"),
    [
        (1_600_000, r"etcdserver: request is too large"),
        (
            2_200_000,
            r"rpc error: code = ResourceExhausted desc = "
            r"trying to send message larger than max \(22\d{5} vs\. 2097152\)",
        ),
    ],
)
async def test_what_etcd_takes_at_no_time_is_no_fault_that_passes(
    servers: list[ApiServer], size: int, said: str
) -> None:
    containers = [{"name": "c", "image": "i", "args": ["x" * size]}]
    template = {"metadata": {"name": "t"}, "template": {"spec": {"containers": containers}}}
    status, answer = await call(servers[0], "POST", "/api/v1/namespaces/default/podtemplates", template)
    assert status == 500
    assert "reason" not in answer
    assert re.fullmatch(said, answer["message"])


async def test_a_watch_hears_of_the_other_in_order(servers: list[ApiServer]) -> None:
    one, other = servers
    _, listed = await call(one, "GET", MAPS)
    since = listed["metadata"]["resourceVersion"]
    response = await send(other, "GET", f"{MAPS}?watch=1&resourceVersion={since}")
    assert response.stream is not None
    versions = [
        int((await call(one, "POST", MAPS, config_map(f"w{n}")))[1]["metadata"]["resourceVersion"])
        for n in range(5)
    ]
    seen: list[int] = []
    buffer = b""
    async with aclosing(response.stream) as stream:  # type: ignore[type-var]
        async for chunk in stream:
            buffer += chunk
            *lines, buffer = buffer.split(b"\n")
            events = [orjson.loads(line) for line in lines]
            seen += [int(event["object"]["metadata"]["resourceVersion"]) for event in events]
            if len(seen) >= 5:
                break
    assert seen == versions


SERVICES = "/api/v1/namespaces/default/services"


async def test_services_never_share_addresses_or_ports(servers: list[ApiServer]) -> None:
    spec = {"type": "NodePort", "ports": [{"port": 80}]}
    bodies = [{"metadata": {"name": f"s{number}"}, "spec": spec} for number in range(40)]
    answers = await asyncio.gather(
        *(call(servers[index % 2], "POST", SERVICES, body) for index, body in enumerate(bodies))
    )
    assert [status for status, _ in answers] == [201] * 40
    assert len({made["spec"]["clusterIP"] for _, made in answers}) == 40
    assert len({made["spec"]["ports"][0]["nodePort"] for _, made in answers}) == 40


async def test_one_address_asked_for_of_both(servers: list[ApiServer]) -> None:
    spec = {"clusterIP": "10.96.0.77", "ports": [{"port": 80}]}
    bodies = [{"metadata": {"name": f"s{number}"}, "spec": spec} for number in range(2)]
    answers = await asyncio.gather(
        *(call(server, "POST", SERVICES, body) for server, body in zip(servers, bodies, strict=True))
    )
    assert sorted(status for status, _ in answers) == [201, 422]
