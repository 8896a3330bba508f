"""``tiphys kubeconfig``: print a cluster's kubeconfig, or where it is."""

from __future__ import annotations

import click

from tiphys.ctl import state
from tiphys.ctl.layout import DEFAULT_NAME, CtlError


@click.command(help="Print a cluster's kubeconfig.")
@click.option("--name", default=DEFAULT_NAME, show_default=True, help="Which cluster.")
@click.option(
    "--path", is_flag=True, help="Print where it is instead: export KUBECONFIG=$(tiphys kubeconfig --path)"
)
def kubeconfig(name: str, path: bool) -> None:
    try:
        file = state.load_existing(name).kubeconfig
        click.echo(file if path else file.read_text(), nl=path)
    except CtlError as error:
        raise click.ClickException(str(error)) from error
    except OSError as error:
        raise click.ClickException(f"cannot read {error.filename}: {error.strerror}") from error
