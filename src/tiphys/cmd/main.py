"""``tiphys``: one command for everything. Wiring only.

Subcommands are imported by name when asked for: ``tiphys status`` does not pay for the API server.
"""

from __future__ import annotations

import importlib
import logging
import sys
from collections.abc import Sequence

import click

from tiphys.apimachinery.collector import unseen
from tiphys.apimachinery.release import RELEASE

COMPONENTS = {
    "apiserver": "Serve the Kubernetes API.",
    "controller-manager": "Run the controllers.",
    "scheduler": "Place pods on nodes.",
    "kubelet": "Run a node's pods.",
    "proxy": "Program a node's service rules.",
    "dns": "Answer a cluster's DNS.",
}
COMMANDS = {
    "up": "Start a cluster on this machine, or bring it back.",
    "down": "Stop a cluster and remove it.",
    "status": "Show clusters, nodes and processes.",
    "why": "Say why an object is not as it should be.",
    "kubeconfig": "Print a cluster's kubeconfig.",
    "images": "Work with the images of a cluster's nodes.",
    "snapshot": "Save a cluster's objects to a file and put them back.",
    **COMPONENTS,
}


def load(name: str) -> click.Command:
    """Return a subcommand, importing its module. Raises ImportError."""
    attribute = name.replace("-", "_")
    with unseen():
        module = importlib.import_module(f"tiphys.cmd.{attribute}")
    command = getattr(module, attribute)
    if not isinstance(command, click.Command):
        raise ImportError(f"tiphys.cmd.{attribute} has no command of that name")
    return command


class _Lazy(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        return load(cmd_name) if cmd_name in COMMANDS else None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List without importing anything."""
        cluster = [item for item in COMMANDS.items() if item[0] not in COMPONENTS]
        with formatter.section("Clusters on this machine"):
            formatter.write_dl(cluster)
        with formatter.section("Components, with upstream's flags ('up' runs them all)"):
            formatter.write_dl(list(COMPONENTS.items()))


def configure_logging(level: int = logging.INFO, *, component: bool = True) -> None:
    """Log to standard error, one line each: those of components in upstream's form."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname).1s %(name)s: %(message)s"))
    if component:
        from tiphys.cmd.klog import KlogLines  # whoever asks for help logs nothing

        handler.setFormatter(KlogLines())
    logging.basicConfig(level=level, handlers=[handler], force=True)


def run_component(name: str, flags: Sequence[str]) -> int:
    """Be a component in this process until it ends; return its exit code."""
    configure_logging()
    try:
        load(name).main(args=list(flags), prog_name=f"tiphys {name}", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (KeyboardInterrupt, click.Abort):
        return 130
    return 0


@click.group(cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(RELEASE, prog_name="tiphys", message="%(prog)s %(version)s")
@click.option("-v", "--verbosity", type=int, default=0, help="More log lines: 2 and above is debug.")
@click.pass_context
def cli(ctx: click.Context, verbosity: int) -> None:
    """Kubernetes, whole, in Python."""
    configured = ctx.invoked_subcommand in COMPONENTS
    usual = logging.INFO if configured else logging.WARNING
    configure_logging(logging.DEBUG if verbosity >= 2 else usual, component=configured)


def main() -> None:
    """Entry point of the ``tiphys`` command."""
    cli(prog_name="tiphys")


if __name__ == "__main__":
    main()
