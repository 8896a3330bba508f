"""Rows of what extends the API: custom resources, aggregated APIs, webhooks and admission policies."""

from __future__ import annotations

from datetime import datetime

from tiphys.apimachinery.go_text import label_selector
from tiphys.apimachinery.meta import Object
from tiphys.apis.defaulting import each, peek
from tiphys.apis.printers.base import (
    AGE,
    CREATED,
    NAME,
    UNSET,
    Cells,
    Printer,
    RowOf,
    Rows,
    age_of,
    column,
    condition_of,
    integer,
    limited,
    name_of,
)

_MIGRATION_STATES = ("Running", "Succeeded", "Failed")
_GROUP = "admissionregistration.k8s.io"


def api_service_row(obj: Object, now: datetime) -> Cells:
    service = peek(obj, "spec", "service")
    available = condition_of(obj, "Available")
    status = str(available.get("status") or "Unknown")
    if status != "True" and available.get("reason"):
        status = f"{status} ({available['reason']})"
    return [
        name_of(obj),
        f"{service.get('namespace')}/{service.get('name')}" if service else "Local",
        status,
        age_of(obj, now),
    ]


def webhooks_row(obj: Object, now: datetime) -> Cells:
    return [name_of(obj), len(list(each(obj, "webhooks"))), age_of(obj, now)]


def _policy_row(rules: str) -> RowOf:
    def row(obj: Object, now: datetime) -> Cells:
        kind = peek(obj, "spec", "paramKind")
        shown = f"{kind.get('apiVersion')}/{kind.get('kind')}" if kind else UNSET
        return [name_of(obj), len(list(each(obj, "spec", rules))), shown, age_of(obj, now)]

    return row


def policy_binding_row(obj: Object, now: datetime) -> Cells:
    spec = peek(obj, "spec")
    reference = peek(spec, "paramRef")
    shown = UNSET
    if reference.get("name"):
        shown = f"{reference.get('namespace') or '*'}/{reference['name']}"
    elif reference.get("selector") is not None:
        shown = label_selector(reference["selector"])
    return [name_of(obj), spec.get("policyName") or "", shown, age_of(obj, now)]


_WEBHOOKS = Printer((NAME, integer("Webhooks", "How many webhooks are asked."), AGE), webhooks_row)
_PARAM_KIND = column("ParamKind", "The kind of its parameters.")
_POLICY_BINDING = Printer(
    (
        NAME,
        column("PolicyName", "The policy that is put in force."),
        column("ParamRef", "Its parameters."),
        AGE,
    ),
    policy_binding_row,
)


def storage_version_row(obj: Object, now: datetime) -> Cells:
    status = peek(obj, "status")
    common = status.get("commonEncodingVersion")
    shown = [
        f"{entry.get('apiServerID')}={entry.get('encodingVersion')}"
        for entry in each(status, "storageVersions")
    ]
    return [
        name_of(obj),
        UNSET if common is None else common,
        limited(shown, 3, empty=UNSET),
        age_of(obj, now),
    ]


def migration_row(obj: Object, _now: datetime) -> Cells:
    """The core group has no name, which leaves the dot alone at the end."""
    of = peek(obj, "spec", "resource")
    states = ["Unknown"] + [
        str(condition["type"])
        for condition in each(obj, "status", "conditions")
        if condition.get("status") == "True" and condition.get("type") in _MIGRATION_STATES
    ]
    return [name_of(obj), f"{of.get('resource') or ''}.{of.get('group') or ''}", states[-1]]


PRINTERS: Rows = {
    ("internal.apiserver.k8s.io", "StorageVersion"): Printer(
        (
            NAME,
            column("CommonEncodingVersion", "The version that all servers store in."),
            column("StorageVersions", "What each server stores in."),
            AGE,
        ),
        storage_version_row,
    ),
    ("storagemigration.k8s.io", "StorageVersionMigration"): Printer(
        (
            NAME | {"format": ""},
            column("Resource", "What is rewritten."),
            column("Status", "What has become of it."),
        ),
        migration_row,
    ),
    ("apiextensions.k8s.io", "CustomResourceDefinition"): CREATED,
    ("apiregistration.k8s.io", "APIService"): Printer(
        (
            NAME,
            column("Service", "The service that answers."),
            column("Available", "Whether it does."),
            AGE,
        ),
        api_service_row,
    ),
    (_GROUP, "ValidatingWebhookConfiguration"): _WEBHOOKS,
    (_GROUP, "MutatingWebhookConfiguration"): _WEBHOOKS,
    (_GROUP, "ValidatingAdmissionPolicy"): Printer(
        (NAME, integer("Validations", "How many rules it has."), _PARAM_KIND, AGE), _policy_row("validations")
    ),
    (_GROUP, "MutatingAdmissionPolicy"): Printer(
        (NAME, integer("Mutations", "How many changes it makes."), _PARAM_KIND, AGE), _policy_row("mutations")
    ),
    (_GROUP, "ValidatingAdmissionPolicyBinding"): _POLICY_BINDING,
    (_GROUP, "MutatingAdmissionPolicyBinding"): _POLICY_BINDING,
}
