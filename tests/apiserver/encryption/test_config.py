"""The configuration file: its grammar, its faults, and which rule covers what."""
# ruff: noqa: E501

from __future__ import annotations

import base64
from typing import Any

import pytest
import yaml

from tiphys.apiserver.encryption.config import BadConfiguration, parse
from tiphys.apiserver.encryption.kms import KmsSettings
from tiphys.apiserver.encryption.providers import Identity, Provider

SECRET = base64.b64encode(b"0123456789abcdef").decode()
GCM = {"aesgcm": {"keys": [{"name": "k", "secret": SECRET}]}}
IDENTITY: dict[str, Any] = {"identity": {}}


def text(*resources: Any) -> str:
    return yaml.safe_dump(
        {
            "apiVersion": "apiserver.config.k8s.io/v1",
            "kind": "EncryptionConfiguration",
            "resources": list(resources),
        }
    )


def entry(*names: str, providers: list[Any] | None = None) -> dict[str, Any]:
    return {"resources": list(names), "providers": [GCM] if providers is None else providers}


@pytest.mark.parametrize(
    ("names", "group", "plural", "covered"),
    [
        (["secrets"], "", "secrets", True),
        (["secrets"], "", "configmaps", False),
        (["secrets."], "", "secrets", True),
        (["deployments.apps"], "apps", "deployments", True),
        (["deployments.apps"], "apps", "replicasets", False),
        (["*."], "", "configmaps", True),
        (["*."], "apps", "deployments", False),
        (["*.apps"], "apps", "deployments", True),
        (["*.*"], "example.com", "widgets", True),
    ],
)
def test_what_a_rule_covers(names: list[str], group: str, plural: str, covered: bool) -> None:
    found = parse(text(entry(*names))).providers_for(group, plural)
    assert (found is not None) is covered


def test_the_first_rule_that_covers_counts() -> None:
    rules = parse(text(entry("secrets", providers=[IDENTITY]), entry("*.*")))
    secrets, pods = rules.providers_for("", "secrets"), rules.providers_for("", "pods")
    assert secrets is not None
    assert pods is not None
    assert (secrets.writer.prefix, pods.writer.prefix) == (b"", b"k8s:enc:aesgcm:v1:k:")


def test_one_resource_in_two_rules() -> None:
    rules = parse(text(entry("secrets"), entry("secrets", providers=[IDENTITY])))
    found = rules.providers_for("", "secrets")
    assert found is not None
    assert [provider.prefix for provider in found.providers] == [b"k8s:enc:aesgcm:v1:k:", b""]


def key(**fields: str) -> list[Any]:
    return [{"aesgcm": {"keys": [fields]}}]


FAULTS = {
    "nothing": ((), "resources: Required value: at least one resources is required"),
    "no resources": (
        (entry(),),
        "resources[0].resources: Required value: at least one resources[0].resources is required",
    ),
    "no providers": (
        (entry("secrets", providers=[]),),
        "resources[0].providers: Required value: at least one resources[0].providers is required",
    ),
    "star": (
        (entry("*"),),
        "resources[0].resources[0]: Invalid value: \"*\": use '*.' to encrypt all the resources from core API "
        "group or *.* to encrypt all resources",
    ),
    "capitals": (
        (entry("Secrets"),),
        'resources[0].resources[0]: Invalid value: "Secrets": resource name should not contain capital letters',
    ),
    "twice": (
        (entry("secrets", "secrets"),),
        'resources[0].resources: Invalid value: ["secrets","secrets"]: the same resource cannot be specified '
        "multiple times",
    ),
    "overlap": (
        (entry("secrets", "*."),),
        'resources[0].resources: Invalid value: ["secrets","*."]: using overlapping resources such as '
        "'secrets' and '*.' in the same resource list is not allowed as they will be masked",
    ),
    "all of everything twice": (
        (entry("*.*", "*.*"),),
        '[resources[0].resources: Invalid value: ["*.*","*.*"]: the same resource cannot be specified multiple times, '
        'resources[0].resources: Invalid value: ["*.*","*.*"]: using overlapping resources such as '
        "'secrets' and '*.' in the same resource list is not allowed as they will be masked]",
    ),
    "across groups": (
        (entry("secrets.*"),),
        'resources[0].resources[0]: Invalid value: "secrets.*": encrypting the same resource across groups is '
        "not supported",
    ),
    "no provider": (
        (entry("secrets", providers=[{}]),),
        'resources[0].providers[0]: Invalid value: "REDACTED": provider does not contain any of the expected '
        "providers: KMS, AESGCM, AESCBC, Secretbox, Identity",
    ),
    "two providers": (
        (entry("secrets", providers=[GCM | IDENTITY]),),
        'resources[0].providers[0]: Invalid value: "REDACTED": more than one provider specified in a single '
        "element, should split into different list elements",
    ),
    "two providers with faults": (
        (entry("secrets", providers=[{"kms": {"apiVersion": "v2", "name": "k"}, "aesgcm": {"keys": []}}]),),
        '[resources[0].providers[0]: Invalid value: "REDACTED": more than one provider specified in a single '
        "element, should split into different list elements, resources[0].providers[0].kms.endpoint: Invalid "
        'value: "": endpoint is a mandatory field for a kms]',
    ),
    "no keys": (
        (entry("secrets", providers=[{"aescbc": {"keys": []}}]),),
        "resources[0].providers[0].aescbc.keys: Required value: at least one keys is required",
    ),
    "key without secret": (
        (entry("secrets", providers=key(name="a")),),
        "resources[0].providers[0].aesgcm.keys[0].secret: Required value: secret is a mandatory field for a key",
    ),
    "key without name": (
        (entry("secrets", providers=key(secret=SECRET)),),
        "resources[0].providers[0].aesgcm.keys[0].name: Required value: name is a mandatory field for a key",
    ),
    "short key": (
        (entry("secrets", providers=key(name="a", secret="YWJj")),),
        'resources[0].providers[0].aesgcm.keys[0].secret: Invalid value: "REDACTED": secret is not of the '
        "expected length, got 3, expected one of [16 24 32]",
    ),
    "no base64": (
        (entry("secrets", providers=key(name="a", secret="no base64!")),),
        'resources[0].providers[0].aesgcm.keys[0].secret: Invalid value: "REDACTED": secrets must be base64 '
        "encoded",
    ),
}


