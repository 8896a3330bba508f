"""Every path and operation that a resource table serves, before either OpenAPI version words them.

``v2`` and ``v3`` render these; nobody else needs them.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from operator import attrgetter
from typing import NamedTuple

from tiphys.apimachinery.dataclass import dataclass
from tiphys.apimachinery.meta import GVK
from tiphys.apimachinery.resource import Resource, Subresource
from tiphys.apis import schemas
from tiphys.apis.returned import RETURNED
from tiphys.apis.table import ResourceTable

META = "io.k8s.apimachinery.pkg.apis.meta.v1."
STATUS = META + "Status"
DELETE_OPTIONS = META + "DeleteOptions"
PATCH = META + "Patch"
WATCH_EVENT = META + "WatchEvent"
CUSTOM_TYPES = ("application/json", "application/yaml")
"""What objects of custom kinds are read and written as."""
OBJECT_TYPES = (*CUSTOM_TYPES, "application/vnd.kubernetes.protobuf")
"""What objects are read and written as."""
_PATCH_TYPES = ("application/json-patch+json", "application/merge-patch+json", "application/apply-patch+yaml")
_STRATEGIC = "application/strategic-merge-patch+json"


class Parameter(NamedTuple):
    name: str
    type: str
    description: str
    place: str = "query"


_PLACE = attrgetter("name", "place")


def _queries(kind: str, *described: tuple[str, str]) -> dict[str, Parameter]:
    return {name: Parameter(name, kind, description) for name, description in described}


# What upstream's own tests look for in the document, word for word.
_SELECTOR = "A selector to restrict the list of returned objects by their {}. Defaults to everything."
_QUERY: dict[str, Parameter] = {
    **_queries(
        "boolean",
        ("allowWatchBookmarks", "Ask a watch to send BOOKMARK events."),
        (
            "watch",
            "Watch for changes to the described resources and return them as a stream of add, update, "
            "and remove notifications. Specify resourceVersion.",
        ),
        ("sendInitialEvents", "Begin a watch with the objects that exist, then a bookmark."),
        ("force", "Apply only: take over fields that other managers own."),
        ("orphanDependents", "Deprecated, use propagationPolicy: leave dependents alone."),
        (
            "ignoreStoreReadErrorWithClusterBreakingPotential",
            "Delete an object that cannot be read from the store.",
        ),
        ("follow", "Keep the log stream open."),
        ("insecureSkipTLSVerifyBackend", "Do not verify the kubelet's serving certificate."),
        ("previous", "Logs of the container's previous run."),
        ("timestamps", "Begin every line with the time it was written."),
        ("stdin", "Connect standard input."),
        ("stdout", "Connect standard output."),
        ("stderr", "Connect standard error."),
        ("tty", "Allocate a terminal."),
    ),
    **_queries(
        "integer",
        ("limit", "At most so many objects in one answer."),
        ("timeoutSeconds", "End the call after this time."),
        ("gracePeriodSeconds", "Seconds until the object is deleted; zero deletes at once."),
        ("limitBytes", "End the log after so many bytes."),
        ("sinceSeconds", "Only what was logged in the last seconds."),
        ("tailLines", "Only the last lines of the log."),
        ("ports", "Ports to forward, for websockets."),
    ),
    **_queries(
        "string",
        ("continue", "Token of the answer that this one goes on from."),
        ("fieldSelector", _SELECTOR.format("fields")),
        ("labelSelector", _SELECTOR.format("labels")),
        ("resourceVersion", "The version to read at or to watch from."),
        ("resourceVersionMatch", "How resourceVersion constrains the answer."),
        ("shardSelector", "A part of the objects by hashes: shardRange(object.metadata.uid, '0x0', '0x8')."),
        ("dryRun", "All: go through every step but write nothing."),
        ("fieldManager", "Name of the actor that makes the change."),
        ("fieldValidation", "Ignore, Warn or Strict: what to do about unknown and duplicate fields."),
        ("propagationPolicy", "Orphan, Background or Foreground: what happens to dependents."),
        ("pretty", "Indent the answer."),
        ("container", "Which container of the pod."),
        ("stream", "All, Stdout or Stderr."),
        ("command", "The command to run, an argument at a time."),
        ("path", "The part of the URL to pass on."),
    ),
}
_LIST = (
    "allowWatchBookmarks", "continue", "fieldSelector", "labelSelector", "limit", "resourceVersion",
    "resourceVersionMatch", "sendInitialEvents", "shardSelector", "timeoutSeconds", "watch",
)  # fmt: skip
_WRITE = ("dryRun", "fieldManager", "fieldValidation")
_DELETE = (
    "dryRun", "gracePeriodSeconds", "ignoreStoreReadErrorWithClusterBreakingPotential", "orphanDependents",
    "propagationPolicy",
)  # fmt: skip
_LOG = (
    "container", "follow", "insecureSkipTLSVerifyBackend", "limitBytes", "previous", "sinceSeconds", "stream",
    "tailLines", "timestamps",
)  # fmt: skip
_ATTACH = ("container", "stderr", "stdin", "stdout", "tty")
_CONNECT = {
    "exec": ("command", *_ATTACH),
    "attach": _ATTACH,
    "portforward": ("ports",),
    "proxy": ("path",),
}
_NAME = Parameter("name", "string", "Name of the object.", "path")
_NAMESPACE = Parameter("namespace", "string", "Namespace of the object.", "path")
_REST = Parameter("path", "string", "The part of the URL to pass on.", "path")

_VERBS = (
    # verb, method, action, operation prefix, on the collection
    ("list", "get", "list", "list", True),
    ("create", "post", "post", "create", True),
    ("deletecollection", "delete", "deletecollection", "deleteCollection", True),
    ("get", "get", "get", "read", False),
    ("update", "put", "put", "replace", False),
    ("delete", "delete", "delete", "delete", False),
    ("patch", "patch", "patch", "patch", False),
)


@dataclass(frozen=True, slots=True)
class Operation:
    """One method of one path. ``body`` and ``answer`` name definitions; an empty answer is plain text.

    Media types are those of built-in kinds where none are given.
    """

    path: str
    method: str
    action: str
    id: str
    tag: str
    description: str
    gvk: GVK
    path_parameters: tuple[Parameter, ...]
    queries: tuple[Parameter, ...]
    body: str = ""
    answer: str = ""
    consumes: tuple[str, ...] = ()
    produces: tuple[str, ...] = ()
    codes: tuple[int, ...] = (200,)


def by_path(found: Iterable[Operation]) -> dict[str, list[Operation]]:
    """Return operations by their path, in order."""
    paths: dict[str, list[Operation]] = {}
    for one in found:
        paths.setdefault(one.path, []).append(one)
    return paths


def shared(of_a_path: Sequence[Operation]) -> list[Parameter]:
    """Return the parameters that every operation of a path takes, by name: they are the path's."""
    common = set.intersection(*({*one.path_parameters, *one.queries} for one in of_a_path))
    return sorted(common, key=_PLACE)


