"""Rules of CustomResourceDefinitions beyond their schemas (those are the schema machinery's)."""

from __future__ import annotations

from tiphys.apimachinery import names
from tiphys.apimachinery.errors import FieldError
from tiphys.apimachinery.field_errors import (
    duplicate,
    forbidden,
    immutable,
    invalid,
    invalid_all,
    required,
    too_many,
)
from tiphys.apimachinery.meta import Object
from tiphys.apis.apiextensions.default_faults import default_faults
from tiphys.apis.apiextensions.rule_faults import compile_faults
from tiphys.apis.apiextensions.structural_rules import structural_faults
from tiphys.apis.defaulting import each, peek
from tiphys.apis.value_validation import one_of

_MAX_SELECTABLE = 8
_PROTECTED = ("k8s.io", "kubernetes.io")
_APPROVED = "api-approved.kubernetes.io"
_APPROVAL_PAGE = "https://github.com/kubernetes/enhancements/pull/1111"


def validate_crd(crd: Object, old: Object | None = None) -> list[FieldError]:
    """Return every fault of a CustomResourceDefinition; ``old`` is what it was before an update."""
    spec = peek(crd, "spec")
    group, plural = spec.get("group") or "", peek(spec, "names").get("plural") or ""
    name = peek(crd, "metadata").get("name") or ""
    faults: list[FieldError] = []
    if name != f"{plural}.{group}":
        faults.append(invalid("metadata.name", name, 'must be spec.names.plural+"."+spec.group'))
    if not group:
        faults.append(required("spec.group"))
    else:
        faults += invalid_all("spec.group", group, names.is_dns1123_subdomain(group))
        if len(group.split(".")) < 2:
            faults.append(invalid("spec.group", group, "should be a domain with at least one dot"))
    faults += one_of(spec.get("scope"), "spec.scope", ("Cluster", "Namespaced"))
    faults += _versions(crd, _schemas(old) if old is not None else {})
    faults += _names(peek(spec, "names"), "spec.names")
    return faults + _conversion(peek(spec, "conversion"), "spec.conversion")


def _schemas(crd: Object) -> dict[str, Object]:
    return {
        version.get("name") or "": peek(version, "schema", "openAPIV3Schema")
        for version in each(peek(crd, "spec"), "versions")
    }


def _schema_faults(schema: Object, path: str, before: Object | None) -> list[FieldError]:
    """Rules are compiled once the schema is sound; those that stood before may cost what they do."""
    faults = structural_faults(schema, path)
    if faults:
        return faults
    new = schema != before
    return compile_faults(schema, path, limits=new) + default_faults(schema, path, pruned=new)


def _versions(crd: Object, before: dict[str, Object]) -> list[FieldError]:
    spec = peek(crd, "spec")
    versions = list(each(spec, "versions"))
    faults: list[FieldError] = []
    if spec.get("preserveUnknownFields"):
        text = (
            "cannot set to true, set x-kubernetes-preserve-unknown-fields to true in spec.versions[*].schema "
            "instead"
        )
        faults.append(invalid("spec.preserveUnknownFields", True, text))
    for index, version in enumerate(versions):
        path, name = f"spec.versions[{index}]", version.get("name") or ""
        faults += invalid_all(f"{path}.name", name, names.is_dns1035_label(name))
        if not isinstance(peek(version, "schema").get("openAPIV3Schema"), dict):
            faults.append(required(f"{path}.schema.openAPIV3Schema", "schemas are required"))
        else:
            schema = version["schema"]["openAPIV3Schema"]
            faults += _schema_faults(schema, f"{path}.schema.openAPIV3Schema", before.get(name))
        faults += _scale(peek(version, "subresources").get("scale"), f"{path}.subresources.scale")
        faults += _selectable(version, f"{path}.selectableFields")
        for place, column in enumerate(each(version, "additionalPrinterColumns")):
            faults += _column(column, f"{path}.additionalPrinterColumns[{place}]")
    stored = [version for version in versions if version.get("storage")]
    if len(stored) != 1:
        text = "must have exactly one version marked as storage version"
        faults.append(invalid("spec.versions", versions, text))
    if len({version.get("name") for version in versions}) != len(versions):
        faults.append(invalid("spec.versions", versions, "must contain unique version names"))
    return faults


def _scale(scale: Object | None, path: str) -> list[FieldError]:
    faults: list[FieldError] = []
    for key, root in (("specReplicasPath", ".spec."), ("statusReplicasPath", ".status.")):
        value = (scale or {}).get(key) or ""
        if scale is not None and not value:
            faults.append(required(f"{path}.{key}"))
        elif scale is not None and not value.startswith(root):
            text = f"should be a json path under {root.removesuffix('.')}"
            faults.append(invalid(f"{path}.{key}", value, text))
    selector = (scale or {}).get("labelSelectorPath")
    if selector and not selector.startswith((".spec.", ".status.")):
        text = "should be a json path under either .spec or .status"
        faults.append(invalid(f"{path}.labelSelectorPath", selector, text))
    return faults


