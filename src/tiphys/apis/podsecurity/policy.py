"""Which level and version of the standards a namespace asks for, read off its labels.

Pure. Refuses: judging pods (``evaluate``). Called by the PodSecurity admission plugin.
Source: the "Pod Security Admission" page.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from tiphys.apimachinery.dataclass import dataclass
from tiphys.apimachinery.errors import FieldError
from tiphys.apimachinery.field_errors import invalid

LEVELS = ("privileged", "baseline", "restricted")
"""From the most open to the strictest."""
LATEST = 1_000_000
"""The minor version that ``latest`` counts as."""
MODES = ("enforce", "audit", "warn")
_PREFIX = "pod-security.kubernetes.io/"
_VERSION = re.compile(r"v1\.(0|[1-9][0-9]*)")


@dataclass(frozen=True, slots=True)
class Standard:
    """One level as it was in one version."""

    level: str = "privileged"
    minor: int = LATEST

    def __str__(self) -> str:
        version = "latest" if self.minor == LATEST else f"v1.{self.minor}"
        return f"{self.level}:{version}"

    @property
    def open(self) -> bool:
        """Everything is allowed."""
        return self.level == "privileged"

    @property
    def is_latest(self) -> bool:
        """It moves on with every version."""
        return self.minor == LATEST

    def stricter_than(self, other: Standard) -> bool:
        """Compare levels alone."""
        return LEVELS.index(self.level) > LEVELS.index(other.level)

    def equivalent(self, other: Standard) -> bool:
        """Tell whether both let in the same; open is open in any version."""
        return self == other or (self.open and other.open)


@dataclass(frozen=True, slots=True)
class Policy:
    """What one namespace refuses, notes and warns about."""

    enforce: Standard = Standard()
    audit: Standard = Standard()
    warn: Standard = Standard()

    @property
    def open(self) -> bool:
        """Nothing is refused, noted or warned about."""
        return self.enforce.open and self.audit.open and self.warn.open

    def equivalent(self, other: Policy) -> bool:
        """Tell whether both ask for the same."""
        return all(getattr(self, mode).equivalent(getattr(other, mode)) for mode in MODES)

    def said(self, labels: Mapping[str, str]) -> str:
        """Return what of it labels say, in one line, but for what is open."""
        standards = {mode: getattr(self, mode) for mode in MODES}
        return ", ".join(
            f"{mode}={standard}"
            for mode, standard in standards.items()
            if not standard.open and (_PREFIX + mode in labels or f"{_PREFIX}{mode}-version" in labels)
        )


_OPEN: Final = Policy()


def policy_of(labels: Mapping[str, str] | None, defaults: Policy = _OPEN) -> tuple[Policy, list[FieldError]]:
    """Return a namespace's policy and the faults of its labels; ``defaults`` where they say nothing.

    A policy is always returned: a wrong level enforces ``restricted``, but is silent for audit and warn; a
    wrong version counts as ``latest``. What is enforced is warned about as well, where labels say nothing of
    warnings: that tells of templates whose pods would be refused.
    """
    if not labels or not any(key.startswith(_PREFIX) for key in labels):
        return defaults, []
    found = {"enforce": defaults.enforce, "audit": defaults.audit, "warn": defaults.warn}
    faults: list[FieldError] = []
    for mode in found:
        level = labels.get(_PREFIX + mode)
        if level is not None:
            fallback = "restricted" if mode == "enforce" else "privileged"
            known = level in LEVELS
            found[mode] = replace(found[mode], level=level if known else fallback)
            if not known:
                faults.append(_fault(mode, level, f"must be one of {', '.join(LEVELS)}"))
        version = labels.get(f"{_PREFIX}{mode}-version")
        if version is not None:
            minor = minor_of(version)
            found[mode] = replace(found[mode], minor=LATEST if minor is None else minor)
            if minor is None:
                faults.append(_fault(f"{mode}-version", version, 'must be "latest" or "v1.x"'))
    enforce, warn = found["enforce"], found["warn"]
    if labels.get(_PREFIX + "enforce") in LEVELS and _PREFIX + "warn" not in labels:
        minor = warn.minor if _PREFIX + "warn-version" in labels else enforce.minor
        if enforce.stricter_than(warn):
            warn = Standard(enforce.level, minor)
    return Policy(enforce, found["audit"], warn), faults


def minor_of(version: str) -> int | None:
    """Read ``latest`` or ``v1.x``; None where it is neither."""
    if version == "latest":
        return LATEST
    match = _VERSION.fullmatch(version)
    return int(match[1]) if match else None


def _fault(label: str, value: str, text: str) -> FieldError:
    return invalid(f"metadata.labels[{_PREFIX}{label}]", value, text)
