"""Rules of definitions beyond their schemas: names, versions, columns, fields, conversion, approval, status."""

# ruff: noqa: E501

from __future__ import annotations

import base64
from typing import Any

import pytest

from tiphys.apimachinery.meta import GVK, copy_object
from tiphys.apis.strategies import strategy_for

CRD = strategy_for(GVK("apiextensions.k8s.io", "v1", "CustomResourceDefinition"))
SCHEMA = {
    "type": "object",
    "properties": {
        "spec": {
            "type": "object",
            "properties": {"a": {"type": "string"}, "list": {"type": "array", "items": {"type": "string"}}},
        }
    },
}
VERSION = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": SCHEMA}}
NAMES = {"plural": "foos", "singular": "foo", "kind": "Foo", "listKind": "FooList"}
APPROVED = "api-approved.kubernetes.io"
PAGE = "https://github.com/kubernetes/enhancements/pull/1111"
LABEL = (
    "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, "
    "and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is "
    "'[a-z]([-a-z0-9]*[a-z0-9])?')"
)
CONVERSION = "spec.conversion"


def crd(*versions: dict[str, Any], annotations: Any = None, **spec: Any) -> dict[str, Any]:
    group = spec.get("group", "a.example")
    plural = spec.get("names", NAMES).get("plural", "")
    obj = {
        "metadata": {"name": f"{plural}.{group}", "annotations": annotations or {}},
        "spec": {
            "group": group,
            "scope": "Namespaced",
            "names": NAMES,
            "versions": list(versions or (VERSION,)),
            "conversion": {"strategy": "None"},
            **spec,
        },
    }
    CRD.prepare_create(obj)
    return obj


def version(**parts: Any) -> dict[str, Any]:
    return {**VERSION, **parts}


def hook(reviews: Any = ("v1",), **client: Any) -> dict[str, Any]:
    webhook = {"clientConfig": client or {"url": "https://a.b"}, "conversionReviewVersions": list(reviews)}
    return crd(conversion={"strategy": "Webhook", "webhook": webhook})


def scale(**paths: str) -> dict[str, Any]:
    whole = {"specReplicasPath": ".spec.r", "statusReplicasPath": ".status.r", **paths}
    return crd(version(subresources={"scale": whole}))


def fields(*paths: str) -> dict[str, Any]:
    return crd(version(selectableFields=[{"jsonPath": path} for path in paths]))


def column(**parts: str) -> dict[str, Any]:
    whole = {"name": "A", "type": "string", "jsonPath": ".spec.a", **parts}
    return crd(version(additionalPrinterColumns=[whole]))


