"""``tiphys proxy``: flags into options, one Proxy until stopped. Flags are kube-proxy's where it has them."""

from __future__ import annotations

import asyncio
import ipaddress
import socket

import click

from tiphys.client.rest import Client
from tiphys.proxy.proxy import Proxy, ProxyOptions


@click.command(help="Program a node's service rules (nftables).")
@click.option("--kubeconfig", required=True, help="How to reach the API server.")
@click.option(
    "--node-name", "--hostname-override", default="", help="This node's name; the host's otherwise."
)
@click.option("--cluster-cidr", default="", help="Pod ranges, separated by commas.")
@click.option(
    "--nodeport-addresses", default="", help="Addresses for NodePorts; the Node's InternalIPs otherwise."
)
@click.option("--healthz-bind-address", default="127.0.0.1:10256", show_default=True, help="Empty for none.")
def proxy(
    kubeconfig: str, node_name: str, cluster_cidr: str, nodeport_addresses: str, healthz_bind_address: str
) -> None:
    ranges = _parts(cluster_cidr)
    for text in ranges:
        try:
            ipaddress.ip_network(text)
        except ValueError as error:
            raise click.BadParameter(str(error), param_hint="--cluster-cidr") from error
    options = ProxyOptions(
        node_name=node_name or socket.gethostname().lower(),
        cluster_cidr=ranges,
        nodeport_addresses=_parts(nodeport_addresses),
        healthz_address=healthz_bind_address,
    )
    asyncio.run(_run(kubeconfig, options))


def _parts(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


async def _run(kubeconfig: str, options: ProxyOptions) -> None:
    client = Client.from_kubeconfig(kubeconfig, user_agent="tiphys-proxy")
    try:
        await Proxy(client, options).run()
    finally:
        await client.close()
