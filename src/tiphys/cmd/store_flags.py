"""For how long the API server waits for its store: at the start, and where its health is asked."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import click

from tiphys.apiserver.options import STORE_CHECK_S
from tiphys.cmd.duration import SIGNED_DURATION

_F = TypeVar("_F", bound=Callable[..., Any])
_OPTIONS = (
    click.option(
        "--storage-initialization-timeout",
        type=SIGNED_DURATION,
        default="1m",
        show_default=True,
        help="a start whose indexes a slow store has not filled after so long fails",
    ),
    click.option(
        "--etcd-healthcheck-timeout",
        type=SIGNED_DURATION,
        default="2s",
        show_default=True,
        help="a store that takes longer to answer is at fault for the check etcd",
    ),
    click.option(
        "--etcd-readycheck-timeout",
        type=SIGNED_DURATION,
        default="2s",
        show_default=True,
        help="the same for etcd-readiness",
    ),
)


def store_flags(command: _F) -> _F:
    """Give a command these flags."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def store_options(flags: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options that the flags mean; a check without time has the usual one."""
    return {
        "storage_initialization_s": flags["storage_initialization_timeout"],
        "store_check_s": flags["etcd_healthcheck_timeout"] or STORE_CHECK_S,
        "store_ready_check_s": flags["etcd_readycheck_timeout"] or STORE_CHECK_S,
    }
