"""What the endpoints of the controller manager and of the scheduler say of health is their own word."""

from __future__ import annotations

from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from types import ModuleType
from typing import Any

import pytest

from tiphys.client.endpoint import ComponentEndpoint, EndpointOptions
from tiphys.client.fake_api import FakeApi
from tiphys.client.inprocess import InProcessTransport
from tiphys.client.rest import Client
from tiphys.cmd import controller_manager, scheduler
from tiphys.controllers.manager import ControllerManager, ControllerOptions
from tiphys.scheduler.scheduler import Scheduler, SchedulerOptions
from tiphys.wire.message import Request


class Here:
    """The way to an API server in this process."""

    @asynccontextmanager
    async def clients(self, _component: str) -> AsyncIterator[tuple[Client, Client]]:
        client = Client(InProcessTransport(FakeApi().handler))
        yield client, client
        await client.close()


@pytest.mark.parametrize(
    ("module", "worker", "options"),
    [
        (controller_manager, ControllerManager, ControllerOptions()),
        (scheduler, Scheduler, SchedulerOptions()),
    ],
)
async def test_checks_are_the_workers(
    monkeypatch: pytest.MonkeyPatch, module: ModuleType, worker: type, options: Any
) -> None:
    answers = []

    async def ask(served: ComponentEndpoint, work: Coroutine[Any, Any, None]) -> None:
        work.close()
        answers.append(await served.handle(Request("GET", "/healthz", raw_query="verbose")))

    monkeypatch.setattr(module, "with_endpoint", ask)
    monkeypatch.setattr(worker, "checks", lambda _self, kind: {f"{kind} of mine": None})
    await module._run(Here(), options, EndpointOptions())
    (answer,) = answers
    assert answer.body == b"[+]healthz of mine ok\nhealthz check passed\n"
