"""The OpenAPI v2 document (``/openapi/v2``) as a JSON tree; ``proto`` turns it into protobuf.

Whole and inline: older kubectl looks for ``dryRun`` among an operation's own parameters.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tiphys.apis.openapi.definitions import V2_PREFIX, render_v2
from tiphys.apis.openapi.operations import (
    OBJECT_TYPES,
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
from tiphys.apis.table import ResourceTable

Document = dict[str, Any]

WATCH_TYPES = (
    "application/json;stream=watch",
    "application/vnd.kubernetes.protobuf;stream=watch",
)
_STREAMS = ("list", "watch", "watchlist")
CODE_TEXTS = {200: "OK", 201: "Created", 202: "Accepted"}


def head(version: str) -> Document:
    """Return what comes before paths and definitions; ``version`` is the server's (``v1.36.0``)."""
    return {"swagger": "2.0", "info": {"title": "Kubernetes", "version": version}}


def tail() -> Document:
    """Return what comes after them."""
    token = {"description": "Bearer Token authentication", "type": "apiKey", "name": "authorization"}
    return {
        "securityDefinitions": {"BearerToken": {**token, "in": "header"}},
        "security": [{"BearerToken": []}],
    }


def parts(
    table: ResourceTable, definitions: Mapping[str, Document], naming: Naming = definition_name
) -> Document:
    """Return the paths and definitions of a document; a table may have definitions of its own."""
    paths: dict[str, Document] = {}
    for group in table.groups():
        for served in table.versions(group):
            paths |= version_paths(table, (group, served), definitions, naming)
    return {"paths": paths, "definitions": rendered(definitions)}


def rendered(definitions: Mapping[str, Document]) -> Document:
    """Return definitions in the words of this version, by name."""
    return {name: render_v2(name, definitions[name]) for name in sorted(definitions)}


def server_paths(pages: Iterable[Page], definitions: Mapping[str, Document]) -> dict[str, Document]:
    """Return the paths that are of no group."""
    return {one.path: _page_item(one, definitions) for page in pages for one in page.all}


def version_paths(
    table: ResourceTable,
    gv: tuple[str, str],
    definitions: Mapping[str, Document],
    naming: Naming = definition_name,
) -> dict[str, Document]:
    """Return the paths of one group version; those of the group are with its first version."""
    group, served = gv
    own = f"apis/{group}/{served}" if group else f"api/{served}"
    first = table.versions(group)[0] == served
    paths = {
        page.path: {"get": _page(page, definitions)}
        for page in group_pages(table, group)
        if page.document == own or (first and page.document == f"apis/{group}")
    }
    for path, found in by_path(operations(table, group, served, naming)).items():
        common = shared(found)
        item: Document = {one.method: _operation(one, common, definitions) for one in found}
        if common:
            item["parameters"] = [_parameter(one) for one in common]
        paths[path] = item
    return paths


def _parameter(parameter: Parameter) -> Document:
    entry: Document = {
        "uniqueItems": True,
        "type": parameter.type,
        "description": parameter.description,
        "name": parameter.name,
        "in": parameter.place,
    }
    if parameter.place == "path":
        entry["required"] = True
    return entry


def _operation(
    operation: Operation, common: Sequence[Parameter], definitions: Mapping[str, Document]
) -> Document:
    parameters: list[Document] = []
    if operation.body:
        body: Document = {"name": "body", "in": "body", "schema": _ref(operation.body, definitions)}
        if operation.action not in ("delete", "deletecollection"):
            body["required"] = True
        parameters.append(body)
    parameters.extend(_parameter(one) for one in own_queries(operation, common))
    answer: Document = {"schema": _ref(operation.answer, definitions)}
    entry: Document = {
        "description": operation.description,
        "consumes": list(operation.consumes) or ["*/*"],
        "produces": list(produces(operation)),
        "schemes": ["https"],
        "tags": [operation.tag],
        "operationId": operation.id,
        **({"parameters": parameters} if parameters else {}),
        "responses": {
            **{str(code): {"description": CODE_TEXTS[code], **answer} for code in operation.codes},
            "401": {"description": "Unauthorized"},
        },
        "x-kubernetes-action": operation.action,
        "x-kubernetes-group-version-kind": kind_extension(operation),
    }
    return entry


def _page_item(page: Page, definitions: Mapping[str, Document]) -> Document:
    item: Document = {"get": _page(page, definitions)}
    if page.parameter is not None:
        item["parameters"] = [_parameter(page.parameter)]
    return item


def _page(page: Page, definitions: Mapping[str, Document]) -> Document:
    entry: Document = {"description": page.description} if page.description else {}
    if page.consumes:
        entry["consumes"] = list(page.consumes)
    responses: Document = {}
    if page.produces:
        entry["produces"] = list(page.produces)
        responses["200"] = {"description": "OK", "schema": _ref(page.answer, definitions)}
    return {
        **entry,
        "schemes": ["https"],
        "tags": [page.tag],
        "operationId": page.id,
        "responses": {**responses, "401": {"description": "Unauthorized"}},
    }


def _ref(name: str, definitions: Mapping[str, Document]) -> Document:
    return {"$ref": V2_PREFIX + name} if name in definitions else {"type": "string"}


def produces(operation: Operation) -> tuple[str, ...]:
    """Return the media types of an operation's answer."""
    if operation.action == "connect":
        return ("*/*",)
    if operation.produces:
        return operation.produces
    if operation.path.endswith("/log"):
        return ("text/plain", *OBJECT_TYPES)
    return (*OBJECT_TYPES, *WATCH_TYPES) if operation.action in _STREAMS else OBJECT_TYPES


def kind_extension(operation: Operation) -> dict[str, str]:
    gvk = operation.gvk
    return {"group": gvk.group, "version": gvk.version, "kind": gvk.kind}