CASES: dict[str, tuple[dict[str, Any], list[str]]] = {
    "one": (crd(), []),
    "no group": (
        crd(group=""),
        ["spec.group: Required value"],
    ),
    "names that are missing": (
        crd(names={"plural": "foos"}),
        [f"spec.names.{key}: Required value" for key in ("singular", "kind", "listKind")],
    ),
    "names that are odd": (
        crd(names={**NAMES, "singular": "F", "kind": "Foo_", "shortNames": ["1"], "categories": ["a b"]}),
        [
            f'spec.names.singular: Invalid value: "F": {LABEL}',
            f'spec.names.kind: Invalid value: "Foo_": may have mixed case, but should otherwise match: {LABEL}',
            f'spec.names.shortNames[0]: Invalid value: "1": {LABEL}',
            f'spec.names.categories[0]: Invalid value: "a b": {LABEL}',
        ],
    ),
    "a list like its items": (
        crd(names={**NAMES, "listKind": "Foo"}),
        ['spec.names.listKind: Invalid value: "Foo": kind and listKind may not be the same'],
    ),
    "two stored": (
        crd(VERSION, version(name="v2")),
        [
            'spec.versions: Invalid value: [{"Name":"v1","Served":true,"Storage":true,"Deprecated":false,"DeprecationWarning":null,"Schema":null,"Subresources":null,"AdditionalPrinterColumns":null,"SelectableFields":null},'
            '{"Name":"v2","Served":true,"Storage":true,"Deprecated":false,"DeprecationWarning":null,"Schema":null,"Subresources":null,"AdditionalPrinterColumns":null,"SelectableFields":null}]: must have exactly one version marked as storage version',
            'status.storedVersions: Invalid value: ["v1"]: must have the storage version v2',
        ],
    ),
    "none stored": (
        crd(version(storage=False)),
        [
            'spec.versions: Invalid value: [{"Name":"v1","Served":true,"Storage":false,"Deprecated":false,"DeprecationWarning":null,"Schema":null,"Subresources":null,"AdditionalPrinterColumns":null,"SelectableFields":null}]: must have exactly one version marked as storage version',
            "status.storedVersions: Invalid value: null: must have at least one stored version",
        ],
    ),
    "a conversion of no kind": (
        crd(conversion={"webhook": {"conversionReviewVersions": ["v1"]}}),
        [
            f"{CONVERSION}.strategy: Required value",
            f"{CONVERSION}.conversionReviewVersions: Forbidden: should not be set when strategy is not set to Webhook",
        ],
    ),
    "a warning without reason": (
        crd(version(deprecationWarning="old")),
        [
            'spec.versions[0].deprecationWarning: Invalid value: "old": can only be set for deprecated versions'
        ],
    ),
    "an empty warning": (
        crd(version(deprecated=True, deprecationWarning="")),
        ['spec.versions[0].deprecationWarning: Invalid value: "": must not be an empty string'],
    ),
    "a warning in lines": (
        crd(version(deprecated=True, deprecationWarning="é\nb")),
        [
            'spec.versions[0].deprecationWarning: Invalid value: "é\\nb": must only contain printable UTF-8 characters; non-printable character found at index 2'
        ],
    ),
    "a scale elsewhere": (
        scale(specReplicasPath=".status.r", statusReplicasPath="x", labelSelectorPath=".metadata.l"),
        [
            'spec.subresources.scale.specReplicasPath: Invalid value: ".status.r": should be a json path under .spec',
            'spec.subresources.scale.statusReplicasPath: Invalid value: "x": must be a simple json path starting with .',
            'spec.subresources.scale.labelSelectorPath: Invalid value: ".metadata.l": should be a json path under either .spec or .status',
        ],
    ),
    "no scale at all": (
        scale(specReplicasPath=""),
        ["spec.subresources.scale.specReplicasPath: Required value"],
    ),
    "a column of nothing": (
        column(type="", jsonPath=""),
        [
            "spec.additionalPrinterColumns[0].type: Required value: must be one of boolean,date,integer,number,string",
            "spec.additionalPrinterColumns[0].JSONPath: Required value",
        ],
    ),
    "a column of another kind": (
        column(type="text", format="int", jsonPath="spec.a"),
        [
            'spec.additionalPrinterColumns[0].type: Invalid value: "text": must be one of boolean,date,integer,number,string',
            'spec.additionalPrinterColumns[0].format: Invalid value: "int": must be one of byte,date,date-time,double,float,int32,int64,password',
            'spec.additionalPrinterColumns[0].JSONPath: Invalid value: "spec.a": must be a simple json path starting with .',
        ],
    ),
    "a column of one version": (
        crd(VERSION, version(name="v2", storage=False, additionalPrinterColumns=[{"name": "A"}])),
        [
            "spec.versions[1].additionalPrinterColumns[0].type: Required value: must be one of boolean,date,integer,number,string",
            "spec.versions[1].additionalPrinterColumns[0].JSONPath: Required value",
        ],
    ),
    "fields to select by": (fields(".spec.a"), []),
    "fields that are none": (
        fields("", ".metadata.name", ".spec.b", ".spec.list", ".spec.a", ".spec.a"),
        [
            "spec.selectableFields[0].jsonPath: Required value",
            'spec.selectableFields[1].jsonPath: Invalid value: ".metadata.name": is an invalid path: does not refer to a valid field',
            'spec.selectableFields[2].jsonPath: Invalid value: ".spec.b": is an invalid path: does not refer to a valid field',
            'spec.selectableFields[3].jsonPath: Invalid value: ".spec.list": must point to a field of type string, boolean or integer. Enum string fields and strings with formats are allowed.',
            'spec.selectableFields[5].jsonPath: Duplicate value: ".spec.a"',
        ],
    ),
    "paths of fields that are none": (
        fields("spec.a", ".spec['a']", ".spec.", ".spec.a.b"),
        [
            'spec.selectableFields[0].jsonPath: Invalid value: "spec.a": is an invalid path: expected [ or . but got: spec',
            "spec.selectableFields[1].jsonPath: Invalid value: \".spec['a']\": is an invalid path: array notation is not allowed",
            'spec.selectableFields[2].jsonPath: Invalid value: ".spec.": is an invalid path: unexpected end of JSON path',
            'spec.selectableFields[3].jsonPath: Invalid value: ".spec.a.b": is an invalid path: does not refer to a valid field',
        ],
    ),
    "a name that is told of": (
        crd(
            version(
                schema={
                    "openAPIV3Schema": {
                        "type": "object",
                        "properties": {
                            "metadata": {"type": "object", "properties": {"name": {"type": "string"}}}
                        },
                    }
                },
                selectableFields=[{"jsonPath": ".metadata.name"}],
            )
        ),
        [
            'spec.selectableFields[0].jsonPath: Invalid value: ".metadata.name": must not point to fields in metadata'
        ],
    ),
    "a hook": (hook(), []),
    "a hook that is none": (
        crd(
            conversion={
                "strategy": "None",
                "webhook": {"clientConfig": {}, "conversionReviewVersions": ["v1"]},
            }
        ),
        [
            f"{CONVERSION}.webhookClientConfig: Forbidden: should not be set when strategy is not set to Webhook",
            f"{CONVERSION}.conversionReviewVersions: Forbidden: should not be set when strategy is not set to Webhook",
        ],
    ),
    "a hook that nobody can reach": (
        hook(url="http://a.b"),
        [
            f"{CONVERSION}.webhookClientConfig.url: Invalid value: \"http\": 'https' is the only allowed URL scheme; desired format: https://host[/path]"
        ],
    ),
    "a hook's service": (
        hook(service={"name": "s", "namespace": "n", "port": 0}),
        [
            f"{CONVERSION}.webhookClientConfig.service.port: Invalid value: 0: port is not valid: must be between 1 and 65535, inclusive"
        ],
    ),
    "reviews that nobody knows": (
        hook(reviews=("v9", "v9", "V")),
        [
            f'{CONVERSION}.conversionReviewVersions[1]: Invalid value: "v9": duplicate version',
            f'{CONVERSION}.conversionReviewVersions[2]: Invalid value: "V": {LABEL}',
            f'{CONVERSION}.conversionReviewVersions: Invalid value: ["v9","v9","V"]: must include at least one of v1, v1beta1',
        ],
    ),
    "unapproved": (
        crd(group="a.k8s.io"),
        [
            f'metadata.annotations[{APPROVED}]: Required value: protected groups must have approval annotation "{APPROVED}", see {PAGE}'
        ],
    ),
    "approved by a word": (
        crd(group="a.k8s.io", annotations={APPROVED: "yes"}),
        [
            f'metadata.annotations[{APPROVED}]: Invalid value: "yes": protected groups must have approval annotation "{APPROVED}" with either a URL or a reason starting with "unapproved", see {PAGE}'
        ],
    ),
    "approved by a page": (crd(group="a.k8s.io", annotations={APPROVED: "http://a.b/c"}), []),
    "keeps what it does not know": (
        crd(preserveUnknownFields=True),
        [
            "spec.preserveUnknownFields: Invalid value: true: cannot set to true, set x-kubernetes-preserve-unknown-fields to true in spec.versions[*].schema instead"
        ],
    ),
    "defaults beside what it does not know": (
        crd(
            version(schema={"openAPIV3Schema": {**SCHEMA, "default": {}}}),
            preserveUnknownFields=True,
            conversion={
                "strategy": "Webhook",
                "webhook": {"clientConfig": {"url": "https://a.b"}, "conversionReviewVersions": ["v1"]},
            },
        ),
        [
            "spec.preserveUnknownFields: Invalid value: true: must be false in order to use defaults in the schema",
            'spec.conversion.strategy: Invalid value: "Webhook": must be None if spec.preserveUnknownFields is true',
            "spec.preserveUnknownFields: Invalid value: true: cannot set to true, set x-kubernetes-preserve-unknown-fields to true in spec.versions[*].schema instead",
        ],
    ),
    "a first version that is no label": (
        crd(version(name="V")),
        [f'{place}: Invalid value: "V": {LABEL}' for place in ("spec.versions[0].name", "spec.version")],
    ),
}


