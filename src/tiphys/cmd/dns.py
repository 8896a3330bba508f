"""``tiphys dns``: flags into options, one DnsServer until stopped."""

from __future__ import annotations

import contextlib
from pathlib import Path

import click

from tiphys.client.rest import Client
from tiphys.cmd.flag_lists import words
from tiphys.cmd.loop import run
from tiphys.dns.server import DnsOptions, DnsServer
from tiphys.dns.upstream import nameservers


@click.command(help="Answer a cluster's DNS on this node.")
@click.option("--kubeconfig", required=True, help="How to reach the API server.")
@click.option("--bind-address", required=True, help="The node's address to answer on.")
@click.option("--port", default=53, show_default=True, help="UDP and TCP.")
@click.option("--node-name", default="", help="Keep an EndpointSlice of Service kube-dns for this node.")
@click.option("--cluster-dns", default="", help="The ClusterIP of Service kube-dns.")
@click.option("--cluster-domain", default="cluster.local", show_default=True, help="The cluster's zone.")
@click.option("--upstream", default="", help="Servers for other names; those of /etc/resolv.conf, or 'none'.")
@click.option("--stub-addresses", default="", help="More addresses to answer on, for programs of the node.")
@click.option("--health-address", default="127.0.0.1:10254", show_default=True, help="Empty for none.")
def dns(
    kubeconfig: str,
    bind_address: str,
    port: int,
    node_name: str,
    cluster_dns: str,
    cluster_domain: str,
    upstream: str,
    stub_addresses: str,
    health_address: str,
) -> None:
    options = DnsOptions(
        bind_address=bind_address,
        port=port,
        zone=cluster_domain,
        cluster_dns=cluster_dns,
        node_name=node_name,
        upstreams=_upstreams(upstream),
        stub_addresses=words(stub_addresses),
        health_address=health_address,
    )
    run(_run(kubeconfig, options))


def _upstreams(text: str) -> tuple[str, ...]:
    if text == "none":
        return ()
    if text:
        return words(text)
    with contextlib.suppress(OSError):
        return tuple(nameservers(Path("/etc/resolv.conf").read_text()))
    return ()


async def _run(kubeconfig: str, options: DnsOptions) -> None:
    client = Client.from_kubeconfig(kubeconfig, user_agent="tiphys-dns")
    try:
        await DnsServer(client, options).run()
    finally:
        await client.close()
