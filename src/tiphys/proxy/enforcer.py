"""The network policies of one node: watches, plans with ``policies``, writes the difference with ``nft``.

Owns the table ``tiphys-policies`` of the network namespace that it runs in. While there are no policies it
keeps no table, and watches neither pods nor namespaces. Run beside the service proxy.
"""

from __future__ import annotations

import asyncio
import logging

from tiphys.apimachinery.errors import BadRequest
from tiphys.apimachinery.meta import Object, object_key
from tiphys.client.informer import InformerSet
from tiphys.client.kinds import NAMESPACES, NETWORK_POLICIES, PODS
from tiphys.client.rest import Client
from tiphys.proxy import nft
from tiphys.proxy.beat import keep
from tiphys.proxy.diff import transaction
from tiphys.proxy.policies import TABLE_NAME, Cluster, plan
from tiphys.proxy.policy_objects import Pod, Policy, pod_of, policy_of
from tiphys.proxy.proxy import Kernel, NftKernel, ProxyOptions
from tiphys.proxy.ruleset import Table

log = logging.getLogger(__name__)

_FAMILY = {"IPv4": "ip", "IPv6": "ip6"}


class PolicyEnforcer:
    """Keeps the node's rules equal to what NetworkPolicies ask for."""

    def __init__(self, client: Client, options: ProxyOptions, *, kernel: Kernel | None = None) -> None:
        self._options = options
        self._kernel: Kernel = kernel or NftKernel()
        self._informers = InformerSet(client)
        self._policies: dict[str, Policy] = {}
        self._pods: dict[str, Pod] = {}
        self._namespaces: dict[str, dict[str, str]] = {}
        self._written: dict[str, Table | None] = dict.fromkeys(options.families)
        self._changed = asyncio.Event()
        self._changed.set()
        self._watching = False
        self._informers.get(NETWORK_POLICIES).add_handler(self.on_policy)

    async def run(self) -> None:
        """Work until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._informers.run())
            await self._informers.wait_synced()
            await keep(self, self._changed, self._options.min_interval_s, self._options.check_interval_s)

    def start_over(self, error: nft.NftError) -> None:
        """Forget what was written, as nobody knows what of it stands."""
        log.warning("policies not written, starting over error=%s", error)
        self._written = dict.fromkeys(self._options.families)

    async def sync(self) -> None:
        """Plan and write the difference. Raises NftError; the next call then does it all."""
        self._changed.clear()
        if self._policies and not self._watching:
            self._watching = True
            self._informers.get(PODS).add_handler(self.on_pod)
            self._informers.get(NAMESPACES).add_handler(self.on_namespace)
            await self._informers.wait_synced()
            self._changed.clear()
        cluster = Cluster(self._pods, self._namespaces)
        for family, before in self._written.items():
            if not self._policies:
                await self._clear(family, before)
                continue
            table = plan(self._policies.values(), cluster, self._options.node_name, family)
            commands = transaction(before if before and before.chains else None, table)
            if commands:
                await self._kernel.apply(commands)
                log.debug("policies written family=%s commands=%d", family, len(commands))
            self._written[family] = table

    async def _clear(self, family: str, before: Table | None) -> None:
        """Without policies nothing is in anybody's way; what an earlier run left goes too."""
        empty = Table(_FAMILY[family], TABLE_NAME, {}, {}, {})
        if before != empty:
            await self._kernel.apply([f"add table {empty.ref}", f"delete table {empty.ref}"])
            self._written[family] = empty

    async def check(self) -> None:
        """Compare the kernel's chains with what was written; rewrite everything if someone meddled."""
        for family, table in self._written.items():
            if table is None or not table.chains:
                continue
            if await self._kernel.chain_names(table) != set(table.chains):
                log.warning("policies were changed by others, writing them again family=%s", family)
                self._written[family] = None
                self._changed.set()

    def on_policy(self, old: Object | None, new: Object | None) -> None:
        """Informer handler."""
        key = object_key(new or old or {})
        self._policies.pop(key, None)
        if new is not None:
            try:
                self._policies[key] = policy_of(new)
            except (BadRequest, ValueError) as error:
                log.warning("policy not understood policy=%s error=%s", key, error)
        self._changed.set()

    def on_pod(self, old: Object | None, new: Object | None) -> None:
        """Informer handler: most changes of a pod are none for policies."""
        key = object_key(new or old or {})
        before = self._pods.get(key)
        if new is None:
            self._pods.pop(key, None)
        else:
            self._pods[key] = pod_of(new)
        after = self._pods.get(key)
        if before != after and any(pod is not None and pod.ips for pod in (before, after)):
            self._changed.set()

    def on_namespace(self, old: Object | None, new: Object | None) -> None:
        """Informer handler."""
        name = (new or old or {})["metadata"]["name"]
        before = self._namespaces.get(name)
        if new is None:
            self._namespaces.pop(name, None)
        else:
            self._namespaces[name] = dict(new["metadata"].get("labels") or {})
        if before != self._namespaces.get(name):
            self._changed.set()
