"""A whole kubelet over a runtime and an API in memory, and the questions that tests ask of it."""

import asyncio
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
from fake_cri import FakeRuntime
from pod_api import PodApi

from tiphys.client.inprocess import InProcessTransport
from tiphys.client.kinds import EVENTS, PODS
from tiphys.client.rest import Client
from tiphys.kubelet.kubelet import Kubelet
from tiphys.kubelet.options import KubeletOptions


class NoCgroups:
    """Tests must not touch the machine's tree."""

    def __init__(self, root):
        self.root = root

    def parent(self, pod):
        return ""

    def apply(self, pod):
        pass

    def memory_usage(self, pod):
        return None

    def find(self, uid):
        return ""

    def remove(self, uid):
        pass

    def known_pods(self):
        return set()


class Node:
    def __init__(self, tmp_path, **options):
        self.api = PodApi()
        self.runtime = FakeRuntime()
        self.runtime.add_image("docker.io/library/img:1")
        self.client = Client(InProcessTransport(self.api.handler))
        usual = KubeletOptions(
            node_name="n1",
            root_dir=tmp_path / "kubelet",
            logs_dir=tmp_path / "logs",
            node_ips=("192.0.2.1",),
            cluster_dns=("10.0.0.10",),
            resolv_conf="",
            server=None,
            relist_s=0.02,
            housekeeping_s=0.05,
            device_plugins=False,
        )
        self.options = replace(usual, **options)
        self.kubelet = None

    @asynccontextmanager
    async def running(self, measure=dict, shutdowns=None):
        """``measure`` says what the machine has left: nothing that anybody could be short of."""
        self.kubelet = Kubelet(
            self.client, self.options, runtime=self.runtime, measure=measure, shutdowns=shutdowns
        )
        task = asyncio.ensure_future(self.kubelet.run())
        try:
            yield self
        finally:
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    async def create(self, name="p", containers=None, **spec):
        pod = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name, "namespace": "default"},
            "spec": {
                "nodeName": "n1",
                "restartPolicy": "Always",
                "terminationGracePeriodSeconds": 5,
                "containers": containers or [{"name": "c", "image": "img:1"}],
                **spec,
            },
        }
        return await self.client.create(PODS, pod)

    async def until(self, check, what="the condition"):
        async with asyncio.timeout(60):
            while not check():  # noqa: ASYNC110
                await asyncio.sleep(0.005)

    def status(self, name="p"):
        return (self.api.get(PODS, name, "default") or {}).get("status") or {}

    def phase(self, name="p"):
        return self.status(name).get("phase")

    def container(self, name="p"):
        return (self.status(name).get("containerStatuses") or [{}])[0]

    def waiting(self, name="p"):
        return (self.container(name).get("state") or {}).get("waiting") or {}

    def events(self, reason):
        return [event["message"] for event in self.api.all(EVENTS) if event["reason"] == reason]

    def ready(self, name="p"):
        return any(
            c["type"] == "Ready" and c["status"] == "True" for c in self.status(name).get("conditions") or ()
        )
