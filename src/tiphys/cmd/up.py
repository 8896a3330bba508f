"""``tiphys up``: start a cluster on this machine, or bring it back."""

from __future__ import annotations

import contextlib
import importlib
import os
from collections.abc import Sequence

import click

from tiphys.cmd.component import Component
from tiphys.cmd.main import load, run_component
from tiphys.ctl.extra_config import by_component, spread
from tiphys.ctl.layout import DEFAULT_NAME, CtlError
from tiphys.ctl.progress import Progress
from tiphys.ctl.up import Hooks, UpOptions
from tiphys.ctl.up import up as bring_up

_OFF = ("off", "0", "no", "false")


@click.command(help="Start a cluster on this machine, or bring it back.")
@click.option("--name", default=DEFAULT_NAME, show_default=True, help="Which cluster.")
@click.option(
    "--nodes", type=click.IntRange(1), default=None, help="How many nodes a new cluster has.  [default: 1]"
)
@click.option(
    "--store",
    type=click.Choice(["sqlite", "etcd"]),
    default=None,
    help="Where objects are kept.  [default: sqlite]",
)
@click.option(
    "--outbound/--no-outbound",
    default=None,
    help="Whether nodes and pods reach the outside.  [default: outbound]",
)
@click.option(
    "--wait/--no-wait", default=True, show_default=True, help="Return once nodes are Ready and DNS answers."
)
@click.option(
    "--no-install", is_flag=True, help="Refuse, rather than install, when system packages are missing."
)
@click.option("--feature-gates", default="", help="Name=true or Name=false, by commas, for every component.")
@click.option(
    "--runtime-config", default="", help="API versions to serve besides: api/all=true, group/version=true."
)
@click.option(
    "--extra-config",
    multiple=True,
    help="A flag for a component, apiserver.audit-log-path=/tmp/audit say; several times for several.",
)
def up(
    name: str,
    nodes: int | None,
    store: str | None,
    outbound: bool | None,
    wait: bool,
    no_install: bool,
    feature_gates: str,
    runtime_config: str,
    extra_config: tuple[str, ...],
) -> None:
    if outbound is None and os.environ.get("TIPHYS_OUTBOUND", "").lower() in _OFF:
        outbound = False
    no_install = no_install or os.environ.get("TIPHYS_NO_INSTALL", "") == "1"
    progress = Progress()
    try:
        extra = spread(extra_config, feature_gates, runtime_config)
        _check_flags(extra)
        options = UpOptions(name, nodes, store, outbound, wait=wait, install=not no_install, extra=extra)
        cluster = bring_up(options, Hooks(run_component, preload), progress)
    except CtlError as error:
        raise click.ClickException(str(error)) from error
    progress.say(f"  export KUBECONFIG={cluster.kubeconfig}")
    progress.say("  kubectl get nodes")


def _check_flags(extra: Sequence[str]) -> None:
    """Refuse flags that their component does not have, before anything is made. Raises CtlError."""
    for component, flags in by_component(extra).items():
        command = load(component)
        assert isinstance(command, Component)
        try:
            command.check(flags)
        except click.UsageError as error:
            raise CtlError(f"{component}: {error.format_message()}") from error


def preload(commands: Sequence[str]) -> None:
    """Import what the components need, once for all; one that cannot be imported fails in its own process."""
    for command in dict.fromkeys(commands):
        with contextlib.suppress(ImportError):
            load(command)
            more = getattr(
                importlib.import_module(f"tiphys.cmd.{command.replace('-', '_')}"), "preload", None
            )
            if more is not None:
                more()
    with contextlib.suppress(ImportError):
        importlib.import_module("uvloop")
