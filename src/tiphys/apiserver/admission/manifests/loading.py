"""Reads webhook configurations, policies and bindings from documents, with defaults and rules of the API.

Owns: which kinds a plugin's files may hold, and what may not be said in files as it would need the API.
Source: the "Manifest-Based Admission Control" page.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

from tiphys.apimachinery import go_yaml
from tiphys.apimachinery.meta import GVK, Object, split_api_version
from tiphys.apimachinery.schema.mismatch import DecodeError
from tiphys.apimachinery.schema.type_meta import NO_KIND
from tiphys.apimachinery.schema.walk import decode_check
from tiphys.apis import strategies
from tiphys.apis.admissionregistration.kinds import FROM_FILES, STATIC
from tiphys.apiserver.admission.manifests.files import Document, Files
from tiphys.apiserver.config_files import BadConfiguration, joined
from tiphys.apiserver.registry import machinery

_GROUP: Final = "admissionregistration.k8s.io"
_VERSION: Final = f"{_GROUP}/v1"
_BINDING: Final = "Binding"
_LIST: Final = "List"
Manifests = Mapping[str, Sequence[Object]]
"""Objects by their kinds, each list in the order of their names."""


def load(files: Files, kinds: Sequence[str]) -> Manifests:
    """Return the objects of these kinds in some files. Raises BadConfiguration: they hold anything else."""
    found: dict[str, dict[str, Object]] = {kind: {} for kind in kinds}
    seen: dict[tuple[str, str], str] = {}
    for document in files.documents():
        try:
            for obj in _objects(document, kinds):
                kind, name = str(obj["kind"]), _named(obj, document.path, seen)
                _check(obj, kind, name, document.path)
                found[kind][name] = obj
        except ValueError as error:
            raise BadConfiguration(f"error loading {document.path}: {error}") from error
    _check_references(found)
    return {kind: [by_name[name] for name in sorted(by_name)] for kind, by_name in found.items()}


def _objects(document: Document, kinds: Sequence[str]) -> Iterator[Object]:
    """Yield the objects of a document, those of lists one by one. Raises ValueError."""
    value, doubled = go_yaml.load(document.text)
    yield from _typed(value, kinds, go_yaml.doubled_fault(doubled))


def _typed(
    value: object, kinds: Sequence[str], faults: Sequence[str] = (), where: str = ""
) -> Iterator[Object]:
    """Yield the objects that a value is or lists; ``where`` says that it is in a list itself."""
    obj, gvk = _of_kind(value)
    with_bindings = len(kinds) > 1
    if gvk.api_version == "v1" and gvk.kind == _LIST and not where:
        for item in _items(obj):
            try:
                # Lists of policies and bindings are not looked for within lists, those of webhooks are.
                yield from _typed(item, kinds, where=" in List" if with_bindings else "")
            except _Undecodable as error:
                raise ValueError(f"failed to decode list item: {error}") from error
        return
    one = gvk.kind.removesuffix(_LIST)
    if gvk.api_version == _VERSION and one in kinds:
        gvk = GVK(_GROUP, "v1", one)
        for item in [obj] if obj["kind"] == one else _items(obj):
            yield _decoded({**item, "apiVersion": _VERSION, "kind": one}, gvk, faults)
        return
    if (gvk.api_version != _VERSION or one not in FROM_FILES) and gvk.kind != _LIST:
        raise _Undecodable(f'no kind "{gvk.kind}" is registered for version "{gvk.api_version}"')
    raise ValueError(f"unsupported resource type {gvk.group}/{gvk.version}, Kind={gvk.kind}{where}")


class _Undecodable(ValueError):
    """No object of a kind that there is."""


def _items(obj: Object) -> Sequence[Object]:
    items = obj.get("items") or []
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise _Undecodable("the items of a list are no objects")
    return items


def _of_kind(value: object) -> tuple[Object, GVK]:
    if not isinstance(value, dict):
        raise _Undecodable(f"{NO_KIND}: the document is no object")
    for key, what in (("kind", "Kind"), ("apiVersion", "apiVersion")):
        if not isinstance(value.get(key), str) or not value[key]:
            raise _Undecodable(f"Object '{what}' is missing")
    return value, GVK(*split_api_version(value["apiVersion"]), value["kind"])


def _decoded(obj: Object, gvk: GVK, faults: Iterable[str]) -> Object:
    """Bring an object into its shape, with defaults. Raises ValueError: it breaks the rules of its kind."""
    try:
        strange = [*faults, *decode_check(obj, machinery.schema_for(gvk), "Strict")]
    except DecodeError as error:
        raise _Undecodable(str(error)) from error
    if strange:
        raise _Undecodable(f"strict decoding error: {', '.join(strange)}")
    obj.setdefault("metadata", {})
    strategy = FROM_FILES[gvk.kind]
    strategy.default(obj)
    broken = strategies.validate_create(strategy, obj, namespaced=False)
    if broken:
        raise ValueError(joined(broken))
    return obj


def _named(obj: Object, path: str, seen: dict[tuple[str, str], str]) -> str:
    """Return the name of an object, one of the reserved ones, which no other has. Raises ValueError."""
    kind, name = str(obj["kind"]), str(obj["metadata"].get("name") or "")
    if not name:
        raise ValueError(f'resource in file "{path}" must have a name')
    if not name.endswith(STATIC):
        raise ValueError(f'"{name}" in file "{path}" must have a name ending with "{STATIC}"')
    before = seen.get((kind, name))
    if before is not None:
        raise ValueError(f'duplicate name "{name}" found in file "{path}" (previously seen in "{before}")')
    seen[kind, name] = path
    return name


def _check(obj: Object, kind: str, name: str, path: str) -> None:
    """Refuse what would need the API. Raises ValueError."""
    spec = obj.get("spec") or {}
    if kind.endswith(_BINDING):
        policy = spec.get("policyName") or ""
        if not policy.endswith(STATIC):
            raise ValueError(f'binding "{name}": spec.policyName "{policy}" must end with "{STATIC}"')
        if spec.get("paramRef") is not None:
            raise ValueError(f'binding "{name}": spec.paramRef is not supported for static manifests')
    elif spec.get("paramKind") is not None:
        raise ValueError(f'{kind} "{name}": spec.paramKind is not supported for static manifests')
    for webhook in obj.get("webhooks") or ():
        client, who = (
            webhook.get("clientConfig") or {},
            f'webhook "{webhook["name"]}" in "{name}" (file "{path}")',
        )
        if client.get("service") is not None:
            raise ValueError(
                f"{who}: clientConfig.service is not supported for static manifests; use clientConfig.url "
                "instead"
            )
        if not client.get("url"):
            raise ValueError(f"{who}: clientConfig.url is required for static manifests")


def _check_references(found: Mapping[str, Mapping[str, Object]]) -> None:
    """Raises BadConfiguration: a binding is of a policy that stands in none of the files."""
    for kind, by_name in found.items():
        if not kind.endswith(_BINDING):
            continue
        policies = found[kind.removesuffix(_BINDING)]
        for name, binding in by_name.items():
            policy = binding["spec"]["policyName"]
            if policy not in policies:
                raise BadConfiguration(
                    f'binding "{name}" references policy "{policy}" which does not exist in the manifest '
                    "directory"
                )
