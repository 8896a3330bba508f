"""Clients that speak protobuf, as Go programs do."""

from __future__ import annotations

import asyncio
import struct
from typing import Any

from tiphys.apis.protobuf import codec

PROTOBUF = "application/vnd.kubernetes.protobuf"
CMS = "/api/v1/namespaces/default/configmaps"
BODY = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"x": "1"}}


async def test_both_ways(api: Any) -> None:
    answer = await api(
        "POST", CMS, codec.encode(BODY), content_type=PROTOBUF, accept=PROTOBUF + ",application/json"
    )
    assert (answer.status, answer.headers["content-type"]) == (201, PROTOBUF)
    made = codec.decode(answer.raw)
    assert (made["metadata"]["name"], made["data"]) == ("a", {"x": "1"})
    listed = codec.decode((await api("GET", CMS, accept=PROTOBUF)).raw)
    assert [item["metadata"]["name"] for item in listed["items"]] == ["a"]


async def test_failures_come_in_protobuf_too(api: Any) -> None:
    answer = await api("GET", CMS + "/none", accept=PROTOBUF)
    assert codec.decode(answer.raw)["reason"] == "NotFound"


async def test_delete_options(api: Any) -> None:
    await api.create(CMS, BODY)
    options = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Foreground"}
    answer = await api("DELETE", CMS + "/a", codec.encode(options), content_type=PROTOBUF)
    assert answer.json["metadata"]["finalizers"] == ["foregroundDeletion"]


async def test_watch_frames(api: Any) -> None:
    await api.create(CMS, BODY)
    response = await api.send("GET", CMS + "?watch=true", accept=PROTOBUF)
    assert response.headers["content-type"] == PROTOBUF + ";stream=watch"
    async with asyncio.timeout(5):
        chunk = await anext(response.stream)
    await response.stream.aclose()
    (size,) = struct.unpack(">I", chunk[:4])
    assert b"ADDED" in chunk[4 : 4 + size]
    assert b"k8s\x00" in chunk[4 : 4 + size]


async def test_nonsense_is_a_bad_request(api: Any) -> None:
    answer = await api("POST", CMS, b"k8s\x00\xff\xff", content_type=PROTOBUF)
    assert answer.status == 400


async def test_times_of_the_first_year(api: Any) -> None:
    """Go's zero time, and a little later: what a program has whose clock was never set."""
    leases = "/apis/coordination.k8s.io/v1/namespaces/default/leases"
    began, renewed = "0001-01-01T00:00:02.000000Z", "0001-01-01T00:00:05.000000Z"
    lease = {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"name": "a"},
        "spec": {"holderIdentity": "holder", "acquireTime": began, "renewTime": renewed},
    }
    answer = await api("POST", leases, codec.encode(lease), content_type=PROTOBUF, accept=PROTOBUF)
    assert answer.status == 201
    made = codec.decode(answer.raw)
    assert (made["spec"]["acquireTime"], made["spec"]["renewTime"]) == (began, renewed)
    assert (await api.get(leases + "/a"))["spec"]["acquireTime"] == began
