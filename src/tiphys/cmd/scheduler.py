"""``tiphys scheduler``: flags and a KubeSchedulerConfiguration into options, one Scheduler until stopped."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import yaml

from tiphys.client.endpoint import ComponentEndpoint, with_endpoint
from tiphys.client.rest import Client
from tiphys.cmd.collector import collect_seldom
from tiphys.cmd.election_flags import election_flags, read_election
from tiphys.cmd.loop import run
from tiphys.scheduler.config import BadConfiguration, Configuration, read_configuration
from tiphys.scheduler.profile import installed_plugins
from tiphys.scheduler.scheduler import Scheduler, SchedulerOptions


@click.command(help="Place pods on nodes.")
@click.option("--kubeconfig", default="", help="How to reach the API server.")
@click.option("--config", default="", help="A KubeSchedulerConfiguration: profiles, plugins, backoff.")
@click.option("--scheduler-name", default="default-scheduler", show_default=True, help="Whose pods to place.")
@election_flags
@click.option("--bind-address", default="127.0.0.1", show_default=True, help="Of health and metrics.")
@click.option("--secure-port", default=10259, show_default=True, help="Of health and metrics; 0: none.")
def scheduler(
    kubeconfig: str, config: str, scheduler_name: str, bind_address: str, secure_port: int, **flags: Any
) -> None:
    document = _load(config) if config else {}
    kubeconfig = kubeconfig or (document.get("clientConnection") or {}).get("kubeconfig") or ""
    if not kubeconfig:
        raise click.UsageError("Missing option '--kubeconfig'.")
    options = options_from(scheduler_name, document, flags)
    collect_seldom()
    run(_run(kubeconfig, options, bind_address, secure_port))


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
        scheduler_name=scheduler_name, configuration=configuration, leader_elect=lead, election=election
    )


def _load(path: str) -> dict[str, Any]:
    try:
        document = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise click.FileError(path, error.strerror or "") from error
    except yaml.YAMLError as error:
        raise click.FileError(path, f"no YAML: {error}") from error
    if not isinstance(document, dict):
        raise click.FileError(path, "no object")
    return document


async def _run(kubeconfig: str, options: SchedulerOptions, address: str, port: int) -> None:
    client = Client.from_kubeconfig(kubeconfig)
    endpoint = ComponentEndpoint("kube-scheduler", client)
    try:
        await with_endpoint(endpoint, address, port, Scheduler(client, options).run())
    finally:
        await client.close()
