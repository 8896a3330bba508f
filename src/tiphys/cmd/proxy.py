"""``tiphys proxy``: flags into options, one Proxy until stopped. Flags are kube-proxy's where it has them."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import socket
from typing import Any

import click

from tiphys.cmd import proxy_config
from tiphys.cmd.component import Component, shown_flags
from tiphys.cmd.election_flags import go_bool
from tiphys.cmd.flag_lists import words
from tiphys.cmd.gate_flags import gate_flags, read_gates
from tiphys.cmd.reach import Reach
from tiphys.proxy.enforcer import PolicyEnforcer
from tiphys.proxy.leftovers import remove_leftovers
from tiphys.proxy.nft import families, remove
from tiphys.proxy.proxy import Proxy, ProxyOptions

log = logging.getLogger(__name__)


@click.command(
    "proxy", cls=Component, upstream="kube-proxy", configuration=proxy_config.read,
    help="Program a node's service rules (nftables).",
)  # fmt: skip
@click.option("--kubeconfig", default="", help="How to reach the API server.")
@click.option("--master", default="", help="The API server's address, in place of the kubeconfig's.")
@click.option("--config", default="", help="A KubeProxyConfiguration.")
@click.option(
    "--node-name", "--hostname-override", default="", help="This node's name; the host's otherwise."
)
@click.option("--proxy-mode", default="nftables", show_default=True, help="Always nftables.")
@click.option("--cluster-cidr", default="", help="Pod ranges, separated by commas.")
@click.option(
    "--nodeport-addresses",
    default="",
    help="Addresses or ranges for NodePorts; the Node's InternalIPs otherwise.",
)
@click.option("--healthz-bind-address", default="0.0.0.0:10256", show_default=True, help="Empty for none.")
@click.option("--metrics-bind-address", default="127.0.0.1:10249", show_default=True, help="Empty for none.")
@go_bool("--network-policies", default=False, help="Enforce NetworkPolicies for the node's pods too.")
@gate_flags
@go_bool("--cleanup", default=False, help="Remove the rules and end.")
def proxy(kubeconfig: str, master: str, cluster_cidr: str, proxy_mode: str, **flags: Any) -> None:
    if proxy_mode not in ("nftables", ""):
        log.warning("proxy mode %s is not built, nftables does its work", proxy_mode)
    ranges = words(cluster_cidr)
    for text in ranges:
        try:
            ipaddress.ip_network(text)
        except ValueError as error:
            raise click.BadParameter(str(error), param_hint="--cluster-cidr") from error
    options = ProxyOptions(
        node_name=flags["node_name"] or socket.gethostname().lower(),
        cluster_cidr=ranges,
        nodeport_addresses=node_ports(flags["nodeport_addresses"]),
        families=families(),
        healthz_address=_bound(flags["healthz_bind_address"], 10256),
        metrics_address=_bound(flags["metrics_bind_address"], 10249),
        flags=shown_flags(),
        gates=read_gates(flags),
    )
    if flags["cleanup"]:
        asyncio.run(_clean_up())
    else:
        asyncio.run(_run(Reach(kubeconfig, master), options, policies=flags["network_policies"]))


def _bound(text: str, port: int) -> str:
    """Return an address with its port; an address alone has the usual one."""
    if not text or text.endswith(":"):
        return ""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return text
    return f"[{text}]:{port}" if ":" in text else f"{text}:{port}"


def node_ports(text: str) -> tuple[str, ...]:
    """Return the addresses or ranges, none for ``primary``: the Node's own. Raises click.BadParameter."""
    parts = words(text)
    if parts == ("primary",):
        return ()
    for part in parts:
        try:
            ipaddress.ip_network(part, strict=False)
        except ValueError as error:
            raise click.BadParameter(str(error), param_hint="--nodeport-addresses") from error
    return parts


async def _clean_up() -> None:
    await remove()
    await remove_leftovers()


async def _run(reach: Reach, options: ProxyOptions, *, policies: bool) -> None:
    await remove_leftovers()
    async with reach.clients("kube-proxy") as (client, _), asyncio.TaskGroup() as tasks:
        tasks.create_task(Proxy(client, options).run())
        if policies:
            tasks.create_task(PolicyEnforcer(client, options).run())
