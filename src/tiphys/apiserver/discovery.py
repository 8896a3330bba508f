"""``/api``, ``/apis`` and below: what this server serves, legacy and aggregated, with ETags.

Owns: negotiation and caching of the documents that ``apis.discovery_docs`` builds.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import orjson

from tiphys.apis import discovery_docs
from tiphys.wire.message import Request, Response

_AGGREGATED = ("v2", "v2beta1")


class Discovery:
    """Answers discovery requests; documents are encoded once for each state of the resource table."""

    def __init__(self, table: Any, server_address: str) -> None:
        self._table = table
        self._address = server_address
        self._revision = -1
        self._documents: dict[str, tuple[bytes, str]] = {}

    def handle(self, request: Request) -> Response | None:
        """Answer, or None when the path is not of discovery."""
        parts = [part for part in request.path.split("/") if part]
        if not parts or parts[0] not in ("api", "apis") or len(parts) > 3:
            return None
        if parts[0] == "api" and len(parts) > 2:
            return None
        if self._revision != self._table.revision:
            self._documents.clear()
            self._revision = self._table.revision
        if len(parts) == 1:
            version = aggregated_version(request.headers.get("accept", ""))
            if version:
                return self._aggregated(request, core=parts[0] == "api", version=version)
        return self._plain(request, "/".join(parts), lambda: self._document(parts))

    def _document(self, parts: list[str]) -> Any:
        match parts:
            case ["api"]:
                return discovery_docs.api_versions(self._address)
            case ["apis"]:
                return discovery_docs.group_list(self._table)
            case ["api", version]:
                return discovery_docs.resource_list(self._table, "", version)
            case ["apis", group]:
                return discovery_docs.group(self._table, group)
            case ["apis", group, version]:
                return discovery_docs.resource_list(self._table, group, version)
        return None

    def _cached(self, key: str, build: Callable[[], Any]) -> tuple[bytes, str] | None:
        found = self._documents.get(key)
        if found is None:
            document = build()
            if document is None:
                return None
            body = orjson.dumps(document)
            found = self._documents[key] = (body, f'"{hashlib.sha512(body).hexdigest().upper()}"')
        return found

    def _aggregated(self, request: Request, *, core: bool, version: str) -> Response:
        key = f"aggregated/{core}/{version}"
        found = self._cached(key, lambda: discovery_docs.aggregated(self._table, core=core, version=version))
        assert found is not None
        body, tag = found
        headers = {
            "content-type": f"application/json;g=apidiscovery.k8s.io;v={version};as=APIGroupDiscoveryList",
            "etag": tag,
            "vary": "Accept",
            "cache-control": "public",
        }
        if request.headers.get("if-none-match") == tag:
            return Response(304, headers)
        return Response(200, headers, body)

    def _plain(self, request: Request, key: str, build: Callable[[], Any]) -> Response | None:
        found = self._cached(key, build)
        if found is None:
            return None
        headers = {"content-type": "application/json", "cache-control": "no-cache, private", "vary": "Accept"}
        if "pretty=" in request.raw_query or request.headers.get("user-agent", "").startswith("curl"):
            return Response(200, headers, orjson.dumps(orjson.loads(found[0]), option=orjson.OPT_INDENT_2))
        return Response(200, headers, found[0])


def aggregated_version(accept: str) -> str:
    """Return the version of aggregated discovery that a client wants, empty for the legacy form."""
    for clause in accept.split(","):
        if "as=APIGroupDiscoveryList" in clause and clause.strip().startswith("application/json"):
            for version in _AGGREGATED:
                if f"v={version}" in clause.replace(" ", "").split(";"):
                    return version
        elif clause.strip().split(";")[0] in ("application/json", "*/*"):
            return ""
    return ""
