"""``tiphys kubeconfig``: print a cluster's kubeconfig, or where it is."""

from __future__ import annotations

import click

from tiphys.ctl import state
from tiphys.ctl.layout import DEFAULT_NAME


@click.command(help="Print a cluster's kubeconfig.")
@click.option("--name", default=DEFAULT_NAME, show_default=True, help="Which cluster.")
@click.option(
    "--path", is_flag=True, help="Print where it is instead: export KUBECONFIG=$(tiphys kubeconfig --path)"
)
def kubeconfig(name: str, path: bool) -> None:
    cluster = state.load(name)
    if cluster is None or not cluster.kubeconfig.exists():
        raise click.ClickException(f"no cluster {name!r}; 'tiphys up' makes one")
    click.echo(cluster.kubeconfig if path else cluster.kubeconfig.read_text(), nl=path)
