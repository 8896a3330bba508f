"""Puts together the rules of CustomResourceDefinitions: of names, versions, schemas, conversion and status.

Parts that all versions share are told at the top of the spec, where the API keeps them inside.
"""

from __future__ import annotations

from tiphys.apimachinery.dataclass import dataclass
from tiphys.apimachinery.errors import FieldError
from tiphys.apimachinery.field_errors import immutable, invalid, required
from tiphys.apimachinery.meta import Object
from tiphys.apis.apiextensions.default_faults import default_faults, has_unknown_fields
from tiphys.apis.apiextensions.definition_rules import (
    approval_faults,
    authority_faults,
    column_faults,
    conversion_faults,
    deprecation_faults,
    group_faults,
    label_faults,
    names_faults,
    required_names,
    scale_faults,
    selectable_faults,
    stored_faults,
)
from tiphys.apis.apiextensions.rule_faults import compile_faults
from tiphys.apis.apiextensions.schema_rules import (
    Demands,
    demands_after,
    has_defaults,
    has_extensions,
    is_readable,
    root_faults,
    schema_faults,
)
from tiphys.apis.apiextensions.shown import shown_version
from tiphys.apis.apiextensions.structural_rules import is_structural, structural_faults
from tiphys.apis.defaulting import each, peek
from tiphys.apis.meta_validation import named_faults
from tiphys.apis.value_validation import one_of

_NO_UNKNOWN = (
    "cannot set to true, set x-kubernetes-preserve-unknown-fields to true in spec.versions[*].schema instead"
)
_NO_DEFAULTS = "must be false in order to use defaults in the schema"
_NO_CONVERTER = "must be None if spec.preserveUnknownFields is true"
_FIELDS_APART = "may only be set when validations.schema is included"
_FIELDS_ALONE = "may only be set when `version.schema.openAPIV3Schema` is not included"
"""Versions that share one of both and not the other are refused, in words that say something else."""
_SHARED = ("schema", "subresources", "additionalPrinterColumns", "selectableFields")


def _schema_of(version: Object) -> Object:
    return peek(version, "schema", "openAPIV3Schema")


def _schemas(crd: Object) -> dict[str, Object]:
    return {version.get("name") or "": _schema_of(version) for version in each(peek(crd, "spec"), "versions")}


@dataclass(frozen=True, slots=True)
class _Before:
    """What an update comes after: the schemas by version, and what may be asked of those that follow."""

    schemas: dict[str, Object]
    demands: Demands
    pruned: bool
    structural: bool
    """Whether schemas have to be structural: where unknown fields are kept, what never was may stay so."""
    complete: bool
    """Whether all versions must have schemas."""

    @classmethod
    def of(cls, crd: Object, old: Object | None) -> _Before:
        schemas = _schemas(old) if old is not None else {}
        pruned = not any(has_unknown_fields(schema) for schema in schemas.values())
        complete = all(schema is not None for schema in _given_schemas(old or {}))
        return cls(schemas, demands_after(schemas.values()), pruned, _is_structural(crd, old), complete)


def _given_schemas(crd: Object) -> list[Object | None]:
    """Return the schemas of all versions, None where there is none."""
    given = [peek(one, "schema").get("openAPIV3Schema") for one in each(peek(crd, "spec"), "versions")]
    return [schema if isinstance(schema, dict) else None for schema in given]


def _is_structural(crd: Object, old: Object | None) -> bool:
    if old is None or not _keeps(peek(crd, "spec")):
        return True
    if any(has_defaults(schema) or has_extensions(schema) for schema in _schemas(crd).values()):
        return True
    before = [schema for schema in _given_schemas(old) if schema is not None]
    return all(map(is_structural, before))


def _schema_faults(schema: Object, path: str, name: str, before: _Before) -> list[FieldError]:
    """Defaults are looked at once the schema is structural, and rules once the defaults are sound."""
    if not before.structural:
        return schema_faults(schema, path, before.demands)
    faults: list[FieldError] = []
    readable, sound = is_readable(schema), False
    if readable:
        faults = structural_faults(schema, path) or default_faults(schema, path, pruned=before.pruned)
        sound = not faults
    nodes = schema_faults(schema, path, before.demands)
    faults += nodes
    if not readable and not faults:
        faults.append(invalid(path, "", "OpenAPIV3Schema 'schema' is not supported"))
    if sound:
        new = schema != before.schemas.get(name)
        faults += compile_faults(schema, path, limits=new, broken=[fault.field for fault in nodes])
    return faults


def _spec_faults(crd: Object, old: Object | None) -> list[FieldError]:
    spec = peek(crd, "spec")
    versions = list(each(spec, "versions"))
    before = _Before.of(crd, old)
    has_status = [peek(version, "subresources").get("status") is not None for version in versions]
    shared = {key for key in _SHARED if all(one.get(key) == versions[0].get(key) for one in versions)}
    faults = group_faults(spec.get("group") or "", "spec.group")
    faults += one_of(spec.get("scope"), "spec.scope", ("Cluster", "Namespaced"))
    for index, (version, schema) in enumerate(zip(versions, _given_schemas(crd), strict=True)):
        place = f"spec.versions[{index}].schema.openAPIV3Schema"
        if schema is None and before.complete:
            faults.append(required(place))
        elif schema is None and version.get("served") and not _keeps(spec):
            faults.append(required(place, "because otherwise all fields are pruned"))
    if _keeps(spec) and any(map(has_defaults, _schemas(crd).values())):
        faults.append(invalid("spec.preserveUnknownFields", True, _NO_DEFAULTS))
    for index, version in enumerate(versions):
        path, name = f"spec.versions[{index}]", version.get("name") or ""
        faults += label_faults(f"{path}.name", name)
        faults += deprecation_faults(version, f"{path}.deprecationWarning")
        own = {key: value for key, value in version.items() if key not in shared}
        faults += _version(
            own, f"{path}.schema", path, _Known(name, _schema_of(version), has_status[index], before)
        )
    faults += _unique(versions, shared)
    if first_name := versions[0].get("name") if versions else "":
        faults += label_faults("spec.version", first_name)
    given = peek(spec, "names")
    faults += required_names(given, "spec.names") + names_faults(given, "spec.names")
    if versions:
        first = {key: versions[0][key] for key in shared if key in versions[0]}
        name, schema = versions[0].get("name") or "", _schema_of(versions[0])
        known = _Known(name, schema, any(has_status), before)
        faults += _version(first, "spec.validation", "spec", known)
    return faults + _conversion(spec, old or {})


