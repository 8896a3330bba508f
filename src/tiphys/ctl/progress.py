"""Tells the person at the terminal what is being done and how long it took.

On a terminal the line shows what is waited for until it is done; otherwise every step is one plain line.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from typing import TextIO

from tiphys.apimachinery.clock import Clock, RealClock


class Progress:
    """Steps, one after another."""

    def __init__(self, out: TextIO | None = None, clock: Clock | None = None) -> None:
        self._out = out or sys.stdout
        self._clock = clock or RealClock()
        self._began = self._clock.monotonic()

    @property
    def elapsed_s(self) -> float:
        return self._clock.monotonic() - self._began

    def say(self, text: str) -> None:
        """Write one line."""
        print(text, file=self._out, flush=True)

    @contextlib.contextmanager
    def step(self, what: str) -> Iterator[None]:
        """Show ``what`` while it lasts, then how long it took and whether it worked."""
        began = self._clock.monotonic()
        if self._out.isatty():
            print(f"  … {what}", end="\r", file=self._out, flush=True)
        mark = "✗"
        try:
            yield
            mark = "✓"
        finally:
            took = self._clock.monotonic() - began
            clear = "\x1b[K" if self._out.isatty() else ""
            print(f"{clear}  {mark} {what} ({took:.1f} s)", file=self._out, flush=True)
