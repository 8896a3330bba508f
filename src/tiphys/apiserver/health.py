"""``/healthz``, ``/livez`` and ``/readyz``: named checks, and what is said about them.

Owns: which checks each path has, exclusion, the exact text. Refuses: to know what a check looks at; whoever
owns a part of the server gives a function that returns what is wrong, or None.
Source: "Kubernetes API health endpoints".
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import orjson

from tiphys.client.healthcounts import HealthCounts
from tiphys.wire.message import Request, Response

Check = Callable[[], str | None]
"""Returns what is wrong, None when all is well."""
LIVE = ("healthz", "livez")
PATHS = ("healthz", "livez", "readyz")
_HEADERS = {
    "content-type": "text/plain; charset=utf-8",
    "x-content-type-options": "nosniff",
    "cache-control": "no-cache, private",
}


class Steps:
    """What has to be done once before a server is healthy, each a ``poststarthook/...`` check."""

    def __init__(self, names: Sequence[str]) -> None:
        self._done = dict.fromkeys(names, False)

    def done(self, *names: str) -> None:
        for name in names:
            if name not in self._done:
                raise KeyError(name)
            self._done[name] = True

    def checks(self) -> dict[str, Check]:
        return {f"poststarthook/{name}": self._check(name) for name in self._done}

    def _check(self, name: str) -> Check:
        return lambda: None if self._done[name] else "not finished"


class Health:
    """The checks of one server, in the order in which they are shown."""

    def __init__(self, checks: dict[str, Check], only_ready: dict[str, Check]) -> None:
        self._paths = {path: dict(checks) for path in LIVE} | {"readyz": {**checks, **only_ready}}
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

    def _all(self, request: Request, kind: str, checks: dict[str, Check]) -> Response:
        query = request.query
        excluded = dict.fromkeys(query.get("exclude", []))
        lines, good = [], True
        for name, check in checks.items():
            if name in excluded:
                del excluded[name]
                lines.append(f"[+]{name} excluded: ok")
            elif self._ask(kind, name, check) is None:
                lines.append(f"[+]{name} ok")
            else:
                good = False
                lines.append(f"[-]{name} failed: reason withheld")
        if excluded:
            names = ", ".join(orjson.dumps(name).decode() for name in sorted(excluded))
            lines.append(f"warn: some health checks cannot be excluded: no matches for {names}")
        if good and "verbose" not in query:
            return Response(200, dict(_HEADERS), b"ok")
        lines.append(f"{kind} check {'passed' if good else 'failed'}")
        return Response(200 if good else 500, dict(_HEADERS), ("\n".join(lines) + "\n").encode())

    def _ask(self, kind: str, name: str, check: Check) -> str | None:
        fault = check()
        self.counts.note(name, kind, good=fault is None)
        return fault
