"""``--enable-admission-plugins`` and ``--disable-admission-plugins``: which plugins are on."""

from __future__ import annotations

from typing import Final

import click

from tiphys.apiserver.admission.chain import NAMES, RULES

_KNOWN: Final = frozenset(NAMES) - RULES


def switched(enable: str, disable: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the plugins to turn on and those to turn off. Raises click.BadParameter for unknown names."""
    on, off = _names(enable), _names(disable)
    for flag, names in (("enable", on), ("disable", off)):
        for name in names:
            if name not in _KNOWN:
                raise click.BadParameter(
                    f'{flag}-admission-plugins plugin "{name}" is unknown',
                    param_hint=f"--{flag}-admission-plugins",
                )
    both = sorted(set(on) & set(off))
    if both:
        raise click.BadParameter(
            f"[{' '.join(both)}] in enable-admission-plugins and disable-admission-plugins overlapped",
            param_hint="--enable-admission-plugins",
        )
    return on, off


def _names(text: str) -> tuple[str, ...]:
    return tuple(name for name in text.split(",") if name)
