"""Configuration files that may change while the server runs: each is looked at again from time to time.

Owns: the rhythm, and what is counted of it under upstream's metric names. What a change means, and that a
faulty file changes nothing, is each file's own.
"""

from __future__ import annotations

import asyncio
import hashlib
import inspect
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from tiphys.apimachinery.clock import Clock
from tiphys.apimachinery.families import CounterMetricFamily, GaugeMetricFamily, Metric
from tiphys.apiserver.controlplane.identity import own_hash

Reload = Callable[[], object]
"""Looks whether a file has changed and takes it over, at once or awaited; raises nothing."""
_EVERY_S: Final = 10.0


async def reload_forever(reloads: Sequence[Reload], every_s: float = _EVERY_S) -> None:
    """Call each of them again and again, until cancelled; return at once when there is none."""
    while reloads:
        await asyncio.sleep(every_s)
        await reload_all(reloads)


async def reload_all(reloads: Sequence[Reload]) -> None:
    """Call each of them once."""
    for reload in reloads:
        outcome = reload()
        if inspect.isawaitable(outcome):
            await outcome


class Reloads:
    """What is counted of one file: ``what`` is ``authentication``, ``authorization`` or ``encryption``."""

    def __init__(self, what: str, clock: Clock) -> None:
        self._what = what
        self._clock = clock
        self._counts = {"success": 0, "failure": 0}
        self._last_s: dict[str, float] = {}
        self._hash = ""

    def began(self, text: str | bytes) -> None:
        """Note with which file the server began."""
        self._hash = _sha256(text.encode() if isinstance(text, str) else text)

    def succeeded(self, text: str | bytes) -> None:
        """Note that a changed file holds now."""
        self.began(text)
        self._note("success")

    def failed(self) -> None:
        """Note that a changed file could not be taken over."""
        self._note("failure")

    def _note(self, status: str) -> None:
        self._counts[status] += 1
        self._last_s[status] = self._clock.now().timestamp()

    def collect(self) -> Iterator[Metric]:
        """Yield the families as they stand."""
        what, server = self._what, own_hash()
        name = f"apiserver_{what}_config_controller"
        labels = ["apiserver_id_hash", "status"]
        reloads = CounterMetricFamily(
            f"{name}_automatic_reloads",
            f"[BETA] Total number of automatic reloads of {what} configuration split by status and apiserver "
            "identity.",
            labels=labels,
        )
        last = GaugeMetricFamily(
            f"{name}_automatic_reload_last_timestamp_seconds",
            f"[BETA] Timestamp of the last automatic reload of {what} configuration split by status and "
            "apiserver identity.",
            labels=labels,
        )
        info = GaugeMetricFamily(
            f"{name}_last_config_info",
            f"[ALPHA] Information about the last applied {what} configuration with hash as label, split by "
            "apiserver identity.",
            labels=["apiserver_id_hash", "hash"],
        )
        for status, count in self._counts.items():
            if count:
                reloads.add_metric([server, status], count)
                last.add_metric([server, status], self._last_s[status])
        if self._hash:
            info.add_metric([server, self._hash], 1)
        yield from (reloads, last, info)


def _sha256(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"
