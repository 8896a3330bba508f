"""The API server's switches of single behaviours, as upstream has them; most clusters leave them alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import click

from tiphys.apiserver.options import KUBELET_PORT

_F = TypeVar("_F", bound=Callable[..., Any])
_LOGS = Path("/var/log")
_OPTIONS = (
    click.option(
        "--enable-garbage-collector",
        type=bool,
        default=True,
        show_default=True,
        help="heed propagation policies: somebody waits for dependents; as the controller manager has it",
    ),
    click.option(
        "--aggregator-reject-forwarding-redirect",
        type=bool,
        default=True,
        show_default=True,
        help="answer 502 where an aggregated server leads clients elsewhere",
    ),
    click.option(
        "--enable-aggregator-routing",
        type=bool,
        default=False,
        show_default=True,
        help="call aggregated servers by the addresses of their endpoints, not of their Services",
    ),
    click.option(
        "--enable-logs-handler",
        type=bool,
        default=True,
        show_default=True,
        help="show files of /var/log below /logs/",
    ),
    click.option(
        "--kubelet-port",
        type=int,
        default=KUBELET_PORT,
        show_default=True,
        help="of kubelets whose nodes do not tell",
    ),
)


def switch_flags(command: _F) -> _F:
    """Give a command these flags."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def switch_options(flags: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options that the flags mean."""
    return {
        "collects_garbage": flags["enable_garbage_collector"],
        "rejects_redirects": flags["aggregator_reject_forwarding_redirect"],
        "routes_to_endpoints": flags["enable_aggregator_routing"],
        "kubelet_port": flags["kubelet_port"],
        "logs_dir": _LOGS if flags["enable_logs_handler"] else None,
    }
