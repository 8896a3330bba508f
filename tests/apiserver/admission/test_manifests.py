"""Webhooks and policies from files: what the files may hold, when they count, and what a change does."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.apiserver.admission.hooked import GROUP, MAPS, config_map, hook, rule
from tests.apiserver.admission.webhook_server import patch

from tiphys.apimachinery.featuregates import resolve, using
from tiphys.apiserver.admission.chain import AdmissionChain
from tiphys.apiserver.admission.manifests import files
from tiphys.apiserver.admission.manifests.loading import load
from tiphys.apiserver.config_files import BadConfiguration

API = "admissionregistration.k8s.io/v1"
CONFIG = "apiserver.config.k8s.io/v1"
GATES = resolve({"ManifestBasedAdmissionControlConfig": True})
POLICIES = ("ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding")
MUTATING = ("MutatingAdmissionPolicy", "MutatingAdmissionPolicyBinding")
HOOKS = ("ValidatingWebhookConfiguration",)
OWN = ("validatingwebhookconfigurations", "validatingadmissionpolicies")


def named(kind: str, name: str, **fields: Any) -> dict[str, Any]:
    return {"apiVersion": API, "kind": kind, "metadata": {"name": name}, **fields}


def policy(
    name: str = "p.static.k8s.io", expression: str = "false", *rules: Any, **spec: Any
) -> dict[str, Any]:
    match = {"resourceRules": list(rules) or [rule("configmaps", "", "CREATE", "UPDATE")]}
    validations = [{"expression": expression, "message": f"{name} says no"}]
    return named(POLICIES[0], name, spec={"matchConstraints": match, "validations": validations, **spec})


def binding(of: str = "p.static.k8s.io", name: str = "b.static.k8s.io", **spec: Any) -> dict[str, Any]:
    return named(POLICIES[1], name, spec={"policyName": of, "validationActions": ["Deny"], **spec})


def hooks(client: Any, name: str = "h.static.k8s.io", **fields: Any) -> dict[str, Any]:
    return named(HOOKS[0], name, webhooks=[hook(client, **fields)])


def written(folder: Path, *documents: Any, name: str = "a.yaml") -> str:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(yaml.safe_dump_all(copy.deepcopy(list(documents))))
    return str(folder)


def listed(*items: Any) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "List", "items": list(items)}


CHANGE = '[JSONPatch{op: "add", path: "/data/x", value: "y"}]'
URL = {"url": "https://127.0.0.1:1/"}
SERVICE = {"service": {"namespace": "ns", "name": "s"}}
FAULTS: dict[str, tuple[tuple[str, ...], list[Any], str]] = {
    # kinds of the plugin, documents, what is said of file F
    "a name that is not reserved": (
        POLICIES, [policy("p")],
        'error loading F: "p" in file "F" must have a name ending with ".static.k8s.io"',
    ),
    "a name that comes twice": (
        POLICIES, [policy(), policy()],
        'error loading F: duplicate name "p.static.k8s.io" found in file "F" (previously seen in "F")',
    ),
    "parameters": (
        POLICIES, [policy(paramKind={"apiVersion": "v1", "kind": "ConfigMap"})],
        'error loading F: ValidatingAdmissionPolicy "p.static.k8s.io": spec.paramKind is not supported for '
        "static manifests",
    ),
    "parameters of a mutating policy": (
        MUTATING,
        [
            named(
                MUTATING[0], "p.static.k8s.io",
                spec={
                    "paramKind": {"apiVersion": "v1", "kind": "ConfigMap"}, "reinvocationPolicy": "Never",
                    "matchConstraints": {"resourceRules": [rule("configmaps", "", "CREATE")]},
                    "mutations": [{"patchType": "JSONPatch", "jsonPatch": {"expression": CHANGE}}],
                },
            )
        ],
        'error loading F: MutatingAdmissionPolicy "p.static.k8s.io": spec.paramKind is not supported for '
        "static manifests",
    ),
    "a binding of parameters": (
        POLICIES, [policy(), binding(paramRef={"name": "x", "parameterNotFoundAction": "Deny"})],
        'error loading F: binding "b.static.k8s.io": spec.paramRef is not supported for static manifests',
    ),
    "a binding of the API's": (
        POLICIES, [binding("p")],
        'error loading F: binding "b.static.k8s.io": spec.policyName "p" must end with ".static.k8s.io"',
    ),
    "a binding of nothing": (
        POLICIES, [binding()],
        'binding "b.static.k8s.io" references policy "p.static.k8s.io" which does not exist in the manifest '
        "directory",
    ),
    "another plugin's": (
        POLICIES, [hooks(URL)],
        "error loading F: unsupported resource type admissionregistration.k8s.io/v1, "
        "Kind=ValidatingWebhookConfiguration",
    ),
    "another plugin's in a list": (
        POLICIES, [listed(hooks(URL))],
        "error loading F: unsupported resource type admissionregistration.k8s.io/v1, "
        "Kind=ValidatingWebhookConfiguration in List",
    ),
    "a list in a list": (
        POLICIES, [listed(listed(policy()))],
        "error loading F: unsupported resource type /v1, Kind=List in List",
    ),
    "another kind": (
        POLICIES, [{"apiVersion": "v1", "kind": "Pod"}],
        'error loading F: no kind "Pod" is registered for version "v1"',
    ),
    "another kind in a list": (
        HOOKS, [listed({"apiVersion": "v1", "kind": "Pod"})],
        'error loading F: failed to decode list item: no kind "Pod" is registered for version "v1"',
    ),
    "another version": (
        POLICIES, [{**policy(), "apiVersion": "admissionregistration.k8s.io/v1beta1"}],
        'error loading F: no kind "ValidatingAdmissionPolicy" is registered for version '
        '"admissionregistration.k8s.io/v1beta1"',
    ),
    "no kind": (POLICIES, [{"metadata": {}}], "error loading F: Object 'Kind' is missing"),
    "a field that there is not": (
        POLICIES, [policy(strange=1)], 'error loading F: strict decoding error: unknown field "spec.strange"',
    ),
    "rules of the API": (
        POLICIES, [policy(failurePolicy="Never")],
        'error loading F: spec.failurePolicy: Unsupported value: "Never": supported values: "Fail", "Ignore"',
    ),
    "a service": (
        HOOKS, [hooks(SERVICE)],
        'error loading F: webhook "one.example.com" in "h.static.k8s.io" (file "F"): clientConfig.service is '
        "not supported for static manifests; use clientConfig.url instead",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("kinds", "documents", "says"), FAULTS.values(), ids=FAULTS)
def test_faulty_files(tmp_path: Path, kinds: tuple[str, ...], documents: list[Any], says: str) -> None:
    folder = written(tmp_path, *documents)
    with using(GATES), pytest.raises(BadConfiguration) as caught:
        load(files.read(folder), kinds)
    assert str(caught.value).replace(str(tmp_path / "a.yaml"), "F") == says


def test_fields_that_come_twice(tmp_path: Path) -> None:
    (tmp_path / "a.yml").write_text(f"kind: {POLICIES[0]}\nkind: {POLICIES[0]}\napiVersion: {API}\n")
    with pytest.raises(
        BadConfiguration, match=r"strict decoding error: yaml: unmarshal errors:\n  .*already set"
    ):
        load(files.read(str(tmp_path)), POLICIES)


def test_which_files_count(tmp_path: Path) -> None:
    written(tmp_path, policy("z.static.k8s.io"), listed(policy("b.static.k8s.io")), name="z.YAML")
    many = {"apiVersion": API, "kind": f"{POLICIES[0]}List", "items": [policy("c.static.k8s.io")]}
    written(tmp_path, many, name="b.yml")
    (tmp_path / "a.json").write_text("\n--- \n  \n---\n")
    written(tmp_path, {"kind": "Strange"}, name="readme.txt")
    written(tmp_path / "below.yaml", {"kind": "Strange"})
    with using(GATES):
        found = load(files.read(str(tmp_path)), POLICIES)
    assert [one["metadata"]["name"] for one in found[POLICIES[0]]] == [f"{n}.static.k8s.io" for n in "bcz"]
    spec = found[POLICIES[0]][0]["spec"]
    assert (spec["failurePolicy"], spec["matchConstraints"]["matchPolicy"]) == ("Fail", "Equivalent")


def parts(folder: str, plugin: str) -> dict[str, Any]:
    kind = "WebhookAdmissionConfiguration" if "Webhook" in plugin else f"{plugin}Configuration"
    return {plugin: {"apiVersion": CONFIG, "kind": kind, "staticManifestsDir": folder}}


PLUGINS = (
    "MutatingAdmissionPolicy", "MutatingAdmissionWebhook", "ValidatingAdmissionPolicy",
    "ValidatingAdmissionWebhook",
)  # fmt: skip
REFUSED = {
    # where the manifests are, the gate, what is said
    "without the gate": (
        "/tmp", False,
        "staticManifestsDir: Forbidden: staticManifestsDir requires the ManifestBasedAdmissionControlConfig "
        "feature gate to be enabled",
    ),
    "a relative path": (
        "tmp", True, 'staticManifestsDir: Invalid value: "tmp": must be an absolute file path',
    ),
    "nowhere": (
        "/nowhere", True,
        'staticManifestsDir: Invalid value: "/nowhere": unable to read: stat /nowhere: no such file or '
        "directory",
    ),
    "no folder": (
        "/dev/null", True, 'staticManifestsDir: Invalid value: "/dev/null": must be a directory',
    ),
}  # fmt: skip


@pytest.mark.parametrize("plugin", PLUGINS)
@pytest.mark.parametrize(("folder", "gate", "says"), REFUSED.values(), ids=REFUSED)
def test_folders_that_are_refused(plugin: str, folder: str, gate: bool, says: str) -> None:
    with using(GATES if gate else resolve({})), pytest.raises(BadConfiguration) as caught:
        AdmissionChain(configuration=parts(folder, plugin))
    assert str(caught.value) == f'couldn\'t init admission plugin "{plugin}": {says}'


def test_a_part_that_says_something_else(tmp_path: Path) -> None:
    part = parts(str(tmp_path), POLICIES[0])
    part[POLICIES[0]]["kubeConfigFile"] = "x"
    with (
        using(GATES),
        pytest.raises(BadConfiguration, match='strict decoding error: unknown field "kubeConfigFile"'),
    ):
        AdmissionChain(configuration=part)


def config(path: Path, **folders: str) -> Path:
    plugins = [{"name": name, "configuration": parts(folder, name)[name]} for name, folder in folders.items()]
    path.write_text(
        yaml.safe_dump({"apiVersion": CONFIG, "kind": "AdmissionConfiguration", "plugins": plugins})
    )
    return path


async def test_policies(serving: Any, tmp_path: Path) -> None:
    """They hold from the start, before those of the API, and for what those of the API may not mean."""
    own = [rule(plural, "admissionregistration.k8s.io", "DELETE", "CREATE") for plural in OWN]
    kept = policy("kept.static.k8s.io", "!request.name.startsWith('kept')", *own)
    folder = written(
        tmp_path / "m", policy(), binding(), kept, binding("kept.static.k8s.io", "k.static.k8s.io"),
        policy("unbound.static.k8s.io", "false", rule("secrets")),
    )  # fmt: skip
    said = config(tmp_path / "c.yaml", ValidatingAdmissionPolicy=folder)
    async with serving(feature_gates=GATES, admission_config=said) as api:
        answer = await api("POST", MAPS, config_map())
        text = (
            "ValidatingAdmissionPolicy 'p.static.k8s.io' with binding 'b.static.k8s.io' denied request: "
            "p.static.k8s.io says no"
        )
        assert (answer.status, answer.message) == (422, f'configmaps "m" is forbidden: {text}')
        assert (await api.get(f"{GROUP}/validatingadmissionpolicies"))["items"] == []
        answer = await api("POST", f"{GROUP}/validatingadmissionpolicies", policy())
        assert answer.status == 422
        first = policy("a")
        await api.create(f"{GROUP}/validatingadmissionpolicies", first)
        await api.create(f"{GROUP}/validatingadmissionpolicybindings", binding("a", "a"))
        both = policy("kept", "false", *own)
        await api.settle()
        assert (await api("POST", MAPS, config_map())).message.endswith(text), "files come first"
        answer = await api("POST", f"{GROUP}/validatingadmissionpolicies", both)
        assert answer.message.endswith("kept.static.k8s.io says no")


def mutating(name: str = "p.static.k8s.io") -> list[dict[str, Any]]:
    spec = {
        "matchConstraints": {"resourceRules": [rule("configmaps", "", "CREATE")]},
        "reinvocationPolicy": "Never",
        "mutations": [{"patchType": "JSONPatch", "jsonPatch": {"expression": CHANGE}}],
    }
    return [named(MUTATING[0], name, spec=spec), named(MUTATING[1], name, spec={"policyName": name})]


async def test_what_begins_to_mutate_while_objects_like_each_other_come(serving: Any, tmp_path: Path) -> None:
    said = config(tmp_path / "c.yaml", MutatingAdmissionPolicy=written(tmp_path / "m"))
    async with serving(feature_gates=GATES, admission_config=said) as api:
        for number in range(4):
            made = await api.create(MAPS, config_map(f"a{number}", a="b"))
            assert made["data"] == {"a": "b"}
        written(tmp_path / "m", *mutating())
        api.server.backend.admission.reload()
        assert (await api.create(MAPS, config_map("a4", a="b")))["data"] == {"a": "b", "x": "y"}


async def test_what_mutates(serving: Any, webhook: Any, tmp_path: Path) -> None:
    webhook.answers["/add"] = patch({"op": "add", "path": "/data/w", "value": "w"})
    client = {"url": f"https://127.0.0.1:{webhook.port}/add", "caBundle": webhook.bundle}
    policies = written(tmp_path / "p", *mutating())
    manifest = named("MutatingWebhookConfiguration", "h.static.k8s.io", webhooks=[hook(client)])
    said = config(
        tmp_path / "c.yaml",
        MutatingAdmissionPolicy=policies,
        MutatingAdmissionWebhook=written(tmp_path / "w", manifest),
    )
    async with serving(feature_gates=GATES, admission_config=said) as api:
        assert (await api.create(MAPS, config_map(a="b")))["data"] == {"a": "b", "x": "y", "w": "w"}


async def test_webhooks(serving: Any, webhook: Any, tmp_path: Path) -> None:
    webhook.answers["/no"] = lambda _request: {"allowed": False, "status": {"message": "no"}}
    client = {"url": f"https://127.0.0.1:{webhook.port}/no", "caBundle": webhook.bundle}
    rules = [rule("*", "admissionregistration.k8s.io", "DELETE"), rule("configmaps", "", "CREATE")]
    manifest = named(HOOKS[0], "h.static.k8s.io", webhooks=[hook(client, *rules)])
    said = config(tmp_path / "c.yaml", ValidatingAdmissionWebhook=written(tmp_path / "m", manifest))
    async with serving(feature_gates=GATES, admission_config=said) as api:
        denied = 'admission webhook "one.example.com" denied the request: no'
        assert (await api("POST", MAPS, config_map())).message == denied
        path = f"{GROUP}/validatingwebhookconfigurations"
        await api.create(path, {"metadata": {"name": "c"}, "webhooks": [hook(URL, *rules)]})
        await api.settle()
        assert (await api("DELETE", f"{path}/c")).message == denied, "but those of the API are not asked"
        assert webhook.asked[-1]["resource"]["resource"] == "validatingwebhookconfigurations"


async def test_changes(serving: Any, tmp_path: Path) -> None:
    """What has changed is taken over if it holds; what does not is counted once, and changes nothing."""
    folder = tmp_path / "m"
    said = config(tmp_path / "c.yaml", ValidatingAdmissionPolicy=written(folder))
    async with serving(feature_gates=GATES, admission_config=said) as api:
        reload = api.server.backend.admission.reload

        async def allows() -> bool:
            return (await api("POST", f"{MAPS}?dryRun=All", config_map())).status == 201

        async def counts() -> tuple[float, float]:
            return await counted(api, "success"), await counted(api, "failure")

        assert await allows()
        assert await counts() == (1, 0)
        written(folder, policy(), binding())
        reload()
        assert not await allows()
        (folder / "a.yaml").write_text("kind: [")
        reload()
        reload()
        assert not await allows()
        assert await counts() == (2, 1)
        (folder / "a.yaml").unlink()
        reload()
        reload()
        assert await allows()
        folder.rmdir()
        reload()
        reload()
        assert await allows()
        assert await counts() == (3, 2)


async def counted(api: Any, status: str) -> float:
    name = "apiserver_manifest_admission_config_controller_automatic_reloads_total"
    text = (await api("GET", "/metrics")).raw.decode()
    lines = [line for line in text.splitlines() if line.startswith(name) and f'status="{status}"' in line]
    assert all('plugin="ValidatingAdmissionPolicy"' in line for line in lines)
    return sum(float(line.rpartition(" ")[2]) for line in lines)