@pytest.mark.parametrize(("entries", "want"), FAULTS.values(), ids=FAULTS)
def test_faults(entries: tuple[Any, ...], want: str) -> None:
    with pytest.raises(BadConfiguration) as caught:
        parse(text(*entries))
    assert str(caught.value) == f"error while parsing file: {want}"


def test_secrets_of_several_lines() -> None:
    lines = f"{SECRET[:8]}\r\n{SECRET[8:]}\n"
    found = parse(text(entry("secrets", providers=key(name="k", secret=lines)))).providers_for("", "secrets")
    same = parse(text(entry("secrets"))).providers_for("", "secrets")
    assert found is not None
    assert same is not None
    assert found.writer.open("/p", same.writer.seal("/p", b"plain")) == b"plain"


def test_every_fault_is_named_and_no_secret() -> None:
    with pytest.raises(BadConfiguration) as caught:
        parse(text(entry("*", "Pods", providers=key(secret="c2VjcmV0"))))
    said = str(caught.value)
    assert said.count("Invalid value") == 4
    assert "c2VjcmV0" not in said


@pytest.mark.parametrize(
    "bad",
    ["", "[", "a: b: c", "kind: Pod\napiVersion: v1", "- 1", "3",
     text("x"), text({"resources": 3, "providers": 4}), text(entry("secrets", providers=["x"]))],
)  # fmt: skip
def test_what_is_no_configuration(bad: str) -> None:
    with pytest.raises(BadConfiguration, match="error while parsing file"):
        parse(bad)


KMS = {"apiVersion": "v2", "name": "k", "endpoint": "unix:///k.sock"}
PLUGINS: dict[str, tuple[dict[str, Any], str]] = {
    "no name": ({"name": ""}, "kms.name: Required value: name is a mandatory field for a provider"),
    "a name in parts": ({"name": "a:b"}, 'kms.name: Invalid value: "a:b": invalid KMS provider name a:b, must not contain \':\''),
    "no endpoint": ({"endpoint": ""}, 'kms.endpoint: Invalid value: "": endpoint is a mandatory field for a kms'),
    "another endpoint": (
        {"endpoint": "tcp://x"}, 'kms.endpoint: Invalid value: "tcp://x": unsupported scheme "tcp" for KMS provider, only unix is supported',
    ),
    "another endpoint in capitals": (
        {"endpoint": "TCP://x"}, 'kms.endpoint: Invalid value: "TCP://x": unsupported scheme "tcp" for KMS provider, only unix is supported',
    ),
    "no time": ({"timeout": "0s"}, 'kms.timeout: Invalid value: "0s": timeout should be a positive value'),
    "a time that is none": ({"timeout": "soon"}, 'error decoding encryption provider configuration file "": time: invalid duration "soon"'),
    "a time before now": ({"timeout": "-90s"}, 'kms.timeout: Invalid value: "-1m30s": timeout should be a positive value'),
    "no URL": ({"endpoint": "unix://a:b:c"}, 'kms.endpoint: Invalid value: "unix://a:b:c": invalid endpoint for kms provider, error: parse "unix://a:b:c": invalid port ":c" after host'),
    "a URL of two lines": (
        {"endpoint": "unix:///foo\n.socket"},
        r'kms.endpoint: Invalid value: "unix:///foo\n.socket": invalid endpoint for kms provider, error: parse "unix:///foo\n.socket": net/url: invalid control character in URL',
    ),
    "an old one without a cache": ({"apiVersion": "v1", "cachesize": 0}, "kms.cachesize: Invalid value: 0: cachesize should be a positive value, or negative to disable"),
    "a field that there is not": ({"pandas": 1}, 'strict decoding error: unknown field "resources[0].providers[0].kms.pandas"'),
    "a cache": ({"cachesize": 5}, "kms.cachesize: Invalid value: 5: cachesize is not supported in v2"),
    "another version": (
        {"apiVersion": "v3"}, 'kms.apiVersion: Invalid value: "v3": unsupported apiVersion apiVersion for KMS provider, only v1 and v2 are supported',
    ),
    "the old version": ({"apiVersion": "v1"}, "^error while building transformers: KMSv1 is deprecated"),
    "the old version by default": ({"apiVersion": None}, "KMSv1 is deprecated"),
}  # fmt: skip


