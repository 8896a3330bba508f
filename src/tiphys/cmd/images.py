"""``tiphys images``: the images of a cluster's nodes."""

from __future__ import annotations

from pathlib import Path

import click

from tiphys.ctl import state
from tiphys.ctl.images import import_archive
from tiphys.ctl.layout import DEFAULT_NAME, CtlError


@click.group(help="Work with the images of a cluster's nodes.")
def images() -> None:
    pass


@images.command("import", help="Import an image archive (docker save, OCI layout) into every node.")
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--name", default=DEFAULT_NAME, show_default=True, help="Which cluster.")
def import_(files: tuple[Path, ...], name: str) -> None:
    try:
        cluster = state.load_existing(name)
        for file in files:
            for image in import_archive(cluster, file):
                click.echo(image)
    except CtlError as error:
        raise click.ClickException(str(error)) from error
