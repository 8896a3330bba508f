"""A node that is about to shut down: who ends when, and what is told of it."""

import asyncio
import os
import signal

import pytest
from fake_node import Node
from pods import pod

from tiphys.client.kinds import NODES
from tiphys.cmd.kubelet import _shutdowns
from tiphys.kubelet.nodeshutdown.plan import ShutdownPeriod, period_faults, periods_of, plan_shutdown

CRITICAL = 2_000_000_000


def named(name, priority=None, grace=30):
    made = pod(meta={"name": name}, terminationGracePeriodSeconds=grace)
    if priority is not None:
        made["spec"]["priority"] = priority
    return made


@pytest.mark.parametrize(
    ("total", "critical", "expected"),
    [
        (30, 10, (ShutdownPeriod(0, 20), ShutdownPeriod(CRITICAL, 10))),
        (30, 0, (ShutdownPeriod(0, 30), ShutdownPeriod(CRITICAL, 0))),
        (0, 0, ()),
        (10, 20, ()),
    ],
)
def test_periods_of_a_total(total, critical, expected):
    assert periods_of(total, critical) == expected


PERIODS = [ShutdownPeriod(1000, 20), ShutdownPeriod(0, 10), ShutdownPeriod(CRITICAL, 5)]


def test_who_ends_when():
    pods = [
        named("system", CRITICAL + 1000),
        named("plain"),
        named("at the bound", 1000),
        named("below the bound", 999),
        named("below all", -5),
        named("quick", grace=3),
    ]
    groups = plan_shutdown(PERIODS, pods)
    found = [
        (group.grace_s, [(one.pod["metadata"]["name"], one.rejection.grace_s) for one in group.endings])
        for group in groups
    ]
    assert found == [
        (10, [("plain", 10), ("below the bound", 10), ("below all", 10), ("quick", 3)]),
        (20, [("at the bound", 20)]),
        (5, [("system", 5)]),
    ]


def test_periods_without_pods_take_no_time():
    assert [group.grace_s for group in plan_shutdown(PERIODS, [named("system", CRITICAL)])] == [5]


@pytest.mark.parametrize(
    ("total", "critical", "periods", "parts"),
    [
        (30, 10, [], []),
        (0, 0, PERIODS, []),
        (10, 20, [], ["must be <= shutdownGracePeriod"]),
        (
            0.5,
            0.5,
            [],
            ["shutdownGracePeriod {0.5s} must be either zero", "CriticalPods {0.5s} must be either"],
        ),
        (30, 0, PERIODS, ["Cannot specify both"]),
    ],
)
def test_settings(total, critical, periods, parts):
    faults = period_faults(total, critical, periods)
    assert len(faults) == len(parts)
    assert all(part in fault for part, fault in zip(parts, faults, strict=True))


async def test_a_signal_begins_it():
    signals = _shutdowns()
    first = asyncio.ensure_future(anext(signals))
    await asyncio.sleep(0)
    os.kill(os.getpid(), signal.SIGUSR1)
    assert await first is True
    await signals.aclose()
    asyncio.get_running_loop().remove_signal_handler(signal.SIGUSR1)


class Said:
    """Shutdowns as a test says them."""

    def __init__(self):
        self.queue = asyncio.Queue()

    def __aiter__(self):
        return self

    async def __anext__(self):
        return await self.queue.get()


def ready(node):
    found = (node.api.get(NODES, "n1") or {}).get("status") or {}
    return next(
        (
            (c["status"], c["reason"], c["message"])
            for c in found.get("conditions") or ()
            if c["type"] == "Ready"
        ),
        None,
    )


@pytest.mark.usefixtures("no_cgroups")
async def test_a_node_shuts_down(tmp_path):
    node = Node(tmp_path, shutdown_periods=periods_of(40, 20))
    said = Said()
    hold = asyncio.Event()
    stop = node.runtime.stop_container

    async def stop_container(container_id, timeout_s):
        if node.runtime.containers[container_id].name == "slow":
            await hold.wait()
        await stop(container_id, timeout_s)

    node.runtime.stop_container = stop_container
    try:
        async with node.running(shutdowns=said):
            await node.create("plain", [{"name": "slow", "image": "img:1"}])
            await node.create("vital", priority=CRITICAL)
            await node.until(lambda: node.ready("plain") and node.ready("vital"))
            said.queue.put_nowait(True)
            await node.until(
                lambda: ready(node) == ("False", "KubeletNotReady", "node is shutting down"), "not ready"
            )
            assert node.events("NodeShutdown") == ["Shutdown manager detected shutdown event"]
            await node.create("late")
            await node.until(lambda: node.phase("late") == "Failed")
            told = "Pod was rejected: Pod was rejected as the node is shutting down."
            assert (node.status("late")["reason"], node.status("late")["message"]) == ("NodeShutdown", told)
            assert node.phase("vital") == "Running"
            hold.set()
            await node.until(lambda: node.phase("plain") == node.phase("vital") == "Failed")
            for name in ("plain", "vital"):
                status = node.status(name)
                text = "Pod was terminated in response to imminent node shutdown."
                assert (status["reason"], status["message"]) == ("Terminated", text)
                (target,) = [c for c in status["conditions"] if c["type"] == "DisruptionTarget"]
                assert (target["status"], target["reason"], target["message"]) == (
                    "True",
                    "TerminationByKubelet",
                    text,
                )
            assert node.events("Terminated") == []
            said.queue.put_nowait(False)
            await node.until(lambda: ready(node)[0] == "True", "ready again")
            await node.create("after")
            await node.until(lambda: node.ready("after"))
    finally:
        await node.client.close()
