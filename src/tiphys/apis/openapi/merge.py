"""The OpenAPI v2 document of this server joined with those of aggregated API servers.

Pure. A remote document counts for the paths of its own group version only, with the definitions that they
need. Two definitions of one name that differ are kept both: the remote one gets a number (``name_v2``). How
this server describes what it shares with others are words of its own: they make no difference.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import field
from typing import Any

from tiphys.apimachinery.dataclass import dataclass

Document = dict[str, Any]
_PREFIX = "#/definitions/"
_PARAMETERS = "#/parameters/"
KINDS = "x-kubernetes-group-version-kind"


@dataclass(frozen=True, slots=True)
class RemoteSpec:
    """What one aggregated API server publishes for ``/apis/<group>/<version>``."""

    path: str
    document: Mapping[str, Any]
    """Its OpenAPI v2 document, empty where it has none."""
    url_v3: str = ""
    """Where its OpenAPI v3 document is, with its hash; empty where it has none."""
    document_v3: Mapping[str, Any] | None = None
    """Its OpenAPI v3 document, where this server answers for it."""
    others_v3: Mapping[str, str] = field(default_factory=dict)
    """Where the other documents are that it lists, by their names."""


@dataclass(frozen=True, slots=True)
class Joined:
    """What remote documents add to a local one."""

    paths: Document = field(default_factory=dict)
    definitions: Document = field(default_factory=dict)
    kinds: dict[str, list[Any]] = field(default_factory=dict)
    """What local definitions are of, where that is more than they say themselves: options of other groups."""


def additions(
    has_path: Callable[[str], bool], ours: Mapping[str, Document], remotes: Iterable[RemoteSpec]
) -> Joined:
    """Return the remote paths that there are not, and the definitions that they need.

    ``ours`` are the local definitions: of each only that is looked at which a remote one has the name of.
    """
    joined = Joined()
    for remote in remotes:
        _add(joined, has_path, ours, remote)
    return joined


def told_apart(paths: Document, own: Mapping[str, Document], ours: Mapping[str, Document]) -> Joined:
    """Return what custom kinds add where names of theirs are ``ours``: others than those get a number."""
    names = _renamed(own, ours, {})
    joined = Joined(paths={path: _pointed(item, names) for path, item in paths.items()})
    for name, new in names.items():
        if new in ours:
            _share(joined, new, ours, own[name])
        else:
            joined.definitions[new] = _pointed(own[name], names)
    return joined


def _add(
    joined: Joined, has_path: Callable[[str], bool], ours: Mapping[str, Document], remote: RemoteSpec
) -> None:
    shared = _mapping(remote.document.get("parameters"))
    wanted = {
        path: with_parameters(item, shared)
        for path, item in _mapping(remote.document.get("paths")).items()
        if path.startswith(f"{remote.path}/") and path not in joined.paths and not has_path(path)
    }
    theirs = _mapping(remote.document.get("definitions"))
    needed = _closure(wanted, theirs)
    found = {name: theirs[name] for name in needed if name in theirs}
    names = _renamed(found, joined.definitions, ours)
    for name, new in names.items():
        if new not in joined.definitions and new not in ours:
            joined.definitions[new] = _pointed(theirs[name], names)
        else:
            _share(joined, new, ours, theirs[name])
    joined.paths.update({path: _pointed(item, names) for path, item in wanted.items()})


def _share(joined: Joined, name: str, ours: Mapping[str, Document], theirs: Any) -> None:
    """Let a definition that is here be of what it is of elsewhere, too."""
    here = joined.definitions.get(name)
    known = _mapping(ours[name] if here is None else here).get(KINDS)
    more = _merged_kinds(joined.kinds.get(name) or known, _mapping(theirs).get(KINDS))
    if more is not None and here is None:
        joined.kinds[name] = more
    elif more is not None:
        joined.definitions[name] = {**_mapping(here), KINDS: more}


def _merged_kinds(ours: Any, theirs: Any) -> list[Any] | None:
    """Return what two definitions are of together, in order; None where that is what the first says."""
    known, others = ([one for one in given or () if isinstance(one, dict)] for given in (ours, theirs))
    more = [one for one in others if one not in known]
    if not more:
        return None
    return sorted([*known, *more], key=_kind_key) if known else more


def _kind_key(kind: Document) -> str:
    return f"{kind.get('group', '')}/{kind.get('version', '')}.{kind.get('kind', '')}"


def with_parameters(node: Any, shared: Mapping[str, Any]) -> Any:
    """Return a path item in which no parameter refers to what all paths of a document share."""
    if isinstance(node, list):
        return [with_parameters(item, shared) for item in node]
    if not isinstance(node, dict):
        return node
    target = node.get("$ref")
    if isinstance(target, str) and target.startswith(_PARAMETERS):
        return shared.get(target.removeprefix(_PARAMETERS), node)
    return {key: with_parameters(value, shared) for key, value in node.items()}


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _closure(root: Any, definitions: Mapping[str, Any]) -> set[str]:
    found: set[str] = set()
    waiting = [root]
    while waiting:
        for name in _references(waiting.pop()):
            if name not in found:
                found.add(name)
                waiting.append(definitions.get(name))
    return found


def _references(root: Any) -> Iterable[str]:
    waiting = [root]
    while waiting:
        node = waiting.pop()
        if isinstance(node, dict):
            target = node.get("$ref")
            if isinstance(target, str) and target.startswith(_PREFIX):
                yield target.removeprefix(_PREFIX)
            waiting.extend(node.values())
        elif isinstance(node, list):
            waiting.extend(node)


def _renamed(theirs: Mapping[str, Any], others: Mapping[str, Any], ours: Mapping[str, Any]) -> dict[str, str]:
    """Return each remote definition's name here. What is here already, of others word for word, is shared.

    Of which kinds it is makes no difference: every group has options of its own by one definition.
    """
    names: dict[str, str] = {}
    for name, definition in theirs.items():
        new, number = name, 1
        while _taken(new, definition, others, ours):
            number += 1
            new = f"{name}_v{number}"
            while new in theirs:
                number += 1
                new = f"{name}_v{number}"
        names[name] = new
    return names


def _taken(name: str, definition: Any, others: Mapping[str, Any], ours: Mapping[str, Any]) -> bool:
    """Tell whether a name is that of another definition."""
    if name in others:
        return bool(_plain(others[name]) != _plain(definition))
    return name in ours and _wordless(_plain(ours[name])) != _wordless(_plain(definition))


def _wordless(node: Any) -> Any:
    """Return a definition without descriptions; fields of that name stay."""
    if isinstance(node, list):
        return [_wordless(item) for item in node]
    if not isinstance(node, dict):
        return node
    return {
        key: _wordless(value)
        for key, value in node.items()
        if key != "description" or not isinstance(value, str)
    }


def _plain(definition: Any) -> Any:
    if not isinstance(definition, dict) or KINDS not in definition:
        return definition
    return {key: value for key, value in definition.items() if key != KINDS}


def _pointed(node: Any, names: Mapping[str, str]) -> Any:
    """Return a copy whose references use the names that definitions have here."""
    if isinstance(node, list):
        return [_pointed(item, names) for item in node]
    if not isinstance(node, dict):
        return node
    copied = {key: _pointed(value, names) for key, value in node.items()}
    target = node.get("$ref")
    if isinstance(target, str) and target.startswith(_PREFIX):
        name = target.removeprefix(_PREFIX)
        copied["$ref"] = _PREFIX + names.get(name, name)
    return copied
