"""``tiphys scheduler``: flags and a KubeSchedulerConfiguration into options, one Scheduler until stopped."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import click

from tiphys.apimachinery.collector import collect_seldom, leave_alone
from tiphys.client.endpoint import ComponentEndpoint, EndpointOptions, with_endpoint
from tiphys.cmd.component import Component
from tiphys.cmd.config_document import load
from tiphys.cmd.duration import DURATION
from tiphys.cmd.election_flags import election_flags, read_election
from tiphys.cmd.loop import run
from tiphys.cmd.reach import Reach
from tiphys.cmd.serving_flags import read_serving, serving_flags
from tiphys.scheduler import configz
from tiphys.scheduler.config import BadConfiguration, Configuration, read_configuration
from tiphys.scheduler.profile import installed_plugins
from tiphys.scheduler.queue import UNSCHEDULABLE_AT_MOST_S
from tiphys.scheduler.scheduler import Scheduler, SchedulerOptions


@click.command("scheduler", cls=Component, upstream="kube-scheduler", help="Place pods on nodes.")
@click.option("--kubeconfig", default="", help="How to reach the API server.")
@click.option("--master", default="", help="The API server's address, in place of the kubeconfig's.")
@click.option("--config", default="", help="A KubeSchedulerConfiguration: profiles, plugins, backoff.")
@click.option("--scheduler-name", default="default-scheduler", show_default=True, help="Whose pods to place.")
@click.option(
    "--pod-max-in-unschedulable-pods-duration",
    type=DURATION,
    default="5m",
    show_default=True,
    help="After so long a pod that found no place is tried again, whatever happened.",
)
@election_flags
@serving_flags(10259)
def scheduler(kubeconfig: str, master: str, config: str, scheduler_name: str, **flags: Any) -> None:
    document = load(config) if config else {}
    kubeconfig = kubeconfig or (document.get("clientConnection") or {}).get("kubeconfig") or ""
    endpoint = read_serving(flags)
    asking = flags.pop("authentication_kubeconfig")
    options = options_from(scheduler_name, document, flags)
    shown = {configz.GROUP: configz.configuration(options, document, kubeconfig)}
    endpoint = replace(endpoint, configuration=shown)
    collect_seldom()
    run(_run(Reach(kubeconfig, master, asking), options, endpoint))


def options_from(scheduler_name: str, document: dict[str, Any], flags: dict[str, Any]) -> SchedulerOptions:
    """Turn flags and the configuration's document ({} for none) into options.

    Raises click.UsageError for what the configuration asks in vain.
    """
    configuration: Configuration | None = None
    if document:
        try:
            names = [str(plugin.name) for plugin in installed_plugins()]
            configuration = read_configuration(document, names)
        except BadConfiguration as error:
            raise click.UsageError(str(error)) from error
    given = configuration.leader_election if configuration else None
    lead, election = read_election(flags, "kube-scheduler", given)
    return SchedulerOptions(
        scheduler_name=scheduler_name,
        configuration=configuration,
        unschedulable_at_most_s=flags.get("pod_max_in_unschedulable_pods_duration", UNSCHEDULABLE_AT_MOST_S),
        leader_elect=lead,
        election=election,
        synced=leave_alone,
    )


async def _run(reach: Reach, options: SchedulerOptions, endpoint: EndpointOptions) -> None:
    async with reach.clients("kube-scheduler") as (client, asking):
        made = Scheduler(client, options)
        shown = {"/metrics/resources": made.pod_resources}
        served = ComponentEndpoint(
            "kube-scheduler", asking, options=endpoint, checks=made.checks, shown=shown
        )
        await with_endpoint(served, made.run())
