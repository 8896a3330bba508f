"""How a component reaches the API server: kubeconfig and ``--master``, or what a pod finds in itself."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from dataclasses import replace

from tiphys.apimachinery.dataclass import dataclass
from tiphys.client.kubeconfig import ClientConfig, in_cluster, load
from tiphys.client.rest import Client
from tiphys.client.useragent import user_agent


@dataclass(frozen=True, slots=True)
class Reach:
    """``asking`` is a kubeconfig of its own for questions about callers; empty: the same as for all else."""

    kubeconfig: str
    master: str = ""
    asking: str = ""

    def config(self) -> ClientConfig:
        """Raises ConfigError."""
        found = load(self.kubeconfig) if self.kubeconfig else in_cluster()
        return replace(found, server=self.master) if self.master else found

    @contextlib.asynccontextmanager
    async def clients(self, component: str) -> AsyncIterator[tuple[Client, Client]]:
        """Give the component's client and the one that asks about callers; both end with the block.

        What the component writes belongs to the field manager of its name.
        """
        named = user_agent(component)
        client = Client(self.config().transport(), user_agent=named)
        asking = client
        try:
            if self.asking and self.asking != self.kubeconfig:
                asking = Client(load(self.asking).transport(), user_agent=named)
            yield client, asking
        finally:
            await client.close()
            if asking is not client:
                await asking.close()
