"""Flags that keep audit events small: ``--audit-log-truncate-*`` and ``--audit-webhook-truncate-*``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import click

from tiphys.apiserver.audit.truncate import TruncateOptions
from tiphys.cmd.component import FlagError
from tiphys.cmd.election_flags import go_bool

_KINDS: Final = ("log", "webhook")


def truncation_flags(command: Callable[..., None]) -> Callable[..., None]:
    """Add the flags of both sinks."""
    usual = TruncateOptions()
    for kind in _KINDS:
        for flag in (
            go_bool(f"--audit-{kind}-truncate-enabled", default=False, help="Cut events that are too large."),
            click.option(
                f"--audit-{kind}-truncate-max-event-size", default=usual.max_event_bytes, show_default=True
            ),
            click.option(
                f"--audit-{kind}-truncate-max-batch-size", default=usual.max_batch_bytes, show_default=True
            ),
        ):
            command = flag(command)
    return command


def truncation_from(flags: dict[str, Any], kind: str) -> TruncateOptions | None:
    """Return what the flags of one sink mean, None where nothing is cut. Raises FlagError."""
    if not flags[f"audit_{kind}_truncate_enabled"]:
        return None
    event, batch = (flags[f"audit_{kind}_truncate_max_{part}_size"] for part in ("event", "batch"))
    if event < 0 or batch < event:
        raise FlagError(
            f"invalid audit {kind} truncate max event size {event}, must be a positive number"
            if event < 0
            else f"audit {kind} truncate max event size ({event}) must be less than max batch size ({batch})"
        )
    return TruncateOptions(event, batch)
