"""A whole control plane in one process and one event loop: API server, controllers, scheduler, nodes.

The store is in memory, nodes are simulated, nothing needs root. Ready in a fraction of a second::

    async with Cluster(nodes=2) as cluster:
        await cluster.client.create(DEPLOYMENTS, deployment)

With ``listen=True`` it serves HTTPS on loopback too, and ``kubeconfig`` is a file for any client.
"""

from __future__ import annotations

import asyncio
import importlib
import secrets
import shutil
import sys
import tempfile
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Self

from tiphys.apimachinery.clock import Clock, RealClock
from tiphys.apimachinery.collector import unseen
from tiphys.apimachinery.meta import GVR, Object
from tiphys.apiserver.options import ApiServerOptions, TokenEntry
from tiphys.apiserver.server import ApiServer
from tiphys.client.informer import Informer
from tiphys.client.inprocess import InProcessTransport
from tiphys.client.kinds import NODES, PODS, SERVICE_ACCOUNTS
from tiphys.client.rest import Client
from tiphys.client.transport import Transport
from tiphys.client.useragent import user_agent
from tiphys.storage.memory import MemoryStore
from tiphys.testing.nodes import NodeShape, SimulatedNodes
from tiphys.wire import pki
from tiphys.wire.server import serve
from tiphys.wire.tls_options import TlsOptions

ADMIN = "tiphys:admin"
_COMPONENTS = {
    ADMIN: ("system:masters",),
    "system:kube-controller-manager": (),
    "system:kube-scheduler": (),
    "tiphys:simulated-nodes": ("system:masters",),
}


