"""``--admission-control-config-file``: where a plugin's part stands, and what is said of faulty ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from tiphys.apiserver.admission import configuration
from tiphys.apiserver.admission.chain import OFF, PLUGINS, AdmissionChain
from tiphys.apiserver.config_files import BadConfiguration

HEAD = {"apiVersion": "apiserver.config.k8s.io/v1", "kind": "AdmissionConfiguration"}
LIMITS = {"apiVersion": "eventratelimit.admission.k8s.io/v1alpha1", "kind": "Configuration"}
SECURITY = {"apiVersion": "pod-security.admission.config.k8s.io/v1", "kind": "PodSecurityConfiguration"}
TOLERATIONS = {"apiVersion": "podtolerationrestriction.admission.k8s.io/v1alpha1", "kind": "Configuration"}
HOOKS = {"apiVersion": "apiserver.config.k8s.io/v1", "kind": "WebhookAdmissionConfiguration"}


def test_parts_stand_in_the_file_or_in_one_of_their_own(tmp_path: Path) -> None:
    (tmp_path / "limits.yaml").write_text(yaml.safe_dump({**LIMITS, "limits": []}))
    plugins = [
        {"name": "PodSecurity", "configuration": SECURITY},
        {"name": "EventRateLimit", "path": "limits.yaml"},
        {"name": "PodSecurity", "configuration": {}},
        {"name": "Other"},
        {"name": "Other", "configuration": SECURITY},
        {"configuration": {}},
        {"name": "Unasked", "path": "none.yaml"},
    ]
    path = tmp_path / "a.yaml"
    path.write_text(yaml.safe_dump({**HEAD, "plugins": plugins}))
    found = configuration.read(path)
    assert list(found) == ["PodSecurity", "EventRateLimit", "", "Unasked"]
    assert found["PodSecurity"] == SECURITY
    assert found["EventRateLimit"] == {**LIMITS, "limits": []}
    assert found.get("Other") is None, "the first entry of a name counts, even if it says nothing"
    with pytest.raises(BadConfiguration, match="couldn't open admission plugin Unasked configuration"):
        found.get("Unasked")
    assert configuration.read(None) == {}


@pytest.mark.parametrize(
    ("field", "plugin"),
    [("imagePolicy", "ImagePolicyWebhook"), ("podNodeSelectorPluginConfig", "PodNodeSelector")],
)
def test_a_file_of_old_is_one_plugins(tmp_path: Path, field: str, plugin: str) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(yaml.safe_dump({field: {"a": "b"}}))
    assert configuration.read(path) == {plugin: {field: {"a": "b"}}}


FILES = {
    "of another kind": (
        {"apiVersion": "v1", "kind": "Pod"},
        'failed to read plugin config: no kind "Pod" is registered for version "v1"',
    ),
    "no plugin": ({**HEAD, "plugins": ["x"]}, "failed to read plugin config: plugins[0] is no plugin"),
}


@pytest.mark.parametrize(("document", "says"), FILES.values(), ids=FILES)
def test_faulty_files(tmp_path: Path, document: dict[str, Any], says: str) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(yaml.safe_dump(document))
    with pytest.raises(BadConfiguration) as caught:
        configuration.read(path)
    assert (str(caught.value), caught.value.kind) == (says, "AdmissionConfiguration")


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(BadConfiguration, match="unable to read admission control configuration from"):
        configuration.read(tmp_path / "none.yaml")


PARTS: dict[str, tuple[str, dict[str, Any] | None, str]] = {
    "no limits": ("EventRateLimit", None, "limits: Invalid value: null: must not be empty"),
    "wrong limits": (
        "EventRateLimit",
        {**LIMITS, "limits": [{"type": "Node", "qps": 0, "burst": -1, "cacheSize": -1}]},
        '[limits[0].type: Unsupported value: "Node": supported values: "Namespace", "Server", '
        '"SourceAndObject", "User", limits[0].burst: Invalid value: -1: must be positive, limits[0].qps: '
        "Invalid value: 0: must be positive, limits[0].cacheSize: Invalid value: -1: must not be negative]",
    ),
    "another kind": (
        "EventRateLimit", SECURITY,
        'no kind "PodSecurityConfiguration" is registered for version '
        '"pod-security.admission.config.k8s.io/v1"',
    ),
    "a toleration that is none": (
        "PodTolerationRestriction", {**TOLERATIONS, "default": [{"key": "a b", "operator": "Exists"}]},
        'default[0].key: Invalid value: "a b": name part must consist of',
    ),
    "a level that is none": (
        "PodSecurity", {**SECURITY, "defaults": {"enforce": "strict", "warn-version": "1.2"}},
        '[defaults.enforce: Invalid value: "strict": must be one of privileged, baseline, restricted, '
        'defaults.warn-version: Invalid value: "1.2": must be "latest" or "v1.x"]',
    ),
    "exemptions": (
        "PodSecurity",
        {**SECURITY, "exemptions": {"namespaces": ["A", "b", "b"], "usernames": [""]}},
        '[exemptions.namespaces[0]: Invalid value: "A": a lowercase RFC 1123 label',
    ),
    "no service to ask": ("ImagePolicyWebhook", None, "the imagePolicy needs a kubeConfigFile"),
    "a time out of bounds": (
        "ImagePolicyWebhook", {"imagePolicy": {"kubeConfigFile": "x", "allowTTL": 3600}},
        "valid value is between 1s and 30m0s, got 3600s",
    ),
    "a kubeconfig of wherever the server runs": (
        "MutatingAdmissionWebhook", {**HOOKS, "kubeConfigFile": "config"},
        'kubeConfigFile: Invalid value: "config": must be an absolute file path',
    ),
    "no kubeconfig": (
        "ValidatingAdmissionWebhook", {**HOOKS, "kubeConfigFile": "/none"},
        "kubeconfig /none: No such file or directory",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("name", "document", "says"), PARTS.values(), ids=PARTS)
def test_faulty_parts(name: str, document: dict[str, Any] | None, says: str) -> None:
    parts = {} if document is None else {name: document}
    with pytest.raises(BadConfiguration) as caught:
        AdmissionChain(enabled=(name,), configuration=parts)
    prefix = f'couldn\'t init admission plugin "{name}": '
    assert str(caught.value)[: len(prefix + says)] == prefix + says
    assert caught.value.kind == "AdmissionConfiguration"


def test_who_is_off_is_a_plugin() -> None:
    assert {plugin.NAME for plugin in PLUGINS} >= OFF
