"""``tiphys scheduler``: flags into options, one Scheduler until stopped."""

from __future__ import annotations

import click

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
def scheduler(kubeconfig: str, scheduler_name: str, leader_elect: bool) -> None:
    options = SchedulerOptions(scheduler_name=scheduler_name, leader_elect=leader_elect)
    run(_run(kubeconfig, options))


async def _run(kubeconfig: str, options: SchedulerOptions) -> None:
    client = Client.from_kubeconfig(kubeconfig)
    try:
        await Scheduler(client, options).run()
    finally:
        await client.close()
