"""What a check finds, and the phrases in which findings are told.

Pure. Owns: the walk over a pod's containers and the English of lists. Called by the checks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from tiphys.apimachinery.dataclass import dataclass
from tiphys.apimachinery.meta import Object


@dataclass(frozen=True, slots=True)
class Pod:
    """The parts of a pod, or of a template of one, that checks look at."""

    metadata: Object
    spec: Object

    @property
    def annotations(self) -> dict[str, str]:
        return self.metadata.get("annotations") or {}

    @property
    def security(self) -> Object:
        """The security context of the pod as a whole."""
        return self.spec.get("securityContext") or {}

    @property
    def windows(self) -> bool:
        return (self.spec.get("os") or {}).get("name") == "windows"

    @property
    def user_namespace(self) -> bool:
        """Root inside is not root on the node."""
        return self.spec.get("hostUsers") is False

    def containers(self) -> Iterator[Object]:
        """Yield containers of every sort, init containers first."""
        for key in ("initContainers", "containers", "ephemeralContainers"):
            yield from self.spec.get(key) or ()


@dataclass(frozen=True, slots=True)
class Finding:
    """Why a pod does not meet a check: in short, and in detail."""

    reason: str
    detail: str

    def __str__(self) -> str:
        return f"{self.reason} ({self.detail})" if self.detail else self.reason


Check = Callable[[Pod], "Finding | None"]


def context(container: Object) -> Object:
    """Return a container's own security context."""
    return container.get("securityContext") or {}


def names_where(pod: Pod, bad: Callable[[Object], bool]) -> list[str]:
    """Return the names of the containers that a test is true for."""
    return [container["name"] for container in pod.containers() if bad(container)]


def plural(word: str, count: int) -> str:
    """Return ``container`` or ``containers``."""
    return word if count == 1 else f"{word}s"


def quoted(values: Iterable[Any]) -> str:
    """Return ``"a", "b"``; what is in them stays as it is."""
    return ", ".join(f'"{value}"' for value in values)


def counted(word: str, values: Sequence[str]) -> str:
    """Return ``containers "a", "b"``."""
    return f"{plural(word, len(values))} {quoted(values)}"


def setters(containers: Sequence[str], *, pod_itself: bool) -> str:
    """Return ``pod and container "a"``: who set a field; empty when nobody did."""
    parts = ["pod"] if pod_itself else []
    if containers:
        parts.append(counted("container", containers))
    return " and ".join(parts)


def uses(verb_word: str, names: Sequence[str], what: str, values: Sequence[str]) -> str:
    """Return ``container "a" uses hostPort 80``-like phrases with quoted values."""
    verb = "uses" if len(names) == 1 else "use"
    return f"{counted(verb_word, names)} {verb} {counted(what, values)}"
