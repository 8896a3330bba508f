"""``tiphys status``: clusters, nodes and processes."""

from __future__ import annotations

import asyncio
import json

import click

from tiphys.ctl import state
from tiphys.ctl.layout import Cluster, CtlError
from tiphys.ctl.status import gather, node_states, render


@click.command(help="Show clusters, nodes and processes.")
@click.option("--name", default="", help="Only this cluster.")
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", show_default=True)
def status(name: str, output: str) -> None:
    try:
        clusters, faults = _find(name)
    except CtlError as error:
        raise click.ClickException(str(error)) from error
    if output == "json":
        rows = [{**gather(item), "nodes": asyncio.run(node_states(item))} for item in clusters]
        click.echo(json.dumps(rows, indent=2))
        return
    if not clusters and not faults:
        click.echo("no clusters; 'tiphys up' makes one")
    for item in clusters:
        facts = gather(item)
        nodes = asyncio.run(node_states(item)) if facts["running"] else {}
        click.echo(render(facts, nodes), nl=False)
    for fault in faults:
        click.echo(f"Error: {fault}", err=True)
    if faults:
        raise SystemExit(1)


def _find(name: str) -> tuple[list[Cluster], list[CtlError]]:
    """The clusters to show, and what is wrong with others. Raises CtlError."""
    return ([state.load_existing(name)], []) if name else state.load_all()