def _conversion(spec: Object, old: Object) -> list[FieldError]:
    """What converts is called for known fields only; once established, it is held to an authority."""
    conversion, before = peek(spec, "conversion"), peek(old, "spec", "conversion")
    faults: list[FieldError] = []
    if conversion.get("strategy") != "None" and _keeps(spec):
        faults.append(invalid("spec.conversion.strategy", conversion.get("strategy"), _NO_CONVERTER))
    authority = _established(old) and not authority_faults(before, "")
    return faults + conversion_faults(conversion, "spec.conversion", before, authority=authority)


@dataclass(frozen=True, slots=True)
class _Known:
    """What is known of a version beyond itself."""

    name: str
    schema: Object
    has_status: bool
    before: _Before


def _version(part: Object, schema_path: str, path: str, known: _Known) -> list[FieldError]:
    """Return the faults of a version, or of what all versions share."""
    faults: list[FieldError] = []
    schema, schema_path = peek(part, "schema").get("openAPIV3Schema"), f"{schema_path}.openAPIV3Schema"
    if isinstance(schema, dict):
        faults += root_faults(schema, schema_path, status=known.has_status)
        faults += _schema_faults(schema, schema_path, known.name, known.before)
    faults += scale_faults(peek(part, "subresources").get("scale"), f"{path}.subresources.scale")
    for index, column in enumerate(each(part, "additionalPrinterColumns")):
        faults += column_faults(column, f"{path}.additionalPrinterColumns[{index}]")
    fields, place = list(each(part, "selectableFields")), f"{path}.selectableFields"
    if fields and not isinstance(schema, dict):
        return [*faults, invalid(place, "", _FIELDS_APART if path == "spec" else _FIELDS_ALONE)]
    return faults + selectable_faults(fields, known.schema, place)


def _unique(versions: list[Object], shared: set[str]) -> list[FieldError]:
    faults: list[FieldError] = []
    shown = [shown_version(version, shared) for version in versions] or None
    if len({version.get("name") for version in versions}) != len(versions):
        faults.append(invalid("spec.versions", shown, "must contain unique version names"))
    if sum(bool(version.get("storage")) for version in versions) != 1:
        text = "must have exactly one version marked as storage version"
        faults.append(invalid("spec.versions", shown, text))
    return faults


def _status_faults(crd: Object) -> list[FieldError]:
    return names_faults(peek(crd, "status", "acceptedNames"), "status.acceptedNames")


def _whole(crd: Object, old: Object | None) -> list[FieldError]:
    return _status_faults(crd) + stored_faults(crd, "status.storedVersions") + approval_faults(crd, old)


def validate_new_crd(crd: Object) -> list[FieldError]:
    """Return every fault of a definition that is to be created."""
    spec = peek(crd, "spec")
    wanted = f"{peek(spec, 'names').get('plural') or ''}.{spec.get('group') or ''}"
    unlike = ['must be spec.names.plural+"."+spec.group']
    faults = named_faults(peek(crd, "metadata"), lambda name: [] if name == wanted else unlike)
    faults += _spec_faults(crd, None) + _whole(crd, None)
    return faults + ([invalid("spec.preserveUnknownFields", True, _NO_UNKNOWN)] if _keeps(spec) else [])


def _keeps(spec: Object) -> bool:
    return bool(spec.get("preserveUnknownFields"))


def _established(crd: Object) -> bool:
    return any(
        condition.get("type") == "Established" and condition.get("status") == "True"
        for condition in each(crd, "status", "conditions")
    )


def validate_crd_update(new: Object, old: Object) -> list[FieldError]:
    """Return every fault of replacing a definition: what is established keeps its scope and names."""
    spec, before = peek(new, "spec"), peek(old, "spec")
    faults = _spec_faults(new, old)
    if _established(old):
        faults += immutable("spec.scope", spec.get("scope"), before.get("scope"))
        kind, kind_before = (peek(part, "names").get("kind") for part in (spec, before))
        faults += immutable("spec.names.kind", kind, kind_before)
    faults += immutable("spec.group", spec.get("group"), before.get("group"))
    plural, plural_before = (peek(part, "names").get("plural") for part in (spec, before))
    faults += immutable("spec.names.plural", plural, plural_before)
    faults += _whole(new, old)
    if _keeps(spec) and not _keeps(before):
        faults.append(invalid("spec.preserveUnknownFields", True, _NO_UNKNOWN))
    return faults


def validate_crd_status(new: Object, _old: Object) -> list[FieldError]:
    """Return every fault of writing a definition's status."""
    return _status_faults(new)
