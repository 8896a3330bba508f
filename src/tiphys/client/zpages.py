"""``/flagz`` and ``/statusz`` of a component: with what it was started, since when it runs. Pure.

Owns: the text for people, the versioned JSON for programs, and which of both a request asks for. The caller
has checked who asks and knows the time. Source: KEP-4827 and KEP-4828.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field
from datetime import datetime, timedelta
from typing import Any, Final

import orjson

from tiphys.apimachinery.clock import rfc3339
from tiphys.apimachinery.compatibility import shown
from tiphys.apimachinery.dataclass import dataclass
from tiphys.apimachinery.featuregates import DEFAULTS, FeatureGates
from tiphys.wire.accept import clauses
from tiphys.wire.message import Request, Response

VERSION: Final = "1.36.0"
_GROUP: Final = "config.k8s.io"
_VERSIONS: Final = ("v1alpha1", "v1beta1")
_KINDS: Final = {"/flagz": "Flagz", "/statusz": "Statusz"}
_GATES: Final = {"/flagz": "ComponentFlagz", "/statusz": "ComponentStatusz"}
_WARNING: Final = (
    "Warning: This endpoint is not meant to be machine parseable, has no formatting compatibility guarantees "
    "and is for debugging purposes only."
)


@dataclass(frozen=True, slots=True)
class ZPages:
    """What one component shows of itself."""

    component: str
    started: datetime
    flags: Mapping[str, str] = field(default_factory=dict)
    paths: Sequence[str] = ()
    gates: FeatureGates = DEFAULTS

    def served(self) -> list[str]:
        """Return the paths that are answered here: what a gate turns off is not there."""
        return [path for path, gate in _GATES.items() if self.gates.enabled(gate)]

    def answer(self, request: Request, now: datetime) -> Response | None:
        """Answer a request for one of the pages, None for any other path."""
        path = request.path
        if path not in self.served():
            return None
        wanted = _wanted(request.headers.get("accept", ""), _KINDS[path])
        if wanted is None:
            return text_answer(
                f"the accepted media types are text/plain and {_json_type(_KINDS[path])}\n", 406
            )
        if not wanted:
            return text_answer(self._flags() if path == "/flagz" else self._status(now))
        document = {
            "kind": _KINDS[path], "apiVersion": f"{_GROUP}/{wanted}", "metadata": {"name": self.component},
            **(self._flagz() if path == "/flagz" else self._statusz(now)),
        }  # fmt: skip
        body = orjson.dumps(document, option=orjson.OPT_APPEND_NEWLINE)
        return Response(200, {"content-type": "application/json"}, body)

    def _flags(self) -> str:
        rows = [f"{name}={value}" for name, value in sorted(self.flags.items())]
        return "\n".join(["", f"{self.component} flags", _WARNING, "", *rows, ""])

    def _flagz(self) -> dict[str, Any]:
        return {"flags": dict(sorted(self.flags.items()))}

    def _status(self, now: datetime) -> str:
        rows = (
            f"Started: {self.started:%a %b %d %H:%M:%S UTC %Y}",
            f"Up: {_up(self.started, now)}",
            f"Binary version: {VERSION}",
            f"Emulation version: {shown(self.gates.effective.emulated)}",
            f"Paths: {' '.join(sorted(self.paths))}",
        )
        return "\n".join(["", f"{self.component} statusz", _WARNING, "", *rows, ""])

    def _statusz(self, now: datetime) -> dict[str, Any]:
        return {
            "startTime": rfc3339(self.started),
            "uptimeSeconds": _seconds(self.started, now),
            "goVersion": "",
            "binaryVersion": VERSION,
            "emulationVersion": shown(self.gates.effective.emulated),
            "paths": sorted(self.paths),
        }


def _wanted(accept: str, kind: str) -> str | None:
    """Return the version of the JSON form that is asked for, empty for text, None for neither.

    Plain ``application/json`` is refused: without a version nobody could rely on what comes.
    """
    if not accept:
        return ""
    for clause in clauses(accept):
        if clause.takes("text/plain"):
            return ""
        named = (clause.get("g"), clause.get("as")) == (_GROUP, kind)
        if clause.takes("application/json") and named and clause.get("v") in _VERSIONS:
            return clause.get("v")
    return None


def _json_type(kind: str) -> str:
    return f"application/json;v={_VERSIONS[0]};g={_GROUP};as={kind}"


def _seconds(started: datetime, now: datetime) -> int:
    return int(max(now - started, timedelta()).total_seconds())


def _up(started: datetime, now: datetime) -> str:
    seconds = _seconds(started, now)
    return f"{seconds // 3600} hr {seconds // 60 % 60:02} min {seconds % 60:02} sec"


def text_answer(body: str, status: int = 200) -> Response:
    """Answer in plain text, which no browser is to take for anything else."""
    headers = {"content-type": "text/plain; charset=utf-8", "x-content-type-options": "nosniff"}
    return Response(status, headers, body.encode())
