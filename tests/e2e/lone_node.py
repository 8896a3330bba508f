"""A node of its own for tests of one kubelet: containerd in a network namespace, the API in memory."""

import asyncio
import ctypes
import json
import os
import secrets
import ssl
import subprocess
import sys
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import aiohttp
import pytest
from images import BUSYBOX, busybox_image

sys.path.insert(0, str(Path(__file__).parent.parent / "kubelet"))
from pod_api import PodApi

from tiphys.apimachinery.featuregates import resolve
from tiphys.client.inprocess import InProcessTransport
from tiphys.client.kinds import PODS
from tiphys.client.rest import Client
from tiphys.kubelet.cri.client import CriClient
from tiphys.kubelet.cri.containerd import (
    ContainerdPaths,
    containerd_arguments,
    ensure_pause_image,
    import_image,
    prepare,
)
from tiphys.kubelet.eviction.plan import parse_thresholds
from tiphys.kubelet.kubelet import Kubelet
from tiphys.kubelet.options import KubeletOptions, ServerOptions
from tiphys.kubelet.volumes.mount import unmount_all
from tiphys.wire.pki import issue_client, load_pair, make_ca

LAST_WORDS = "that was all"
_CLONE_NEWNET = 0x40000000

CNI = {
    "cniVersion": "0.4.0",
    "name": "test",
    "plugins": [
        {
            "type": "bridge",
            "bridge": "cni0",
            "isGateway": True,
            "hairpinMode": True,
            "ipam": {"type": "host-local", "ranges": [[{"subnet": "10.250.77.0/24"}]]},
        },
        {"type": "portmap", "capabilities": {"portMappings": True}},
    ],
}


def run(*command):
    subprocess.run(command, check=True, capture_output=True)


def enter_network(path):
    """Move this thread (and those it starts) into a network namespace; its file systems stay."""
    libc = ctypes.CDLL(None, use_errno=True)
    with open(path) as file:
        if libc.setns(file.fileno(), _CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), "setns")


class Machine:
    """A namespace with containerd in it."""

    def __init__(self, base: Path) -> None:
        self.name = f"kubelet-e2e-{secrets.token_hex(3)}"
        self.base = base
        self.paths = ContainerdPaths.under(base)
        self.process: subprocess.Popen[bytes] | None = None

    async def start(self) -> None:
        run("ip", "netns", "add", self.name)
        # The kubelet belongs on its node's network: containerd's streams and the pods are reached from there.
        self.outside = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        enter_network(f"/run/netns/{self.name}")
        run("ip", "link", "set", "lo", "up")
        prepare(self.paths)
        cni = json.loads(json.dumps(CNI))
        cni["plugins"][0]["ipam"]["dataDir"] = str(self.base / "ipam")
        (self.paths.cni_conf_dir / "10-test.conflist").write_text(json.dumps(cni))
        self.start_containerd()
        async with CriClient(str(self.paths.socket)) as cri:
            await cri.wait_ready(20)
        await ensure_pause_image(self.paths.socket)
        await import_image(self.paths.socket, busybox_image())

    def start_containerd(self) -> None:
        with (self.base / "containerd.log").open("ab") as log:
            self.process = subprocess.Popen(containerd_arguments(self.paths), stdout=log, stderr=log)

    def stop_containerd(self) -> None:
        assert self.process is not None
        self.process.terminate()
        self.process.wait(10)

    async def stop(self) -> None:
        if self.process is not None:
            async with CriClient(str(self.paths.socket)) as cri:
                for sandbox in await cri.list_sandboxes():
                    await cri.stop_sandbox(sandbox.id)
                    await cri.remove_sandbox(sandbox.id)
            self.stop_containerd()
        unmount_all(self.base)
        enter_network(f"/proc/self/fd/{self.outside}")
        os.close(self.outside)
        run("ip", "netns", "delete", self.name)


class Node:
    def __init__(self, machine: Machine, base: Path) -> None:
        self.machine = machine
        self.api = PodApi()
        self.client = Client(InProcessTransport(self.api.handler))
        ca = make_ca("test", datetime.now(UTC))
        (base / "ca.crt").write_bytes(ca.certificate)
        self.context = ssl.create_default_context()
        self.context.check_hostname = False
        self.context.verify_mode = ssl.CERT_NONE
        load_pair(self.context, issue_client(ca, "admin", ["system:masters"], datetime.now(UTC)))
        self.options = KubeletOptions(
            node_name="n1",
            runtime_endpoint=str(machine.paths.socket),
            root_dir=base / "kubelet",
            logs_dir=base / "logs",
            node_ips=("127.0.0.1",),
            resolv_conf="",
            cgroup_root=f"/{machine.name}",
            thresholds=parse_thresholds("memory.available<100Mi,nodefs.available<1%"),  # the disk is not ours
            server=ServerOptions(
                address="127.0.0.1",
                port=0,
                client_ca=base / "ca.crt",
                gates=resolve({"PodLogsQuerySplitStreams": True}),
            ),
        )
        self.kubelet = Kubelet(self.client, self.options)

    @asynccontextmanager
    async def running(self):
        self.kubelet = Kubelet(self.client, self.options)
        task = asyncio.ensure_future(self.kubelet.run())
        try:
            await self.until(lambda: self.kubelet.server_port)
            yield self
        finally:
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    async def until(self, check, seconds=30):
        async with asyncio.timeout(seconds):
            while not check():  # noqa: ASYNC110
                await asyncio.sleep(0.01)

    async def create(self, name, script, **fields):
        spec = fields.pop("spec", {})
        pod = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name, "namespace": "default"},
            "spec": {
                "nodeName": "n1",
                "restartPolicy": "Never",
                "terminationGracePeriodSeconds": 2,
                "containers": [{"name": "c", "image": BUSYBOX, "command": ["sh", "-c", script], **fields}],
                **spec,
            },
        }
        return await self.client.create(PODS, pod)

    def status(self, name):
        return (self.api.get(PODS, name, "default") or {}).get("status") or {}

    async def finish(self, name, script, phase="Succeeded", **fields):
        """Run a pod to its end."""
        await self.create(name, script, **fields)
        await self.until(lambda: self.status(name).get("phase") in ("Succeeded", "Failed"))
        assert self.status(name)["phase"] == phase, await self.logs(name)

    async def told(self, name, script, **fields):
        """Run a pod to its end and return what it wrote."""
        await self.finish(name, f"trap 'echo {LAST_WORDS}' EXIT; {script}", **fields)
        text = await self.logged(name, lambda text: text.endswith(LAST_WORDS + "\n"))
        return text.removesuffix(LAST_WORDS + "\n")

    async def logged(self, name, check):
        """Return a log once ``check`` is content: it may be written after its container was seen to end."""
        async with asyncio.timeout(10):
            while not check(text := await self.logs(name)):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        return text

    async def delete(self, name):
        self.api.delete_pod(name, grace_s=2)
        await self.until(lambda: self.api.get(PODS, name, "default") is None)

    async def request(self, path, method="GET", **kwargs):
        async with aiohttp.ClientSession() as session:
            url = f"https://127.0.0.1:{self.kubelet.server_port}{path}"
            context = kwargs.pop("context", self.context)
            async with session.request(method, url, ssl=context, **kwargs) as response:
                return response.status, await response.text()

    async def logs(self, name, query=""):
        status, text = await self.request(f"/containerLogs/default/{name}/c?{query}")
        assert status == 200, text
        return text
