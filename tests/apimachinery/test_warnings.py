"""Warnings reach the one who collects them, and nobody else."""

from __future__ import annotations

from tiphys.apimachinery.warnings import collecting, warn


def test_warnings_are_collected_within() -> None:
    warn("nobody hears this")
    with collecting() as outer:
        warn("one")
        with collecting() as inner:
            warn("two")
        warn("three")
    warn("nor this")
    assert (outer, inner) == (["one", "three"], ["two"])