def own_queries(operation: Operation, common: Container[Parameter]) -> list[Parameter]:
    """Return the parameters of an operation that its path does not name, by name."""
    every = (*operation.path_parameters, *operation.queries)
    return sorted((one for one in every if one not in common), key=_PLACE)


def definition_name(gvk: GVK) -> str:
    """Return the definition of a kind; a custom one is named after its reversed group."""
    known = schemas.definition_name(gvk)
    if known is not None:
        return known
    reverse = ".".join(reversed(gvk.group.split(".")))
    return f"{reverse}.{gvk.version}.{gvk.kind}"


def list_kind(row: Resource) -> str:
    """Return what a list of a row's objects is called: definitions may say so."""
    return getattr(row.definition, "list_kind", "") or f"{row.kind}List"


Naming = Callable[[GVK], str]
"""Tells the definition that describes a kind."""


def operations(
    table: ResourceTable, group: str, version: str, naming: Naming = definition_name
) -> Iterator[Operation]:
    """Yield everything that one group version serves."""
    for row in table.resources(group, version):
        yield from _resource(row, naming(row.gvk))
        yield from _watches(row)
        for sub in row.subresources:
            yield from _subresource(row, sub)


def _root(row: Resource) -> str:
    return f"/apis/{row.group}/{row.version}" if row.group else f"/api/{row.version}"


