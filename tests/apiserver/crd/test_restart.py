"""A server that starts on a store with definitions in it serves them from its first answer on."""

from __future__ import annotations

from typing import Any

from tiphys.apimachinery.clock import FakeClock
from tiphys.apiserver.server import ApiServer
from tiphys.wire.message import Request


async def test_established_definitions_are_served_at_once(api: Any, crds: Any) -> None:
    await crds.make()
    await api.create(crds.foos, crds.foo())
    second = ApiServer(api.server._store, api.server.options, FakeClock())
    await second.start()
    headers = {"authorization": "Bearer admin"}
    answer = await second.handler(Request("GET", f"{crds.foos}/a", headers=headers))
    await second.stop()
    assert answer.status == 200
    family = next(iter(second.custom.counts.collect()))
    assert not family.samples, "nothing has changed since it began"
