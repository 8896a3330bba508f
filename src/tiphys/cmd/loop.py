"""The event loop of the components that only speak to the API server: uvloop, or asyncio's own without it.

Not for parts that lean on asyncio's child watchers or netlink sockets (kubelet, proxy): those keep asyncio's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any


def run(main: Coroutine[Any, Any, None]) -> None:
    """Run a component until it ends."""
    try:
        import uvloop
    except ImportError:
        asyncio.run(main)
    else:
        uvloop.run(main)