def group_tag(group: str) -> str:
    """Return how a group is called in the names of operations: ``rbacAuthorization``."""
    first, *others = (group.removesuffix(".k8s.io") or "core").split(".")
    return first + "".join(part[:1].upper() + part[1:] for part in others)


def version_tag(group: str, version: str) -> str:
    """Return what the operations of one group version are filed under: ``apps_v1``."""
    return f"{group_tag(group)}_{version}"


def _camel(row: Resource) -> str:
    name = group_tag(row.group)
    return f"{name[:1].upper()}{name[1:]}{row.version[:1].upper()}{row.version[1:]}"


def _scope(row: Resource) -> tuple[str, tuple[Parameter, ...], str]:
    if row.namespaced:
        return f"{_root(row)}/namespaces/{{namespace}}/{row.plural}", (_NAMESPACE,), f"Namespaced{row.kind}"
    return f"{_root(row)}/{row.plural}", (), row.kind


def _patch_types(row: Resource) -> tuple[str, ...]:
    return _PATCH_TYPES if row.custom else (*_PATCH_TYPES[:2], _STRATEGIC, *_PATCH_TYPES[2:])


def _pick(names: tuple[str, ...]) -> tuple[Parameter, ...]:
    return tuple(_QUERY[name] for name in (*names, "pretty"))


def _resource(row: Resource, own: str) -> Iterator[Operation]:
    base, scope, name = _scope(row)
    for verb, method, action, prefix, collection in _VERBS:
        if verb not in row.verbs:
            continue
        where = (base, scope) if collection else (f"{base}/{{name}}", (*scope, _NAME))
        operation_id = f"{prefix}{_camel(row)}{name}"
        if verb == "deletecollection":
            operation_id = f"delete{_camel(row)}Collection{name}"
        yield _operation(row, where, (method, action), operation_id, row.gvk, own=own)
    if row.namespaced and "list" in row.verbs:
        where = (f"{_root(row)}/{row.plural}", ())
        operation_id = f"list{_camel(row)}{row.kind}ForAllNamespaces"
        yield _operation(row, where, ("get", "list"), operation_id, row.gvk, own=own)


def _watches(row: Resource) -> Iterator[Operation]:
    """Yield the deprecated paths that watch; those of custom kinds are served, but not published."""
    if "watch" not in row.verbs or row.custom:
        return
    base, scope, name = _scope(row)
    base = base.replace(_root(row), f"{_root(row)}/watch", 1)
    places = [(base, scope, "watchlist", f"{name}List"), (f"{base}/{{name}}", (*scope, _NAME), "watch", name)]
    if row.namespaced:
        everywhere = f"{_root(row)}/watch/{row.plural}"
        places.append((everywhere, (), "watchlist", f"{row.kind}ListForAllNamespaces"))
    for path, parameters, action, suffix in places:
        operation_id = f"watch{_camel(row)}{suffix}"
        yield _operation(row, (path, parameters), ("get", action), operation_id, row.gvk)


def _subresource(row: Resource, sub: Subresource) -> Iterator[Operation]:
    base, scope, name = _scope(row)
    where = (f"{base}/{{name}}/{sub.name}", (*scope, _NAME))
    suffix = "".join(part[:1].upper() + part[1:] for part in sub.name.split("."))
    if sub.name in _CONNECT:
        yield from _connects(row, sub, where, f"{name}{suffix}")
        return
    own = definition_name(sub.kind)
    for verb, method, action, prefix, _ in _VERBS:
        if verb in sub.verbs:
            operation_id = f"{prefix}{_camel(row)}{name}{suffix}"
            made = _operation(row, where, (method, action), operation_id, sub.kind, own=own, part=sub.name)
            if sub.name == "log":
                made = Operation(
                    made.path, "get", "get", made.id, made.tag, made.description, made.gvk,
                    made.path_parameters, _pick(_LOG),
                )  # fmt: skip
            yield made


