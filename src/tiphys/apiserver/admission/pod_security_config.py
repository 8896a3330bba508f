"""Reads a ``PodSecurityConfiguration``: the policy of namespaces without labels, and who is exempt. Pure.

Source: the "Enforce Pod Security Standards by Configuring the Built-in Admission Controller" page.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import field
from typing import Any, Final

from tiphys.apimachinery import names
from tiphys.apimachinery.dataclass import dataclass
from tiphys.apimachinery.errors import FieldError
from tiphys.apimachinery.field_errors import duplicate, invalid, required
from tiphys.apimachinery.meta import Object
from tiphys.apis.defaulting import peek
from tiphys.apis.podsecurity.policy import LATEST, LEVELS, Policy, Standard, minor_of
from tiphys.apiserver.admission.configuration import of_kind
from tiphys.apiserver.config_files import BadConfiguration, joined

_VERSIONS: Final = tuple(
    f"pod-security.admission.config.k8s.io/{version}" for version in ("v1", "v1beta1", "v1alpha1")
)
_MODES: Final = ("enforce", "warn", "audit")
_CHECKS: Final[tuple[tuple[str, Callable[[str], list[str]] | None], ...]] = (
    ("namespaces", names.is_dns1123_label),
    ("runtimeClasses", names.is_dns1123_subdomain),
    ("usernames", None),
)


@dataclass(frozen=True, slots=True)
class PodSecuritySettings:
    """What the plugin is told."""

    defaults: Policy = field(default_factory=Policy)
    namespaces: frozenset[str] = frozenset()
    runtime_classes: frozenset[str] = frozenset()
    usernames: frozenset[str] = frozenset()


def read_settings(document: Object | None) -> PodSecuritySettings:
    """Raises BadConfiguration with every fault."""
    said = of_kind(document, "PodSecurityConfiguration", *_VERSIONS)
    defaults, exempt = peek(said, "defaults"), peek(said, "exemptions")
    faults: list[FieldError] = []
    standards = {mode: _standard(mode, defaults, faults) for mode in _MODES}
    for name, check in _CHECKS:
        faults += _faults(f"exemptions.{name}", exempt.get(name) or (), check)
    if faults:
        raise BadConfiguration(joined(faults))
    return PodSecuritySettings(
        Policy(**standards),
        *(frozenset(exempt.get(name) or ()) for name, _ in _CHECKS),
    )


def _standard(mode: str, defaults: Object, faults: list[FieldError]) -> Standard:
    level = defaults.get(mode) or "privileged"
    version = defaults.get(f"{mode}-version") or "latest"
    if level not in LEVELS:
        faults.append(invalid(f"defaults.{mode}", level, f"must be one of {', '.join(LEVELS)}"))
    minor = minor_of(str(version))
    if minor is None:
        faults.append(invalid(f"defaults.{mode}-version", version, 'must be "latest" or "v1.x"'))
    return Standard(str(level), LATEST if minor is None else minor)


def _faults(path: str, values: Any, check: Callable[[str], list[str]] | None) -> list[FieldError]:
    faults, seen = [], set[str]()
    for number, value in enumerate(values):
        at, text = f"{path}[{number}]", str(value)
        wrong = check(text) if check is not None else []
        if wrong:
            faults.append(invalid(at, value, ", ".join(wrong)))
        elif not text:
            faults.append(required(at))
        elif text in seen:
            faults.append(duplicate(at, value))
        seen.add(text)
    return faults
