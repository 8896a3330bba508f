"""Rules of the parts of a CustomResourceDefinition that are no schema: names, columns, fields, conversion.

Called by ``validation``, which knows where each part stands.

Source: apiextensions.k8s.io/v1 CustomResourceDefinition.
"""

from __future__ import annotations

import base64
import binascii
from contextlib import suppress
from urllib.parse import urlsplit

from tiphys.apimachinery import names
from tiphys.apimachinery.errors import FieldError
from tiphys.apimachinery.field_errors import (
    duplicate,
    forbidden,
    invalid,
    required,
    too_many,
)
from tiphys.apimachinery.meta import Object
from tiphys.apimachinery.schema.build import build_custom
from tiphys.apimachinery.schema.node import Schema
from tiphys.apis.admissionregistration.client_config import client_config_faults
from tiphys.apis.apiextensions.field_paths import follow
from tiphys.apis.certificates.pem import NO_PEM, authority_fault
from tiphys.apis.defaulting import each, peek
from tiphys.apis.value_validation import one_of

_MAX_SELECTABLE = 8
_MAX_WARNING = 256
_COLUMN_TYPES = ("boolean", "date", "integer", "number", "string")
_COLUMN_FORMATS = ("byte", "date", "date-time", "double", "float", "int32", "int64", "password")
_REVIEWS = ("v1", "v1beta1")
_PROTECTED = ("k8s.io", "kubernetes.io")
_APPROVED = "api-approved.kubernetes.io"
_APPROVAL_PAGE = "https://github.com/kubernetes/enhancements/pull/1111"


def label_faults(path: str, value: str, *, of: str | None = None, hint: str = "") -> list[FieldError]:
    """All that is wrong with a label is told in one fault; ``of`` is looked at instead of the value."""
    texts = names.is_dns1035_label(value if of is None else of)
    return [invalid(path, value, hint + ",".join(texts))] if texts else []


def group_faults(group: str, path: str) -> list[FieldError]:
    """The group is a domain with a dot."""
    if not group:
        return [required(path)]
    if texts := names.is_dns1123_subdomain(group):
        return [invalid(path, group, ",".join(texts))]
    return [] if "." in group else [invalid(path, group, "should be a domain with at least one dot")]


def required_names(given: Object, path: str) -> list[FieldError]:
    """A definition has names that its status may still lack."""
    keys = ("plural", "singular", "kind", "listKind")
    return [required(f"{path}.{key}") for key in keys if not given.get(key)]


def names_faults(given: Object, path: str) -> list[FieldError]:
    """Return every fault of names, wanted or accepted."""
    faults: list[FieldError] = []
    for key in ("plural", "singular"):
        if value := given.get(key):
            faults += label_faults(f"{path}.{key}", value)
    hint = "may have mixed case, but should otherwise match: "
    for key in ("kind", "listKind"):
        if value := given.get(key):
            faults += label_faults(f"{path}.{key}", value, of=value.lower(), hint=hint)
    for index, value in enumerate(given.get("shortNames") or ()):
        faults += label_faults(f"{path}.shortNames[{index}]", value)
    if given.get("kind") and given.get("kind") == given.get("listKind"):
        faults.append(invalid(f"{path}.listKind", given["listKind"], "kind and listKind may not be the same"))
    for index, value in enumerate(given.get("categories") or ()):
        faults += label_faults(f"{path}.categories[{index}]", value)
    return faults


def deprecation_faults(version: Object, path: str) -> list[FieldError]:
    """Only a deprecated version warns, in one printable line."""
    text = version.get("deprecationWarning")
    if text is None:
        return []
    if not version.get("deprecated"):
        return [invalid(path, text, "can only be set for deprecated versions")]
    texts: list[str] = []
    if len(text.encode()) > _MAX_WARNING:
        texts.append(f"must be <= {_MAX_WARNING} characters long")
    if not text:
        texts.append("must not be an empty string")
    for index, char in enumerate(text):
        if not char.isprintable():
            at = len(text[:index].encode())
            texts.append(
                f"must only contain printable UTF-8 characters; non-printable character found at index {at}"
            )
            break
    return [invalid(path, text, one) for one in texts]