@pytest.mark.parametrize(("obj", "expected"), CASES.values(), ids=CASES)
def test_new(obj: dict[str, Any], expected: list[str]) -> None:
    assert [str(fault) for fault in CRD.validate(obj)] == expected


def changed(old: dict[str, Any], established: bool = False, **spec: Any) -> tuple[Any, Any]:
    old = copy_object(old)
    if established:
        old["status"]["conditions"] = [{"type": "Established", "status": "True"}]
    new = copy_object(old)
    new["spec"].update(spec)
    return new, old


def replaced(new: Any, old: Any) -> list[str]:
    return [str(fault) for fault in CRD.validate_update(new, old)]


def test_scope_may_change_until_a_definition_is_established() -> None:
    assert replaced(*changed(crd(), scope="Cluster")) == []
    assert replaced(*changed(crd(), established=True, scope="Cluster")) == [
        'spec.scope: Invalid value: "Cluster": field is immutable'
    ]


def test_an_approval_that_was_missing_may_stay_missing() -> None:
    old = crd(group="a.k8s.io")
    assert replaced(*changed(old)) == []
    new, _ = changed(old)
    new["metadata"]["annotations"] = {APPROVED: "yes"}
    assert [text.partition(":")[0] for text in replaced(new, old)] == [f"metadata.annotations[{APPROVED}]"]


