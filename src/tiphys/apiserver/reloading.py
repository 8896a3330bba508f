"""Configuration files that may change while the server runs: each is looked at again from time to time.

Owns: the rhythm. What a change means, and that a faulty file changes nothing, is each file's own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

Reload = Callable[[], object]
"""Looks whether a file has changed and takes it over; raises nothing."""
_EVERY_S: Final = 10.0


async def reload_forever(reloads: Sequence[Reload], every_s: float = _EVERY_S) -> None:
    """Call each of them again and again, until cancelled; return at once when there is none."""
    while reloads:
        await asyncio.sleep(every_s)
        for reload in reloads:
            reload()
