"""The shell: what is watched and written as policies, pods and namespaces come and go."""

from __future__ import annotations

import asyncio

import pytest
from policy_made import make_pod, policy
from recorder import Recorder

from tiphys.client.fake_api import FakeApi
from tiphys.client.inprocess import InProcessTransport
from tiphys.client.kinds import NAMESPACES, NETWORK_POLICIES, PODS
from tiphys.client.rest import Client
from tiphys.proxy.enforcer import PolicyEnforcer
from tiphys.proxy.proxy import ProxyOptions

CLEAR = ["add table ip tiphys-policies", "delete table ip tiphys-policies"]
PEERS = {"ingress": [{"from": [{"namespaceSelector": {"matchLabels": {"team": "y"}}}]}]}


def namespace(name, team):
    return {"metadata": {"name": name, "labels": {"team": team}}}


class Node:
    def __init__(self):
        self.api = FakeApi()
        self.kernel = Recorder()
        self.client = Client(InProcessTransport(self.api.handler))
        options = ProxyOptions("n1", min_interval_s=0.001, check_interval_s=0.02)
        self.enforcer = PolicyEnforcer(self.client, options, kernel=self.kernel)

    def put(self, gvr, obj):
        self.api.put(gvr, obj)

    def written(self, text):
        return any(text in command for write in self.kernel.writes for command in write)

    async def until(self, check):
        async with asyncio.timeout(5):
            while not check():  # noqa: ASYNC110
                await asyncio.sleep(0.002)


@pytest.fixture
async def node():
    made = Node()
    for name in ("x", "y"):
        made.put(NAMESPACES, namespace(name, name))
    made.put(PODS, make_pod("x", "a", "10.1.0.1"))
    made.put(PODS, make_pod("y", "a", "10.1.0.11"))
    task = asyncio.ensure_future(made.enforcer.run())
    yield made
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await made.client.close()


async def test_without_policies_there_is_no_table(node):
    await node.until(lambda: node.kernel.writes)
    assert node.kernel.writes == [CLEAR]
    assert node.enforcer._informers.get(PODS).list() == []


async def test_a_policy_comes_and_goes(node):
    await node.until(lambda: node.kernel.writes)
    node.put(NETWORK_POLICIES, policy(**PEERS))
    await node.until(lambda: node.written("ingress-pods { 10.1.0.1 : goto"))
    assert node.written("{ 10.1.0.11 }")
    node.kernel.writes.clear()
    node.put(PODS, make_pod("y", "b", "10.1.0.12"))
    await node.until(lambda: node.written("{ 10.1.0.12 }"))
    assert all(command.startswith("add element") for command in node.kernel.writes[0])
    node.put(NAMESPACES, namespace("y", "z"))
    await node.until(lambda: node.written("delete element"))
    node.api.remove(NETWORK_POLICIES, "p", "x")
    await node.until(lambda: node.kernel.writes[-1] == CLEAR)


async def test_changes_that_mean_nothing_write_nothing(node):
    node.put(NETWORK_POLICIES, policy(**PEERS))
    await node.until(lambda: node.written("ingress-pods { 10.1.0.1 : goto"))
    node.kernel.writes.clear()
    changed = make_pod("x", "a", "10.1.0.1")
    changed["metadata"]["annotations"] = {"a": "b"}
    node.put(PODS, changed)
    node.put(PODS, make_pod("y", "waiting", ""))
    node.put(PODS, make_pod("y", "late", "10.1.0.19"))
    await node.until(lambda: node.written("10.1.0.19"))
    assert len(node.kernel.writes) == 1


async def test_a_write_that_fails_is_made_anew(node, monkeypatch):
    monkeypatch.setattr("tiphys.proxy.beat._RETRY_S", 0.0)
    await node.until(lambda: node.kernel.writes)
    node.kernel.fail = True
    node.put(NETWORK_POLICIES, policy(**PEERS))
    await node.until(lambda: node.written("ingress-pods { 10.1.0.1 : goto"))


async def test_what_others_changed_is_written_again(node):
    node.put(NETWORK_POLICIES, policy(**PEERS))
    await node.until(lambda: node.written("ingress-pods { 10.1.0.1 : goto"))
    node.kernel.writes.clear()
    node.kernel.chains = {"ingress"}
    await node.until(lambda: node.written("ingress-pods { 10.1.0.1 : goto"))


async def test_a_policy_that_is_not_understood_leaves_the_others(node):
    odd = policy("odd", podSelector={"matchExpressions": [{"key": "a", "operator": "Is"}]})
    node.put(NETWORK_POLICIES, odd)
    node.put(NETWORK_POLICIES, policy(**PEERS))
    await node.until(lambda: node.written("ingress-pods { 10.1.0.1 : goto"))
