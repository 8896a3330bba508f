"""TCP asks a silent peer whether it is still there: who lost power or was cut off ends no connection.

Without this a watch of a server that is gone waits for its own end, minutes later, and whoever looks at it
acts on what was.

Source: tcp(7). Clients find out as fast as client-go does by pings of HTTP/2 (30 s of silence, then 15 s),
servers ask as often as upstream's (3 minutes).
"""

from __future__ import annotations

import socket
from typing import Final, Protocol

from tiphys.apimachinery.dataclass import dataclass


@dataclass(frozen=True, slots=True)
class KeepAlive:
    """Seconds of silence before the first probe, seconds between probes, and how many may go unanswered."""

    silence_s: int
    every_s: int
    probes: int
    unacknowledged_s: int = 0
    """So long may what was sent wait for the peer to take it; 0: as long as the machine's TCP has it."""


OF_CLIENTS: Final = KeepAlive(30, 5, 3, 45)
OF_STREAMS: Final = KeepAlive(30, 5, 3)
"""Of connections whose far end may take its time to read (``exec`` into a busy program)."""
OF_SERVERS: Final = KeepAlive(180, 15, 9)


class Socket(Protocol):
    """What event loops give of their sockets has this much."""

    @property
    def family(self) -> int: ...

    def setsockopt(self, level: int, name: int, value: int, /) -> object: ...


def keep_alive(sock: Socket | None, how: KeepAlive) -> None:
    """Set it for a connection, or for all that a listening socket will accept; only TCP has it."""
    if sock is None or sock.family not in (socket.AF_INET, socket.AF_INET6):
        return
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in (
        (socket.TCP_KEEPIDLE, how.silence_s),
        (socket.TCP_KEEPINTVL, how.every_s),
        (socket.TCP_KEEPCNT, how.probes),
        (socket.TCP_USER_TIMEOUT, how.unacknowledged_s * 1000),
    ):
        sock.setsockopt(socket.IPPROTO_TCP, name, value)