def test_reviews_that_were_unknown_may_stay() -> None:
    assert replaced(*changed(hook(reviews=("v9",)))) == []


def test_unknown_fields_that_were_kept_may_be_kept() -> None:
    assert replaced(*changed(crd(preserveUnknownFields=True))) == []


def schema(**field: Any) -> dict[str, Any]:
    return {"openAPIV3Schema": {"type": "object", "properties": {"foo": field}}}


PLACE = "spec.validation.openAPIV3Schema"
UNTYPED = f"{PLACE}.properties[foo].type: Required value: must not be empty for specified object fields"
TYPED, LOOSE = schema(type="integer"), schema(description="of no type")
STRUCTURES: dict[str, tuple[Any, Any, bool, list[str]]] = {
    "from a structure to none": (TYPED, LOOSE, True, [UNTYPED]),
    "from no schema to no structure": (None, LOOSE, True, [UNTYPED]),
    "from none to none": (schema(), LOOSE, True, []),
    "from one that cannot be read": (schema(id="x"), LOOSE, True, []),
    "from none to none, without unknown fields": (schema(), LOOSE, False, [UNTYPED]),
    "from none to none, with a default": (
        schema(), schema(default=1), True,
        ["spec.preserveUnknownFields: Invalid value: true: must be false in order to use defaults in the schema", UNTYPED],
    ),
    "from none to none, with a rule": (schema(), schema(**{"x-kubernetes-validations": [{"rule": "true"}]}), True, [UNTYPED]),
    "from none to another fault": (
        schema(), schema(uniqueItems=True), True,
        [f"{PLACE}.properties[foo].uniqueItems: Forbidden: uniqueItems cannot be set to true since the runtime complexity becomes quadratic"],
    ),
    "from no schema to none": (None, None, True, []),
    "from no schema to none, without unknown fields": (
        None, None, False,
        ["spec.versions[0].schema.openAPIV3Schema: Required value: because otherwise all fields are pruned"],
    ),
    "from a schema to none": (
        TYPED, None, True, ["spec.versions[0].schema.openAPIV3Schema: Required value"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", STRUCTURES)
def test_what_was_no_structure_may_stay_so(name: str) -> None:
    before, after, keeps, expected = STRUCTURES[name]
    old = crd(version(schema=before), preserveUnknownFields=True)
    new, _ = changed(old, versions=[version(schema=after)], preserveUnknownFields=keeps)
    assert replaced(new, old) == expected


def test_so_may_versions_beside_one_that_was_none() -> None:
    old = crd(
        version(schema=LOOSE), version(name="v2", storage=False, schema=TYPED), preserveUnknownFields=True
    )
    later = [version(schema=schema()), version(name="v2", storage=False, schema=LOOSE)]
    assert replaced(*changed(old, versions=later)) == []


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def block(kind: str, data: str) -> str:
    return f"-----BEGIN {kind}-----\n{encoded(data)}\n-----END {kind}-----\n"


AUTHORITIES = {
    "no certificate": "unable to parse bytes as PEM block",
    block("CERTIFICATE", "x"): "failed to parse certificate: x509: malformed certificate",
    block("KEY", "x"): "no valid certificate authority data seen",
    block("KEY", "x") + "x": "unable to parse bytes as PEM block",
}


@pytest.mark.parametrize("bundle", AUTHORITIES)
def test_authorities_are_read_once_a_definition_is_established(bundle: str) -> None:
    good, bad = hook(url="https://a.b"), encoded(bundle)
    webhook = {"clientConfig": {"url": "https://a.b", "caBundle": bad}, "conversionReviewVersions": ["V"]}
    conversion = {"strategy": "Webhook", "webhook": webhook}
    versions = [
        f'{CONVERSION}.conversionReviewVersions[0]: Invalid value: "V": {LABEL}',
        f'{CONVERSION}.conversionReviewVersions: Invalid value: ["V"]: must include at least one of v1, v1beta1',
    ]
    assert replaced(*changed(good, conversion=conversion)) == versions
    assert replaced(*changed(good, established=True, conversion=conversion)) == [
        f'{CONVERSION}.webhookClientConfig.caBundle: Invalid value: "{bad}": unable to load root certificates: '
        f"{AUTHORITIES[bundle]}",
        *versions,
    ]
    assert replaced(*changed(hook(url="https://a.b", caBundle=bad), established=True)) == []


STORED: dict[str, tuple[Any, list[str]]] = {
    "none": ([], ["status.storedVersions: Invalid value: []: must have at least one stored version"]),
    "not the one that stores": (
        ["v0"],
        [
            'status.storedVersions: Invalid value: ["v0"]: must have the storage version v1',
            'status.storedVersions[0]: Invalid value: "v0": missing from spec.versions; v0 was previously a storage version, and must remain in spec.versions until a storage migration ensures no data remains persisted in v0 and removes v0 from status.storedVersions',
        ],
    ),
    "one that is gone, twice": (
        ["v0", "v1", "v0"],
        [
            'status.storedVersions[2]: Invalid value: "v0": missing from spec.versions; v0 was previously a storage version, and must remain in spec.versions until a storage migration ensures no data remains persisted in v0 and removes v0 from status.storedVersions'
        ],
    ),
}


@pytest.mark.parametrize(("stored", "expected"), STORED.values(), ids=STORED)
def test_stored_versions(stored: Any, expected: list[str]) -> None:
    new, old = changed(crd())
    new["status"]["storedVersions"] = stored
    assert replaced(new, old) == expected


def test_names_in_the_status() -> None:
    new, old = changed(crd())
    new["status"]["acceptedNames"] = {"plural": "F"}
    found = [str(fault) for fault in CRD.validate_status_update(new, old)]
    assert found == [f'status.acceptedNames.plural: Invalid value: "F": {LABEL}']