class Cluster:
    """An async context manager; everything it started ends with it.

    ``client`` acts as cluster administrator. ``wait_for`` is how tests wait: on watches, not on time.
    """

    def __init__(
        self,
        *,
        nodes: int = 1,
        controllers: bool = True,
        scheduler: bool = True,
        listen: bool = False,
        shape: NodeShape | None = None,
        options: dict[str, Any] | None = None,
        controller_options: dict[str, Any] | None = None,
        clock: Clock | None = None,
        network: Callable[[Transport], Transport] = lambda transport: transport,
    ) -> None:
        self._nodes = nodes
        self._network = network
        self._with = {"controllers": controllers, "scheduler": scheduler, "listen": listen}
        if controllers:
            _load("tiphys.controllers.manager")
        self._shape = shape
        self._controller_options = controller_options or {}
        self._clock = clock or RealClock()
        self._tokens = {user: secrets.token_urlsafe(24) for user in _COMPONENTS}
        entries = tuple(
            TokenEntry(self._tokens[user], user, user, groups) for user, groups in _COMPONENTS.items()
        )
        settings = {
            "tokens": entries,
            "metric_resolution_s": 1.0,
            "service_account_signing_key": pki.make_signing_key(),
            **(options or {}),
        }
        self.store = MemoryStore(clock=self._clock)
        self.server = ApiServer(self.store, ApiServerOptions(**settings), self._clock, usage=self._usage)
        self._simulated: SimulatedNodes | None = None
        self._running: dict[str, asyncio.Task[None]] = {}
        self._stack = AsyncExitStack()
        self._parts: asyncio.Task[None] | None = None
        self._ca_pem = ""
        self.folder: Path | None = None
        self.url = ""

    @property
    def token(self) -> str:
        """The administrator's bearer token."""
        return self._tokens[ADMIN]

    @property
    def kubeconfig(self) -> Path:
        """A kubeconfig file for the administrator; only with ``listen=True``."""
        if self.folder is None:
            raise RuntimeError("the cluster does not listen: make it with listen=True")
        return self.folder / "kubeconfig"

    def client_for(self, user: str = ADMIN) -> Client:
        """Return a client without sockets, closed with the cluster."""
        return self._client_over(lambda transport: transport, user, user.removeprefix("system:"))

    def _client_over(self, network: Callable[[Transport], Transport], user: str, agent: str) -> Client:
        headers = {"Authorization": f"Bearer {self._tokens[user]}"}
        transport = network(InProcessTransport(self.server.handler, headers=headers))
        client = Client(transport, user_agent=agent, clock=self._clock)
        self._stack.push_async_callback(client.close)
        return client

    async def __aenter__(self) -> Self:
        try:
            await self._start()
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    async def __aexit__(self, *_exc: object) -> None:
        await self._stack.aclose()

    async def _start(self) -> None:
        await self.server.start()
        self._stack.push_async_callback(self.server.stop)
        self.client = self.client_for()
        if self._with["listen"]:
            await self._listen()
        self._parts = asyncio.create_task(self._run_parts(), name="cluster")  # parent: _stop_parts awaits it
        self._stack.push_async_callback(self._stop_parts)
        if self._with["controllers"]:
            await self.wait_for(SERVICE_ACCOUNTS, "default", "default")
        for index in range(1, self._nodes + 1):
            await self.wait_for(NODES, f"node-{index}")

    async def _listen(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="tiphys-cluster-"))
        self._stack.callback(shutil.rmtree, self.folder, True)
        now = self._clock.now()
        authority = pki.make_ca("tiphys", now)
        pair = pki.issue_server(authority, "kube-apiserver", ["localhost", "127.0.0.1"], now)
        context = pki.server_context(pair, None)
        TlsOptions().apply(context)
        server = await self._stack.enter_async_context(
            serve(self.server.handler, ssl_context=context, grace_s=0.5)
        )
        self.url = f"https://127.0.0.1:{server.port}"
        (self.folder / "ca.crt").write_bytes(authority.certificate)
        self._ca_pem = authority.certificate.decode()
        import yaml  # only who listens writes a file

        config = _kubeconfig(self.url, str(self.folder / "ca.crt"), self.token)
        self.kubeconfig.write_text(yaml.safe_dump(config, sort_keys=False))

    @property
    def nodes(self) -> SimulatedNodes:
        """The simulated kubelets, which can be stopped and started one by one."""
        if self._simulated is None:
            raise RuntimeError("the cluster has no nodes of its own")
        return self._simulated

    async def restart(self, component: str) -> None:
        """End ``controller-manager`` or ``scheduler`` wherever it stands and start it anew."""
        self._running[component].cancel()
        await asyncio.wait({self._running[component]})
        self._running[component] = self._group.create_task(self._component(component))

    async def _run_parts(self) -> None:
        async with asyncio.TaskGroup() as group:
            self._group = group
            if self._nodes:
                client = self._component_client("tiphys:simulated-nodes", "kubelet")
                nodes = SimulatedNodes(client, self._nodes, shape=self._shape, clock=self._clock)
                self._simulated = nodes
                await nodes.register()
                group.create_task(nodes.run())
            for name, wanted in (("controller-manager", "controllers"), ("scheduler", "scheduler")):
                if self._with[wanted]:
                    self._running[name] = group.create_task(self._component(name))
            await asyncio.Event().wait()

    def _component(self, name: str) -> Coroutine[Any, Any, None]:
        client = self._component_client(f"system:kube-{name}", f"kube-{name}")
        if name == "scheduler":
            return self._schedule(client)
        from tiphys.controllers.manager import ControllerManager, ControllerOptions

        key = self.server.options.service_account_signing_key.decode()
        settings = {"root_ca_pem": self._ca_pem, "service_account_key_pem": key}
        options = ControllerOptions(**{**settings, **self._controller_options})
        return ControllerManager(client, options, self._clock).run()

    async def _schedule(self, client: Client) -> None:
        """Be the scheduler, from the first pod on: NumPy alone is a tenth of a process's first cluster."""
        await _any_pod(client)
        _load("tiphys.scheduler.scheduler")
        from tiphys.scheduler.scheduler import Scheduler, SchedulerOptions

        await Scheduler(client, SchedulerOptions(), self._clock).run()

    def _component_client(self, user: str, component: str) -> Client:
        return self._client_over(self._network, user, user_agent(component))

    async def _usage(self, node: Object) -> str:
        """What a node uses, asked by the API server as it would ask a kubelet. Raises OSError."""
        name = node["metadata"]["name"]
        if self._simulated is None or not self._simulated.has(name):
            raise OSError(f"no kubelet on {name}")
        return self._simulated.usage(name)

    async def _stop_parts(self) -> None:
        if self._parts is None:
            return
        self._parts.cancel()
        try:
            await self._parts
        except asyncio.CancelledError:
            pass

    async def wait_for(
        self,
        gvr: GVR,
        name: str,
        namespace: str = "",
        condition: Callable[[Object | None], bool] = lambda obj: obj is not None,
        *,
        timeout_s: float = 30.0,
    ) -> Object | None:
        """Watch one object until ``condition`` holds (None: it is not there) and return it.

        Raises TimeoutError with the last state; what a component of the cluster raised, if it died.
        """
        informer = Informer(self.client, gvr, namespace=namespace, field_selector=f"metadata.name={name}")
        key = f"{namespace}/{name}" if namespace else name
        changed = asyncio.Event()
        informer.add_handler(lambda _old, _new: changed.set())
        watching = asyncio.create_task(informer.run())  # parent: this call, which cancels it below
        try:
            async with asyncio.timeout(timeout_s):
                await informer.wait_synced()
                while not condition(informer.get(key)):
                    await self._changed_or_died(changed)
        except TimeoutError:
            raise TimeoutError(
                f"{gvr.resource} {key} never came to be as asked; it is {informer.get(key)}"
            ) from None
        finally:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)
        return informer.get(key)

    async def _changed_or_died(self, changed: asyncio.Event) -> None:
        waiting = asyncio.create_task(changed.wait())  # parent: this call, which cancels it below
        try:
            parts = {self._parts} if self._parts is not None else set()
            await asyncio.wait({waiting, *parts}, return_when=asyncio.FIRST_COMPLETED)
            if self._parts is not None and self._parts.done():
                await self._parts
        finally:
            waiting.cancel()
        changed.clear()


async def _any_pod(client: Client) -> None:
    """Return once there is a pod."""
    pods = Informer(client, PODS)
    found = asyncio.Event()
    pods.add_handler(lambda _old, _new: found.set())
    watching = asyncio.create_task(pods.run())  # parent: this call, which cancels it below
    try:
        await found.wait()
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)


def _load(module: str) -> None:
    """Import what a part of the cluster is made of, in a process that has not done so."""
    if module not in sys.modules:
        with unseen():
            importlib.import_module(module)


def _kubeconfig(url: str, ca_file: str, token: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "tiphys", "cluster": {"server": url, "certificate-authority": ca_file}}],
        "users": [{"name": "admin", "user": {"token": token}}],
        "contexts": [{"name": "tiphys", "context": {"cluster": "tiphys", "user": "admin"}}],
        "current-context": "tiphys",
    }
