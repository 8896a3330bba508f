"""``tiphys scheduler``: flags into options, one Scheduler until stopped."""

from __future__ import annotations

import click

from tiphys.client.endpoint import ComponentEndpoint, with_endpoint
from tiphys.client.rest import Client
from tiphys.cmd.loop import run
from tiphys.scheduler.scheduler import Scheduler, SchedulerOptions


@click.command(help="Place pods on nodes.")
@click.option("--kubeconfig", required=True, help="How to reach the API server.")
@click.option("--scheduler-name", default="default-scheduler", show_default=True, help="Whose pods to place.")
@click.option(
    "--leader-elect",
    type=bool,
    is_flag=False,
    flag_value=True,
    default=False,
    show_default=True,
    help="Work only while holding the lease kube-system/kube-scheduler.",
)
@click.option("--bind-address", default="127.0.0.1", show_default=True, help="Of health and metrics.")
@click.option("--secure-port", default=10259, show_default=True, help="Of health and metrics; 0: none.")
def scheduler(
    kubeconfig: str, scheduler_name: str, leader_elect: bool, bind_address: str, secure_port: int
) -> None:
    options = SchedulerOptions(scheduler_name=scheduler_name, leader_elect=leader_elect)
    run(_run(kubeconfig, options, bind_address, secure_port))


async def _run(kubeconfig: str, options: SchedulerOptions, address: str, port: int) -> None:
    client = Client.from_kubeconfig(kubeconfig)
    endpoint = ComponentEndpoint("kube-scheduler", client)
    try:
        await with_endpoint(endpoint, address, port, Scheduler(client, options).run())
    finally:
        await client.close()
