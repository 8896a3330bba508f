"""``/api``, ``/apis`` and below: what this server serves, legacy and aggregated, with ETags.

Owns: negotiation and caching of the documents that ``apis.discovery_docs`` builds.
"""

from __future__ import annotations

import hashlib
from typing import Any

from tiphys.apis import discovery_docs
from tiphys.apiserver.endpoints import respond
from tiphys.apiserver.endpoints.negotiation import (
    JSON,
    MEDIA_TYPES,
    Format,
    check_route,
    discovery_format,
)
from tiphys.wire.message import Request, Response


class Discovery:
    """Answers discovery requests; documents are encoded once for each state of the resource table."""

    def __init__(self, table: Any, server_address: str, *, hashes: bool = True) -> None:
        self._table = table
        self._hashes = hashes
        self._address = server_address
        self._revision = -1
        self._encoded: dict[tuple[str, Format], Response] = {}

    def handle(self, request: Request) -> Response | None:
        """Answer, or None when the path is not of discovery. Raises NotAcceptable."""
        parts = [part for part in request.path.split("/") if part]
        if not parts or parts[0] not in ("api", "apis") or len(parts) > 3:
            return None
        if parts[0] == "api" and len(parts) > 2:
            return None
        if self._revision != self._table.revision:
            self._encoded.clear()
            self._revision = self._table.revision
        if parts[0] == "api" or self._is_built_in(parts):
            check_route(request.headers.get("accept", ""), MEDIA_TYPES)
        form = format_of(request, aggregated=len(parts) == 1)
        return self._answer(request, parts, form)

    def _is_built_in(self, parts: list[str]) -> bool:
        """Tell whether a path is that of a version of a built-in group, for which there is a route."""
        if len(parts) != 3:
            return False
        return any(not one.custom for one in self._table.resources(parts[1], parts[2]))

    def _answer(self, request: Request, parts: list[str], form: Format) -> Response | None:
        key = ("/".join(parts), form)
        found = self._encoded.get(key)
        if found is None:
            document = self._document(parts, form)
            if document is None:
                return None
            found = self._encoded[key] = encoded(document, form)
        return unless_known(request, found)

    def _document(self, parts: list[str], form: Format) -> Any:
        if form.transform:
            core = parts[0] == "api"
            return discovery_docs.aggregated(self._table, core=core, version=form.transform_version)
        match parts:
            case ["api"]:
                return discovery_docs.api_versions(self._address)
            case ["apis"]:
                return discovery_docs.group_list(self._table)
            case ["api", version]:
                return discovery_docs.resource_list(self._table, "", version, hashes=self._hashes)
            case ["apis", group]:
                return discovery_docs.group(self._table, group)
            case ["apis", group, version]:
                return discovery_docs.resource_list(self._table, group, version, hashes=self._hashes)
        return None


def format_of(request: Request, *, aggregated: bool) -> Format:
    """Return the form in which a client wants a discovery document. Raises NotAcceptable."""
    headers = request.headers
    return discovery_format(
        headers.get("accept", ""),
        request.query.get("pretty", [""])[0] if "pretty" in request.raw_query else "",
        headers.get("user-agent", ""),
        aggregated=aggregated,
    )


def encoded(document: Any, form: Format) -> Response:
    """Return a document as an answer; an aggregated one carries its hash."""
    body, content_type = respond.encode(document, form)
    if not form.transform:
        headers = {"content-type": content_type, "cache-control": respond.NO_STORE, "vary": "Accept"}
        return Response(200, headers, body)
    named = f"{content_type};g=apidiscovery.k8s.io;v={form.transform_version};as={form.transform}"
    # The tag is that of the JSON in every form: ``Vary`` says that there are several.
    plain = form.media_type == JSON and not form.pretty
    told = body if plain else respond.encode(document, Format(JSON))[0]
    tag = f'"{hashlib.sha512(told).hexdigest().upper()}"'
    headers = {"content-type": named, "etag": tag, "vary": "Accept", "cache-control": "public"}
    return Response(200, headers, body)


def unless_known(request: Request, response: Response) -> Response:
    """Return a copy of an answer to keep, without what its reader has already."""
    headers = dict(response.headers)
    tag = headers.get("etag")
    if tag and request.headers.get("if-none-match") == tag:
        return Response(304, headers)
    return Response(response.status, headers, response.body)
