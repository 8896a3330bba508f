"""``tiphys status``: clusters, nodes and processes."""

from __future__ import annotations

import asyncio
import json

import click

from tiphys.ctl import state
from tiphys.ctl.status import gather, node_states, render


@click.command(help="Show clusters, nodes and processes.")
@click.option("--name", default="", help="Only this cluster.")
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", show_default=True)
def status(name: str, output: str) -> None:
    clusters = [item for item in state.load_all() if name in ("", item.name)]
    if not clusters and name:
        raise click.ClickException(f"no cluster {name!r}")
    if output == "json":
        rows = [{**gather(item), "nodes": asyncio.run(node_states(item))} for item in clusters]
        click.echo(json.dumps(rows, indent=2))
        return
    if not clusters:
        click.echo("no clusters; 'tiphys up' makes one")
    for item in clusters:
        facts = gather(item)
        nodes = asyncio.run(node_states(item)) if facts["running"] else {}
        click.echo(render(facts, nodes), nl=False)
