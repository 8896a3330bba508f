"""The loop around every reconcile: take a key, run, requeue by outcome.

One of the two places with a broad ``except``: a failing key is retried with backoff and never takes the
component down. Conflicts, and objects gone meanwhile, are routine and are retried without noise.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from tiphys.apimachinery.errors import Conflict, NotFound, ServiceUnavailable, StatusError, TerminalError
from tiphys.client.transport import TransportError
from tiphys.client.workqueue import QueueClosed, WorkQueue

log = logging.getLogger(__name__)

Reconcile = Callable[[str], Awaitable[float | None]]
"""Make reality match the object behind a key; return seconds until it must be looked at again, or None."""


async def run_controller(queue: WorkQueue, reconcile: Reconcile, *, workers: int = 5, name: str = "") -> None:
    """Work on the queue until cancelled. Different keys run concurrently, one key never does."""
    async with asyncio.TaskGroup() as group:
        for _ in range(workers):
            group.create_task(_work(queue, reconcile, name or queue.name))


async def _work(queue: WorkQueue, reconcile: Reconcile, name: str) -> None:
    while True:
        try:
            key = await queue.get()
        except QueueClosed:
            return
        try:
            await process(queue, reconcile, key, name)
        finally:
            queue.done(key)


async def process(queue: WorkQueue, reconcile: Reconcile, key: str, name: str = "") -> None:
    """Reconcile one key and requeue it by outcome; ``done`` stays with the caller."""
    try:
        again_s = await reconcile(key)
    except TerminalError as error:
        queue.forget(key)
        log.error("reconcile gave up controller=%s key=%s error=%s", name, key, error)
    except (Conflict, NotFound) as error:
        # The cache was behind: somebody changed or deleted what was to be written. It will catch up.
        queue.add_overtaken(key)
        log.debug("reconcile overtaken controller=%s key=%s error=%s", name, key, error)
    except (TransportError, ServiceUnavailable) as error:
        queue.add_rate_limited(key)
        log.warning("api server unreachable controller=%s key=%s error=%s", name, key, error)
    except StatusError as error:
        # The server's own words say it all; where in our code they were heard does not matter.
        queue.add_rate_limited(key)
        log.warning(
            "reconcile refused controller=%s key=%s reason=%s error=%s", name, key, error.reason, error
        )
    except Exception:
        queue.add_rate_limited(key)
        log.exception("reconcile failed controller=%s key=%s", name, key)
    else:
        queue.forget(key)
        if again_s is not None:
            queue.add_after(key, again_s)