def _simple_path(text: str, path: str) -> list[FieldError]:
    if not text.startswith("."):
        return [invalid(path, text, "must be a simple json path starting with .")]
    return []


def scale_faults(scale: Object | None, path: str) -> list[FieldError]:
    """Return every fault of where a custom resource keeps what its Scale shows."""
    if scale is None:
        return []
    faults: list[FieldError] = []
    for key, root in (("specReplicasPath", ".spec."), ("statusReplicasPath", ".status.")):
        value, at = scale.get(key) or "", f"{path}.{key}"
        if not value:
            faults.append(required(at))
        else:
            faults += _simple_path(value, at) or _below(value, at, (root,), root.removesuffix("."))
    selector, at = scale.get("labelSelectorPath"), f"{path}.labelSelectorPath"
    if selector:
        roots = (".spec.", ".status.")
        faults += _simple_path(selector, at) or _below(selector, at, roots, "either .spec or .status")
    return faults


def _below(value: str, path: str, roots: tuple[str, ...], where: str) -> list[FieldError]:
    return [] if value.startswith(roots) else [invalid(path, value, f"should be a json path under {where}")]


def column_faults(column: Object, path: str) -> list[FieldError]:
    """Return every fault of a column of tables."""
    faults = [] if column.get("name") else [required(f"{path}.name")]
    type_, format_, source = (column.get(key) or "" for key in ("type", "format", "jsonPath"))
    text = f"must be one of {','.join(_COLUMN_TYPES)}"
    if not type_:
        faults.append(required(f"{path}.type", text))
    elif type_ not in _COLUMN_TYPES:
        faults.append(invalid(f"{path}.type", type_, text))
    if format_ and format_ not in _COLUMN_FORMATS:
        text = f"must be one of {','.join(_COLUMN_FORMATS)}"
        faults.append(invalid(f"{path}.format", format_, text))
    if not source:
        return [*faults, required(f"{path}.JSONPath")]
    return faults + _simple_path(source, f"{path}.JSONPath")


def selectable_faults(fields: list[Object], schema: Object, path: str) -> list[FieldError]:
    """Selectable fields lead to texts, numbers and booleans of the schema, eight at most."""
    faults: list[FieldError] = []
    seen: set[tuple[str, ...]] = set()
    whole = build_custom(schema) if fields else Schema()
    for index, field in enumerate(fields):
        place, text = f"{path}[{index}].jsonPath", field.get("jsonPath") or ""
        if not text:
            faults.append(required(place))
            continue
        try:
            steps, node = follow(text, whole, brackets=False)
        except ValueError as why:
            faults.append(invalid(place, text, f"is an invalid path: {why}"))
            continue
        if steps[0] == ".metadata":
            faults.append(invalid(place, text, "must not point to fields in metadata"))
        if node.type not in ("string", "integer", "boolean"):
            detail = (
                "must point to a field of type string, boolean or integer. Enum string fields and strings "
                "with formats are allowed."
            )
            faults.append(invalid(place, text, detail))
        if steps in seen:
            faults.append(duplicate(place, text))
        seen.add(steps)
    if len(seen) > _MAX_SELECTABLE:
        faults.append(too_many(path, len(seen), _MAX_SELECTABLE))
    return faults


def conversion_faults(
    conversion: Object, path: str, old: Object | None = None, *, authority: bool = False
) -> list[FieldError]:
    """Return every fault of how versions become one another; ``old`` may have had versions unknown here.

    The authority is looked at where it must be one.
    """
    strategy, webhook = conversion.get("strategy"), conversion.get("webhook")
    faults = one_of(strategy, f"{path}.strategy", ("None", "Webhook"))
    if strategy != "Webhook":
        text = "should not be set when strategy is not set to Webhook"
        if webhook is not None and webhook.get("clientConfig") is not None:
            faults.append(forbidden(f"{path}.webhookClientConfig", text))
        if (webhook or {}).get("conversionReviewVersions"):
            faults.append(forbidden(f"{path}.conversionReviewVersions", text))
        return faults
    at, webhook = f"{path}.webhookClientConfig", webhook or {}
    client = webhook.get("clientConfig")
    if not isinstance(client, dict):
        faults.append(required(at, "required when strategy is set to Webhook"))
    else:
        faults += client_config_faults(client, at)
        faults += authority_faults(conversion, path) if authority else []
    return faults + _reviews(webhook, old or {}, f"{path}.conversionReviewVersions")