@pytest.mark.parametrize(("differs", "fault"), PLUGINS.values(), ids=PLUGINS)
def test_plugins(differs: dict[str, Any], fault: str) -> None:
    with pytest.raises(BadConfiguration) as caught:
        parse(text(entry("secrets", providers=[{"kms": {**KMS, **differs}}])))
    said = str(caught.value)
    assert said.startswith(fault[1:]) if fault.startswith("^") else fault in said


def test_plugins_have_names_of_their_own() -> None:
    with pytest.raises(BadConfiguration, match="duplicate KMS provider name k, names must be unique"):
        parse(text(entry("secrets", providers=[{"kms": KMS}]), entry("configmaps", providers=[{"kms": KMS}])))


@pytest.mark.parametrize(("given", "seconds"), [(None, 3.0), ("500ms", 0.5), ("1m30s", 90.0)])
def test_how_a_plugin_is_made(given: str | None, seconds: float) -> None:
    made: list[KmsSettings] = []

    def make(settings: KmsSettings) -> Provider:
        made.append(settings)
        return Identity()

    parse(text(entry("secrets", providers=[{"kms": {**KMS, "timeout": given}}])), make)
    assert made == [KmsSettings("k", "unix:///k.sock", seconds)]


def test_the_kind_that_early_documents_named() -> None:
    named = text(entry("secrets")).replace("apiserver.config.k8s.io/v1", "v1")
    assert parse(named.replace("EncryptionConfiguration", "EncryptionConfig")).rules
    with pytest.raises(
        BadConfiguration, match='no kind "EncryptionConfiguration" is registered for version "v1"'
    ):
        parse(named)


@pytest.mark.parametrize(
    ("given", "want"),
    [
        ("", 'error while loading file: encryption provider configuration file "F" is empty'),
        ("apiVersion: v1", "Object 'Kind' is missing"),
        ("kind: EncryptionConfig", "Object 'apiVersion' is missing"),
        (f"kind: {SECRET}\n  {SECRET}: [", "yaml: line 2: mapping values are not allowed in this context"),
    ],
)
def test_what_cannot_be_read_is_not_quoted(given: str, want: str) -> None:
    with pytest.raises(BadConfiguration) as caught:
        parse(given, file="F")
    decoding = "" if not given else 'error decoding encryption provider configuration file "F": '
    assert str(caught.value) == f"error while parsing file: {decoding}{want}"


@pytest.mark.parametrize(
    ("earlier", "resource", "rule"),
    [
        ("*.", "secrets", "*."), ("*.apps", "deployments.apps", "*.apps"), ("*.*", "secrets", "*.*"),
        ("*.", "secrets.", "*."),
        ("*.*", "*.apps", "*.*"), ("*.apps", "*.apps", "*.apps"), ("*.", "deployments.apps", ""),
        ("secrets", "secrets", ""), ("secrets", "*.", ""), ("*.apps", "*.*", ""),
    ],
)  # fmt: skip
def test_rules_that_earlier_ones_cover(earlier: str, resource: str, rule: str) -> None:
    written = text(entry(earlier), entry(resource, providers=[IDENTITY]))
    if not rule:
        assert len(parse(written).rules) == 2
        return
    with pytest.raises(BadConfiguration) as caught:
        parse(written)
    want = f'error while building transformers: resource "{resource.removesuffix(".")}" is masked by earlier rule "{rule}"'
    assert str(caught.value) == want


def test_secretbox_takes_keys_of_one_length() -> None:
    keys = [{"name": "k", "secret": SECRET}]
    with pytest.raises(BadConfiguration, match=r"got 16, expected one of \[32\]"):
        parse(text(entry("secrets", providers=[{"secretbox": {"keys": keys}}])))
