"""Flags that whoever makes a cluster adds to its components: ``apiserver.runtime-config=api/all=true``. Pure.

Owns: their form, and which components may have some. Refuses: knowing them: each component has its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from tiphys.ctl.layout import CtlError

CONFIGURABLE: Final = ("apiserver", "controller-manager", "scheduler", "kubelet", "proxy")
"""Not etcd and containerd, which are not ours, nor dns, which upstream does not have."""

_INSTEAD: Final = {
    "--authorization-config": ("--authorization-mode",),
    "--service-account-signing-endpoint": (
        "--service-account-signing-key-file",
        "--service-account-key-file",
    ),
    "--rotate-server-certificates": ("--tls-cert-file", "--tls-private-key-file"),
}
"""Flags that a component heeds only without others which ``up`` gives it."""


def spread(extra: Iterable[str], feature_gates: str = "", runtime_config: str = "") -> tuple[str, ...]:
    """Return what the options of ``up`` say, each as ``component.flag=value``. Raises CtlError."""
    found = [f"{component}.feature-gates={feature_gates}" for component in CONFIGURABLE if feature_gates]
    if runtime_config:
        found.append(f"apiserver.runtime-config={runtime_config}")
    found += extra
    by_component(found)
    return tuple(found)


def by_component(extra: Iterable[str]) -> Mapping[str, tuple[str, ...]]:
    """Return the flags of each component that has some, in their order. Raises CtlError."""
    flags: dict[str, tuple[str, ...]] = {}
    for text in extra:
        component, dot, flag = text.partition(".")
        name, equals, value = flag.partition("=")
        if not (dot and name and equals):
            raise CtlError(
                f"{text!r} adds no flag: write component.flag=value, scheduler.kube-api-qps=100 say"
            )
        if component not in CONFIGURABLE:
            raise CtlError(
                f"{text!r}: no component {component!r} takes flags, only {', '.join(CONFIGURABLE)}"
            )
        flags[component] = (*flags.get(component, ()), f"--{name}={value}")
    return flags


def with_flags(argv: tuple[str, ...], flags: tuple[str, ...]) -> tuple[str, ...]:
    """Return a command line with flags added: what it says already, or may not say beside one, gives way."""
    named = {flag.partition("=")[0] for flag in flags}
    taken = {flag.partition("=")[0] for flag in flags if not flag.endswith("=false")}
    named |= {old for new in taken for old in _INSTEAD.get(new, ())}
    return (*(word for word in argv if word.partition("=")[0] not in named), *flags)
