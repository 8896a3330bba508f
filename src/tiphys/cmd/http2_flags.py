"""Flags of whoever serves securely: HTTP/2, how often clients are sent elsewhere, shared ports."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

import click

from tiphys.cmd.election_flags import go_bool
from tiphys.wire.server import MAX_STREAMS, ServerLimits

_MOST_GOAWAY_CHANCE: Final = 0.02


def http2_flags(command: Callable[..., None]) -> Callable[..., None]:
    """Add the flags that every component has which serves securely."""
    for flag in (
        go_bool("--disable-http2-serving", default=False, help="Offer HTTP/1.1 alone."),
        click.option(
            "--http2-max-streams-per-connection",
            type=int,
            default=0,
            help=f"0: {MAX_STREAMS}, as upstream's.",
        ),
        go_bool("--permit-port-sharing", default=False, help="Let others listen on the same port."),
    ):
        command = flag(command)
    return command


def goaway_flag(command: Callable[..., None]) -> Callable[..., None]:
    """Add what the API server alone has."""
    return click.option(
        "--goaway-chance",
        type=float,
        default=0.0,
        show_default=True,
        help="how many of the requests over HTTP/2 are the last of their connection, 0.02 at most",
    )(command)


def goaway_faults(flags: Mapping[str, Any]) -> Iterator[str]:
    """Say what is wrong with the flag, in upstream's words."""
    if not 0 <= flags["goaway_chance"] <= _MOST_GOAWAY_CHANCE:
        yield f"--goaway-chance can not be less than 0 or greater than {_MOST_GOAWAY_CHANCE}"


def read_limits(flags: dict[str, Any]) -> ServerLimits:
    """Return what the flags mean, and take them away."""
    streams = flags.pop("http2_max_streams_per_connection")
    return ServerLimits(
        max_streams=streams if streams > 0 else MAX_STREAMS,
        goaway_chance=flags.pop("goaway_chance", 0.0),
        shares_port=flags.pop("permit_port_sharing"),
    )
