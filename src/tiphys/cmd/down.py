"""``tiphys down``: stop a cluster and remove it."""

from __future__ import annotations

import click

from tiphys.ctl import preflight
from tiphys.ctl.down import down as take_down
from tiphys.ctl.layout import DEFAULT_NAME, CtlError
from tiphys.ctl.progress import Progress


@click.command(help="Stop a cluster and remove everything of it.")
@click.option("--name", default=DEFAULT_NAME, show_default=True, help="Which cluster.")
@click.option("--keep-data", is_flag=True, help="Stop only; a later 'up' finds its objects and images again.")
def down(name: str, keep_data: bool) -> None:
    try:
        preflight.check_root()
        take_down(name, Progress(), keep_data=keep_data)
    except CtlError as error:
        raise click.ClickException(str(error)) from error