def _connects(
    row: Resource, sub: Subresource, where: tuple[str, tuple[Parameter, ...]], name: str
) -> Iterator[Operation]:
    methods: tuple[str, ...] = ("get", "post")
    if sub.name == "proxy":
        methods = ("get", "put", "post", "delete", "options", "head", "patch")
    places = [(where, "")]
    if sub.name == "proxy":
        places.append(((f"{where[0]}/{{path}}", (*where[1], _REST)), "WithPath"))
    for (path, parameters), suffix in places:
        for method in methods:
            yield Operation(
                path=path,
                method=method,
                action="connect",
                id=f"connect{_camel(row)}{method.capitalize()}{name}{suffix}",
                tag=version_tag(row.group, row.version),
                description=f"connect {method.upper()} requests to {sub.name} of {row.kind}",
                gvk=sub.kind,
                path_parameters=parameters,
                queries=tuple(_QUERY[query] for query in _CONNECT[sub.name]),
            )


def _operation(
    row: Resource,
    where: tuple[str, tuple[Parameter, ...]],
    what: tuple[str, str],
    operation_id: str,
    gvk: GVK,
    *,
    own: str = "",
    part: str = "",
) -> Operation:
    method, action = what
    queries, body, answer, codes = (_CUSTOM_SHAPES if row.custom else {}).get(action) or _SHAPES[action]
    if action == "delete" and (row.group, row.plural) in RETURNED:
        answer = "{own}"
    custom = CUSTOM_TYPES if row.custom else ()
    return Operation(
        path=where[0],
        method=method,
        action=action,
        id=operation_id,
        tag=version_tag(row.group, row.version),
        description=_describe(row, action, part),
        gvk=row.gvk if row.custom else gvk,
        path_parameters=where[1],
        queries=_pick(queries),
        body=body.format(own=own),
        answer=answer.format(own=own, listing=f"{own.rpartition('.')[0]}.{list_kind(row)}"),
        consumes=_patch_types(row) if action == "patch" else custom,
        produces=custom,
        codes=codes,
    )


def _describe(row: Resource, action: str, part: str) -> str:
    """Return what an operation does in a sentence, word for word upstream's."""
    kind, of = row.kind, f" {part} of" if part else ""
    match action:
        case "list":
            return f"list{'' if row.custom else ' or watch'} objects of kind {kind}"
        case "deletecollection":
            return f"delete collection of {kind}"
        case "post" | "delete":
            return f"{'create' if action == 'post' else action}{of}{_article(kind)} {kind}"
        case "watch":
            return f"watch changes to an object of kind {kind}{_DEPRECATED}{_FILTERED}."
        case "watchlist":
            return f"watch individual changes to a list of {kind}{_DEPRECATED}."
        case _:
            verb = {"get": "read", "put": "replace", "patch": "partially update"}[action]
            return f"{verb}{of} the specified {kind}"


def _article(noun: str) -> str:
    if noun.endswith("s") and not noun.endswith("ss"):
        return ""
    return " an" if noun[0] in "AEIOU" else " a"


_DEPRECATED = ". deprecated: use the 'watch' parameter with a list operation instead"
_FILTERED = ", filtered to a single item with the 'fieldSelector' parameter"
_SHAPES: dict[str, tuple[tuple[str, ...], str, str, tuple[int, ...]]] = {
    "list": (_LIST, "", "{listing}", (200,)),
    "post": (_WRITE, "{own}", "{own}", (200, 201, 202)),
    "deletecollection": ((*_DELETE, *_LIST[1:-1]), DELETE_OPTIONS, STATUS, (200,)),
    "watchlist": (_LIST, "", WATCH_EVENT, (200,)),
    "watch": (_LIST, "", WATCH_EVENT, (200,)),
    "get": ((), "", "{own}", (200,)),
    "put": (_WRITE, "{own}", "{own}", (200, 201)),
    "delete": (_DELETE, DELETE_OPTIONS, STATUS, (200, 202)),
    "patch": ((*_WRITE, "force"), PATCH, "{own}", (200, 201)),
}
"""For each action: queries, body, answer, status codes."""
_CUSTOM_SHAPES: dict[str, tuple[tuple[str, ...], str, str, tuple[int, ...]]] = {
    "deletecollection": (_LIST, "", STATUS, (200,)),
    "get": (("resourceVersion",), "", "{own}", (200,)),
    "patch": ((*_WRITE, "force"), PATCH, "{own}", (200,)),
}
"""Where those of custom kinds are told otherwise."""
