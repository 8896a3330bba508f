"""The OpenAPI v3 documents: an index (``/openapi/v3``), one document for each group version, and small ones
for each group and for what concerns no group.

``kubectl explain`` and ``kubectl apply`` read the documents of the kinds that they meet.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tiphys.apis.openapi.definitions import V3_PREFIX, Definition, closure, render_v3
from tiphys.apis.openapi.operations import (
    Naming,
    Operation,
    Parameter,
    by_path,
    definition_name,
    operations,
    own_queries,
    shared,
)
from tiphys.apis.openapi.pages import Page, group_pages
from tiphys.apis.openapi.v2 import CODE_TEXTS, kind_extension, produces
from tiphys.apis.table import ResourceTable

Document = dict[str, Any]


def paths_of(table: ResourceTable) -> dict[str, tuple[str, str]]:
    """Return the index's keys of group versions (``api/v1``, ``apis/apps/v1``), with both."""
    return {
        f"apis/{group}/{version}" if group else f"api/{version}": (group, version)
        for group in table.groups()
        for version in table.versions(group)
    }


def index(hashes: dict[str, str]) -> Document:
    """Return the index; ``hashes`` tells each document's content, so that clients may cache it for ever."""
    found = {path: {"serverRelativeURL": url_of(path, hashes[path])} for path in sorted(hashes)}
    return {"paths": found}


def url_of(path: str, digest: str) -> str:
    """Return the URL of one document at one state."""
    return f"/openapi/v3/{path}?hash={digest}"


def document(
    table: ResourceTable,
    definitions: Mapping[str, Definition],
    gv: tuple[str, str],
    version: str,
    naming: Naming = definition_name,
) -> Document:
    """Return the document of one group version with every definition that it needs."""
    key = f"apis/{gv[0]}/{gv[1]}" if gv[0] else f"api/{gv[1]}"
    own = [page for page in group_pages(table, gv[0]) if page.document == key]
    paths = {page.path: {"get": _page(page, definitions)} for page in own}
    needed = {page.answer for page in own}
    for path, found in by_path(operations(table, *gv, naming)).items():
        common = shared(found)
        item: Document = {one.method: _operation(one, common, definitions) for one in found}
        if common:
            item["parameters"] = [_parameter(one) for one in common]
        paths[path] = item
        needed.update(name for one in found for name in (one.body, one.answer))
    custom = any(row.custom for row in table.resources(*gv))
    return _whole(paths, needed, definitions, "" if custom else version)


def page_document(page: Page, definitions: Mapping[str, Definition], version: str) -> Document:
    """Return a document of a single page and what is below it, which is of no group version."""
    paths: dict[str, Document] = {}
    for one in page.all:
        paths[one.path] = {"get": _page(one, definitions)}
        if one.parameter is not None:
            paths[one.path]["parameters"] = [_parameter(one.parameter)]
    return _whole(paths, {page.answer}, definitions, version)


_CUSTOM_INFO = {"title": "Kubernetes CRD Swagger", "version": "v0.1.0"}


def _whole(
    paths: dict[str, Document], needed: set[str], definitions: Mapping[str, Definition], version: str = ""
) -> Document:
    """Return a whole document; one of custom kinds (without a version) tells nothing of its server."""
    names = closure(definitions, needed)
    components: Document = {}
    if names:
        components["schemas"] = {name: render_v3(name, definitions[name]) for name in names}
    if version:
        components["securitySchemes"] = {
            "BearerToken": {
                "type": "apiKey",
                "description": "Bearer Token authentication",
                "name": "authorization",
                "in": "header",
            }
        }
    info = {"title": "Kubernetes", "version": version} if version else _CUSTOM_INFO
    return {"openapi": "3.0.0", "info": info, "paths": paths, "components": components}


def _page(page: Page, definitions: Mapping[str, Definition]) -> Document:
    answer = {media: {"schema": _ref(page.answer, definitions)} for media in page.produces}
    described = {"description": page.description} if page.description else {}
    answers = {"200": {"description": "OK", "content": answer}} if answer else {}
    return {
        "tags": [page.tag],
        **described,
        "operationId": page.id,
        "responses": {**answers, "401": {"description": "Unauthorized"}},
    }


def _parameter(parameter: Parameter) -> Document:
    entry: Document = {
        "name": parameter.name,
        "in": parameter.place,
        "description": parameter.description,
        "schema": {"type": parameter.type, "uniqueItems": True},
    }
    if parameter.place == "path":
        entry["required"] = True
    return entry


def _operation(
    operation: Operation, common: Sequence[Parameter], definitions: Mapping[str, Definition]
) -> Document:
    answer = {media: {"schema": _ref(operation.answer, definitions)} for media in produces(operation)}
    entry: Document = {
        "tags": [operation.tag],
        "description": operation.description,
        "operationId": operation.id,
        "responses": {
            **{str(code): {"description": CODE_TEXTS[code], "content": answer} for code in operation.codes},
            "401": {"description": "Unauthorized"},
        },
        "x-kubernetes-action": operation.action,
        "x-kubernetes-group-version-kind": kind_extension(operation),
    }
    if own := own_queries(operation, common):
        entry["parameters"] = [_parameter(one) for one in own]
    if operation.body:
        schema = {"schema": _ref(operation.body, definitions)}
        body: Document = {"content": dict.fromkeys(operation.consumes or ("*/*",), schema)}
        if operation.action not in ("delete", "deletecollection"):
            body["required"] = True
        entry["requestBody"] = body
    return entry


def _ref(name: str, definitions: Mapping[str, Definition]) -> Document:
    return {"$ref": V3_PREFIX + name} if name in definitions else {"type": "string"}
