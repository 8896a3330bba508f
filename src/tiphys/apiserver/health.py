"""``/healthz``, ``/livez`` and ``/readyz``: named checks, and what is said about them.

Owns: which checks each path has, exclusion, the exact text. Refuses: to know what a check looks at; whoever
owns a part of the server gives a function that returns what is wrong, or None.
Source: "Kubernetes API health endpoints".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from tiphys.client.healthchecks import NO_GROUPS, HealthCounts, report
from tiphys.wire.message import Request, Response

Check = Callable[[], str | None]
"""Returns what is wrong, None when all is well."""
Checks = Mapping[str, Check]
PATHS = ("healthz", "livez", "readyz")
_HEADERS = {
    "content-type": "text/plain; charset=utf-8",
    "x-content-type-options": "nosniff",
    "cache-control": "no-cache, private",
}


class Health:
    """The checks of one server, in the order in which they are shown, for each of the paths."""

    def __init__(
        self, healthz: Checks, livez: Checks, readyz: Checks, groups: Mapping[str, str] = NO_GROUPS
    ) -> None:
        """``groups``: with which other check some are left out."""
        self._groups = groups
        self._paths: dict[str, Checks] = dict(zip(PATHS, (healthz, livez, readyz), strict=True))
        self.counts = HealthCounts()

    def paths(self) -> list[str]:
        """Return every path that is served."""
        found = list(PATHS)
        found += [f"{path}/{name}" for path, checks in self._paths.items() for name in checks]
        return sorted(f"/{path}" for path in found)

    def handle(self, request: Request, path: str) -> Response | None:
        """Answer for all checks of a path, or for the one that it names; None where there is none."""
        kind, _, name = path.lstrip("/").partition("/")
        checks = self._paths.get(kind, {})
        if name:
            check = checks.get(name)
            if check is None:
                return None
            fault = self._ask(kind, name, check)
            if fault is None:
                return Response(200, dict(_HEADERS), b"ok")
            return Response(500, dict(_HEADERS), f"internal server error: {fault}\n".encode())
        return self._all(request, kind, checks)

    def _all(self, request: Request, kind: str, checks: Checks) -> Response:
        query = request.query
        excluded = query.get("exclude", [])
        faults = {
            name: None if name in excluded or self._groups.get(name) in excluded
            else self._ask(kind, name, check)
            for name, check in checks.items()
        }  # fmt: skip
        good, lines = report(faults, excluded, self._groups)
        if good and "verbose" not in query:
            return Response(200, dict(_HEADERS), b"ok")
        lines.append(f"{kind} check {'passed' if good else 'failed'}")
        return Response(200 if good else 500, dict(_HEADERS), ("\n".join(lines) + "\n").encode())

    def _ask(self, kind: str, name: str, check: Check) -> str | None:
        fault = check()
        self.counts.note(name, kind, good=fault is None)
        return fault
