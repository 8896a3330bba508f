"""Clients that take nothing of what is written to them, over either protocol."""

from __future__ import annotations

import asyncio


class Stalling:
    """The part of a connection that knows how long its client has taken nothing."""

    _transport: asyncio.Transport
    _paused_tick: float
    """When it last took something, or was given more than it took."""
    _unsent: int
    """So much waited for it at the last look."""

    def _sweep_stalled(self, now: float, stall_s: float) -> None:
        """Drop a client that takes nothing; a slow one that takes something may go on."""
        unsent = self._transport.get_write_buffer_size()
        if unsent != self._unsent:
            self._unsent, self._paused_tick = unsent, now
        elif now - self._paused_tick > stall_s:
            self._transport.abort()
