"""Which version of Kubernetes a component is, which one it behaves as, which it is compatible with. Pure.

Owns: ``--emulated-version`` and ``--min-compatibility-version``, their bounds, upstream's words. What differs
between versions is ``featuregates``' and ``apis.introduced``'s to say.
Source: KEP-4330, compatibility versions.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from tiphys.apimachinery.dataclass import dataclass

Version = tuple[int, int]
BINARY: Final[Version] = (1, 36)
FLOOR: Final[Version] = (1, 33)
"""Three versions back is as far as a component remembers."""
_COMPONENT: Final = "kube"
_FORM: Final = re.compile(r"\s*v?([0-9]+(?:\.[0-9]+)*)(.*)")


class VersionError(ValueError):
    """A version that cannot be asked for. Its text is upstream's."""


@dataclass(frozen=True, slots=True)
class Effective:
    """The versions of one component."""

    emulated: Version = BINARY
    compatible: Version = (BINARY[0], BINARY[1] - 1)


DEFAULT: Final = Effective()


def shown(version: Version) -> str:
    """Return ``1.36``."""
    return f"{version[0]}.{version[1]}"


def effective(emulated: Iterable[str], compatible: Iterable[str]) -> Effective:
    """Return what the values of both flags mean. Raises VersionError."""
    asked, least = _asked(emulated), _asked(compatible)
    own = asked or BINARY
    found = Effective(own, least or max((own[0], own[1] - 1), FLOOR))
    faults = [*_outside("emulation version", found.emulated, f"{shown(BINARY)}.0", BINARY),
              *_outside("minCompatibilityVersion version", found.compatible, shown(own), own)]  # fmt: skip
    if faults:
        raise VersionError(faults[0] if len(faults) == 1 else f"[{', '.join(faults)}]")
    return found


def _outside(what: str, version: Version, top: str, most: Version) -> list[str]:
    if FLOOR <= version <= most:
        return []
    return [f"{what} {shown(version)} is not between [{shown(FLOOR)}, {top}]"]


def _asked(values: Iterable[str]) -> Version | None:
    """Return the version that is asked for, None without. Raises VersionError."""
    found: Version | None = None
    for value in values:
        component, equals, text = (part.strip() for part in value.partition("="))
        name = component if equals else _COMPONENT
        version = _parse(text if equals else component, name)
        if name != _COMPONENT:
            raise VersionError(f"component not registered: {name}")
        if found is not None:
            pair = f"{name}={shown(found)} and {name}={shown(version)}"
            raise VersionError(f"duplicate version flag, {pair}")
        found = version
    return found


def _parse(text: str, component: str) -> Version:
    form = _FORM.fullmatch(text)
    if form is None:
        raise VersionError(f'could not parse "{text}" as version')
    parts = [int(part) for part in form.group(1).split(".")]
    if len(parts) < len(BINARY):
        raise VersionError(f'illegal version string "{text}"')
    if any(parts[2:]):
        number = ".".join(map(str, parts))
        raise VersionError(f"patch version not allowed, got: {component}={number}")
    return parts[0], parts[1]