def _selectable(version: Object, path: str) -> list[FieldError]:
    """Selectable fields lead to texts, numbers and booleans of the schema, eight at most."""
    faults: list[FieldError] = []
    fields = list(each(version, "selectableFields"))
    if len(fields) > _MAX_SELECTABLE:
        faults.append(too_many(path, len(fields), _MAX_SELECTABLE))
    seen: set[str] = set()
    for index, field in enumerate(fields):
        place, text = f"{path}[{index}].jsonPath", field.get("jsonPath") or ""
        if not text:
            faults.append(required(place))
            continue
        if text in seen:
            faults.append(duplicate(place, text))
        seen.add(text)
        node = peek(version, "schema", "openAPIV3Schema")
        for step in text.removeprefix(".").split("."):
            node = peek(node, "properties", step)
        if text.startswith(".metadata"):
            faults.append(invalid(place, text, "must not point to fields in metadata"))
        elif node.get("type") not in ("string", "integer", "boolean"):
            why = "is an invalid path: does not refer to a valid field"
            if node:
                why = "must point to a field of type string, boolean or integer"
            faults.append(invalid(place, text, why))
    return faults


def _approval(crd: Object) -> list[FieldError]:
    """Groups of the Kubernetes community need a word that the API was approved."""
    group = peek(crd, "spec").get("group") or ""
    if not any(group == suffix or group.endswith(f".{suffix}") for suffix in _PROTECTED):
        return []
    place, text = f"metadata.annotations[{_APPROVED}]", peek(crd, "metadata", "annotations").get(_APPROVED)
    why = "protected groups must have approval annotation"
    if not text:
        return [required(place, f'{why} "{_APPROVED}", see {_APPROVAL_PAGE}')]
    if not text.startswith(("https://", "unapproved")):
        shown = f'{why} "{_APPROVED}" with either a URL or a reason starting with "unapproved", '
        return [invalid(place, text, f"{shown}see {_APPROVAL_PAGE}")]
    return []


def _column(column: Object, path: str) -> list[FieldError]:
    faults = [] if column.get("name") else [required(f"{path}.name")]
    if not column.get("type"):
        faults.append(required(f"{path}.type", "must be one of boolean,date,integer,number,string"))
    else:
        kinds = ("boolean", "date", "integer", "number", "string")
        faults += one_of(column["type"], f"{path}.type", kinds)
    if not column.get("jsonPath"):
        faults.append(required(f"{path}.jsonPath"))
    return faults


def _names(given: Object, path: str) -> list[FieldError]:
    faults: list[FieldError] = []
    for key in ("plural", "singular", "kind", "listKind"):
        value = given.get(key) or ""
        if not value:
            faults.append(required(f"{path}.{key}"))
            continue
        faults += invalid_all(f"{path}.{key}", value, names.is_dns1035_label(value.lower()))
    for key in ("shortNames", "categories"):
        for index, value in enumerate(given.get(key) or ()):
            faults += invalid_all(f"{path}.{key}[{index}]", value, names.is_dns1035_label(value))
    if given.get("kind") and given.get("kind") == given.get("listKind"):
        text = "kind and listKind may not be the same"
        faults.append(invalid(f"{path}.listKind", given["listKind"], text))
    return faults


def _conversion(conversion: Object, path: str) -> list[FieldError]:
    strategy, webhook = conversion.get("strategy"), conversion.get("webhook")
    faults = one_of(strategy, f"{path}.strategy", ("None", "Webhook"))
    if strategy != "Webhook":
        if webhook is not None:
            text = "should not be set when strategy is not set to Webhook"
            faults.append(forbidden(f"{path}.webhook", text))
        return faults
    if not isinstance(webhook, dict) or not isinstance(webhook.get("clientConfig"), dict):
        text = "required when strategy is set to Webhook"
        return [*faults, required(f"{path}.webhookClientConfig", text)]
    client = webhook["clientConfig"]
    if bool(client.get("url")) == bool(client.get("service")):
        text = "exactly one of url or service is required"
        faults.append(required(f"{path}.webhookClientConfig", text))
    if not webhook.get("conversionReviewVersions"):
        faults.append(required(f"{path}.conversionReviewVersions"))
    return faults


def validate_new_crd(crd: Object) -> list[FieldError]:
    """Return every fault of a definition that is to be created."""
    return validate_crd(crd) + _approval(crd)


def validate_crd_update(new: Object, old: Object) -> list[FieldError]:
    """Return every fault of replacing a definition: what is established keeps its scope and names."""
    spec, before = peek(new, "spec"), peek(old, "spec")
    faults = validate_crd(new, old)
    faults += immutable("spec.group", spec.get("group"), before.get("group"))
    if any(
        condition.get("type") == "Established" and condition.get("status") == "True"
        for condition in each(old, "status", "conditions")
    ):
        faults += immutable("spec.scope", spec.get("scope"), before.get("scope"))
        kind, kind_before = (peek(part, "names").get("kind") for part in (spec, before))
        faults += immutable("spec.names.kind", kind, kind_before)
    plural, plural_before = (peek(part, "names").get("plural") for part in (spec, before))
    faults += immutable("spec.names.plural", plural, plural_before)
    present = {version.get("name") for version in each(spec, "versions")}
    for index, stored in enumerate(peek(new, "status").get("storedVersions") or ()):
        if stored not in present:
            text = (
                f"missing from spec.versions; {stored} was previously a storage version, and must remain in "
                f"spec.versions until a storage migration ensures no data remains persisted in {stored} and "
                f"removes {stored} from status.storedVersions"
            )
            faults.append(invalid(f"status.storedVersions[{index}]", stored, text))
    return faults