def _reviews(webhook: Object, old: Object, path: str) -> list[FieldError]:
    versions: list[str] = list(webhook.get("conversionReviewVersions") or ())
    if not versions:
        return [required(path)]
    faults: list[FieldError] = []
    for index, version in enumerate(versions):
        at = f"{path}[{index}]"
        if version in versions[:index]:
            faults.append(invalid(at, version, "duplicate version"))
        else:
            faults += [invalid(at, version, text) for text in names.is_dns1035_label(version)]
    before = peek(old, "webhook").get("conversionReviewVersions") or ()
    tolerated = bool(before) and not set(before) & set(_REVIEWS)
    if not tolerated and not set(versions) & set(_REVIEWS):
        text = f"must include at least one of {', '.join(_REVIEWS)}"
        faults.append(invalid(path, versions, text))
    return faults


def authority_faults(conversion: Object, path: str) -> list[FieldError]:
    """Among the authorities that a conversion webhook is held to is a certificate."""
    bundle = peek(conversion, "webhook", "clientConfig").get("caBundle")
    if conversion.get("strategy") != "Webhook" or not bundle:
        return []
    try:
        why = authority_fault(base64.b64decode(bundle).decode("latin-1"))
    except binascii.Error:
        why = NO_PEM
    text = f"unable to load root certificates: {why}"
    return [invalid(f"{path}.webhookClientConfig.caBundle", bundle, text)] if why else []


def is_protected(group: str) -> bool:
    """Tell whether a group belongs to the Kubernetes community."""
    return any(group == suffix or group.endswith(f".{suffix}") for suffix in _PROTECTED)


def approval(crd: Object) -> tuple[str, str]:
    """Return whether an API is Approved, Unapproved, its approval Missing or Invalid, and why."""
    text = peek(crd, "metadata", "annotations").get(_APPROVED) or ""
    lead = f'protected groups must have approval annotation "{_APPROVED}"'
    if not text:
        return "Missing", f"{lead}, see {_APPROVAL_PAGE}"
    if text.startswith("unapproved"):
        return "Unapproved", f'not approved: "{text}"'
    with suppress(ValueError):  # it is no URL
        parts = urlsplit(text)
        if parts.scheme and parts.netloc:
            return "Approved", f"approved in {text}"
    why = 'with either a URL or a reason starting with "unapproved"'
    return "Invalid", f"{lead} {why}, see {_APPROVAL_PAGE}"


def approval_faults(crd: Object, old: Object | None = None) -> list[FieldError]:
    """Groups of the community need a word that the API was approved; what stood before may stay."""
    if not is_protected(peek(crd, "spec").get("group") or ""):
        return []
    state, why = approval(crd)
    if old is not None and approval(old)[0] == state:
        return []
    place = f"metadata.annotations[{_APPROVED}]"
    if state == "Missing":
        return [required(place, why)]
    if state == "Invalid":
        return [invalid(place, peek(crd, "metadata", "annotations")[_APPROVED], why)]
    return []


def stored_faults(crd: Object, path: str) -> list[FieldError]:
    """Every version that objects may be kept in stays, the one that they are kept in now is among them."""
    stored: list[str] = list(peek(crd, "status").get("storedVersions") or ())
    if not stored:
        shown = peek(crd, "status").get("storedVersions")
        return [invalid(path, shown, "must have at least one stored version")]
    places = {name: index for index, name in enumerate(stored)}
    faults: list[FieldError] = []
    for version in each(crd, "spec", "versions"):
        name = version.get("name") or ""
        if places.pop(name, None) is None and version.get("storage"):
            faults.append(invalid(path, stored, f"must have the storage version {name}"))
    for name, index in places.items():
        text = (
            f"missing from spec.versions; {name} was previously a storage version, and must remain in "
            f"spec.versions until a storage migration ensures no data remains persisted in {name} and "
            f"removes {name} from status.storedVersions"
        )
        faults.append(invalid(f"{path}[{index}]", name, text))
    return faults
