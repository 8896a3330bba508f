"""Every resource, verb and subresource that is served, as webhooks are asked about it.

One webhook of each kind means everything, one more means only the first version of each resource, and each
changes what it may: what they were asked is compared with what the resource table says they must be.
"""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
import pytest
import pytest_asyncio
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from tests.apiserver.conftest import EVERY_VERSION

from tiphys.apimachinery.clock import RealClock
from tiphys.apimachinery.meta import gvk_of
from tiphys.apimachinery.resource import Resource
from tiphys.apis.table import TABLE
from tiphys.apiserver.admission.webhooks import dispatch
from tiphys.apiserver.registry import machinery
from tiphys.wire import pki

GROUP = "admissionregistration.k8s.io"
MANIFESTS = Path(__file__).parents[2] / "integration" / "manifests.yaml"
NAMESPACE = "walk"
REVIEWS = {
    ("authentication.k8s.io", "tokenreviews"): {"token": "t"},
    ("authentication.k8s.io", "selfsubjectreviews"): None,
    ("authorization.k8s.io", "subjectaccessreviews"): {
        "user": "u", "resourceAttributes": {"verb": "get", "resource": "pods"}
    },
    ("authorization.k8s.io", "localsubjectaccessreviews"): {
        "user": "u", "resourceAttributes": {"verb": "get", "resource": "pods", "namespace": NAMESPACE}
    },
    ("authorization.k8s.io", "selfsubjectaccessreviews"): {
        "resourceAttributes": {"verb": "get", "resource": "pods"}
    },
    ("authorization.k8s.io", "selfsubjectrulesreviews"): {"namespace": NAMESPACE},
}  # fmt: skip
NO_OBJECT = {
    ("", "bindings"), ("", "componentstatuses"), ("certificates.k8s.io", "podcertificaterequests"), *REVIEWS
}  # fmt: skip
EVENT = {
    "metadata": {"name": "event"}, "regarding": {"namespace": NAMESPACE}, "reason": "R", "action": "A",
    "eventTime": "2026-01-01T00:00:00.000000Z", "reportingInstance": "i", "type": "Normal",
    "reportingController": "example.com/c",
}  # fmt: skip
APART = {"proxy", "exec", "attach", "portforward", "log", "binding", "eviction", "token"}
"""Subresources that are no part of their object; they have tests of their own below."""
ROWS = sorted(TABLE, key=lambda row: row.gvr)
GROUPS = sorted({row.group for row in ROWS})
SUFFIX = ".k8s.io"
PATCH = base64.b64encode(b'[{"op": "add", "path": "/foo", "value": "test"}]').decode()


def _request() -> str:
    key = ec.generate_private_key(ec.SECP256R1())
    csr = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(key, hashes.SHA256())
    return base64.b64encode(csr.public_bytes(serialization.Encoding.PEM)).decode()


def _fill(value: Any, words: dict[str, str]) -> Any:
    if isinstance(value, dict):
        return {key: _fill(item, words) for key, item in value.items()}
    if isinstance(value, list):
        return [_fill(item, words) for item in value]
    return words.get(value, value) if isinstance(value, str) else value


@pytest.fixture(scope="module")
def objects() -> dict[tuple[str, str], Any]:
    """A small object of every kind, by its group and kind."""
    authority = pki.make_ca("walk", RealClock().now()).certificate.decode()
    words = {"@CSR@": _request(), "@CA@": authority, "sweep-namespace": NAMESPACE}
    found = [_fill(one, words) for one in yaml.load_all(MANIFESTS.read_text(), yaml.CSafeLoader)]
    return {(gvk_of(one).group, one["kind"]): one for one in found}


def version(row: Resource) -> dict[str, str]:
    return {"group": row.group, "version": row.version, "resource": row.plural}


def kind(api_version: str, name: str) -> tuple[str, str]:
    return api_version, name


def shape(obj: Any) -> tuple[str, str] | None:
    return None if obj is None else (obj["apiVersion"], obj["kind"])


@dataclass
class Walk:
    """A server with four webhooks, and what they were asked, by their names."""

    api: Any
    asked: dict[str, list[Any]] = field(default_factory=dict)

    async def post(self, _backend: Any, config: Any, body: bytes, **_rest: Any) -> bytes:
        """Answer as a webhook that changes what it may."""
        asked = orjson.loads(body)["request"]
        if asked["userInfo"]["username"] == "admin":  # not what controllers write
            self.asked.setdefault(config["service"]["name"], []).append(asked)
        answer = {"uid": asked["uid"], "allowed": True}
        if config["service"]["name"].startswith("mutating") and asked["object"] is not None:
            answer |= {"patchType": "JSONPatch", "patch": PATCH}
        if asked["operation"] == "CONNECT" and config["service"]["name"] == "validating":
            answer["allowed"] = False  # there is nobody to connect to
        review = {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": answer}
        return orjson.dumps(review)

    async def ask(self, method: str, path: str, body: Any = None, **rest: Any) -> dict[str, list[Any]]:
        """Send a request that must succeed; once more when a controller was faster."""
        for _ in range(3):
            self.asked.clear()
            answer = await self.api(method, path, body, **rest)
            if answer.status != 409 or method != "PUT":
                break
            await self.api.settle()
            live = await self.api.get(path)
            body["metadata"]["resourceVersion"] = live["metadata"]["resourceVersion"]
        assert answer.status < 300, (method, path, answer.raw)
        return self.asked


def rules(*named: Resource) -> list[Any]:
    """Return rules for these resources and parts of them, or for everything."""
    everything = {"apiGroups": ["*"], "apiVersions": ["*"], "operations": ["*"], "resources": ["*/*"]}
    return [
        {**everything, "apiGroups": [row.group], "apiVersions": [row.version],
         "resources": [row.plural + part for part in ("", "/status", "/scale", "/approval")]}
        for row in named
    ] or [everything]  # fmt: skip


pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def walked(serving: Any) -> AsyncIterator[Walk]:
    first: dict[str, Resource] = {}
    for row in ROWS:
        first.setdefault(row.plural, row)
    options = {
        "disabled_admission": ("PodGroupProtection", "ServiceAccount", "StorageObjectInUseProtection"),
        "runtime_config": EVERY_VERSION.runtime_config,
        "feature_gates": EVERY_VERSION.feature_gates,
    }
    with pytest.MonkeyPatch.context() as patched:
        async with serving(**options) as api:
            walk = Walk(api)
            patched.setattr(dispatch, "post", walk.post)
            await api.create("/api/v1/namespaces", {"metadata": {"name": NAMESPACE}})
            for one in ("mutating", "validating"):
                hooks = [
                    {"name": f"{name}.example.com", "admissionReviewVersions": ["v1"], "sideEffects": "None",
                     "clientConfig": {"service": {"name": name, "namespace": "default"}}, "rules": meant}
                    for name, meant in ((one, rules()), (f"{one}-one", rules(*first.values())))
                ]  # fmt: skip
                body = {"metadata": {"name": "walk"}, "webhooks": hooks}
                await api.create(f"/apis/{GROUP}/v1/{one}webhookconfigurations", body)
            await api.settle()
            yield walk


@pytest_asyncio.fixture(loop_scope="module")
async def walk(walked: Walk) -> AsyncIterator[Walk]:
    """The same server for all: what a test wrote is taken back when it ends."""
    async with walked.api.swept():
        yield walked


@dataclass(frozen=True)
class Expected:
    """What every webhook is asked once."""

    row: Resource
    operation: str
    name: str
    obj: bool
    old: bool
    options: str
    sub: str = ""

    def check(self, asked: dict[str, list[Any]]) -> None:
        if self.row.group == GROUP:
            assert not asked  # nobody is asked about admission itself
            return
        shown = self.row
        for name in ("mutating", "validating"):
            self._check_one(asked[name], shown)
        if self.sub in ("", "status", "scale", "approval"):
            others = [one for one in ROWS if one.plural == self.row.plural]
            for name in ("mutating-one", "validating-one"):
                self._check_one(asked[name], others[0])

    def _check_one(self, requests: list[Any], shown: Resource) -> None:
        assert requests, self
        for request in requests:  # a patch that lost against a controller is admitted again
            self._check_request(request, shown)

    def _check_request(self, request: Any, shown: Resource) -> None:
        namespace = NAMESPACE if self.row.namespaced else ""
        if (self.row.group, self.row.plural) == ("", "namespaces"):
            namespace = self.name
        own = (shown.api_version, shown.kind)
        sub = shown.subresource(self.sub) if self.sub else None
        if sub is not None:
            own = (sub.kind.api_version, sub.kind.kind)
        said = {
            "operation": request["operation"],
            "resource": request["resource"],
            "requestResource": request["requestResource"],
            "kind": (request["kind"]["kind"], request["kind"]["version"]),
            "subResource": request.get("subResource", ""),
            "requestSubResource": request.get("requestSubResource", ""),
            "name": request.get("name", ""),
            "namespace": request.get("namespace", ""),
            "object": shape(request["object"]),
            "oldObject": shape(request["oldObject"]),
            "options": request["options"] and (request["options"]["apiVersion"], request["options"]["kind"]),
        }
        assert said == {
            "operation": self.operation,
            "resource": version(shown),
            "requestResource": version(self.row),
            "kind": (own[1], own[0].rpartition("/")[2]),
            "subResource": self.sub,
            "requestSubResource": self.sub,
            "name": self.name,
            "namespace": namespace,
            "object": own if self.obj else None,
            "oldObject": own if self.old else None,
            "options": ("meta.k8s.io/v1", self.options) if self.options else None,
        }


def base_of(row: Resource) -> str:
    root = f"/apis/{row.group}/{row.version}" if row.group else f"/api/{row.version}"
    return f"{root}/namespaces/{NAMESPACE}/{row.plural}" if row.namespaced else f"{root}/{row.plural}"


def updated(row: Resource, name: str, sub: str = "") -> Expected:
    return Expected(row, "UPDATE", name, obj=True, old=True, options="UpdateOptions", sub=sub)


MERGE = "application/merge-patch+json"
APPLY = "application/apply-patch+yaml"
NOTE = {"metadata": {"annotations": {"noted": "true"}}}
DELETE = {"gracePeriodSeconds": 0, "propagationPolicy": "Background"}


async def step_through(walk: Walk, row: Resource, given: Any) -> None:
    """Create, update, patch and delete one object, in all ways."""
    obj = machinery.convert(given, row.gvk)
    obj = {**obj, "metadata": {key: value for key, value in obj["metadata"].items() if key != "namespace"}}
    name, base = obj["metadata"]["name"], base_of(row)
    path = f"{base}/{name}"
    create = Expected(row, "CREATE", name, obj=True, old=False, options="CreateOptions")
    create.check(await walk.ask("POST", base, obj))
    live = await walk.api.get(path)
    live["metadata"]["annotations"] = {"updated": "true"}
    updated(row, name).check(await walk.ask("PUT", path, live))
    updated(row, name).check(await walk.ask("PATCH", path, NOTE, content_type=MERGE))
    applied = {"apiVersion": row.api_version, "kind": row.kind, "metadata": {"labels": {"a": "b"}}}
    updated(row, name).check(await walk.ask("PATCH", f"{path}?fieldManager=m", applied, content_type=APPLY))
    for sub in row.subresources:
        if sub.name not in APART:
            await step_into(walk, row, path, sub.name)
    if row.plural == "namespaces":
        return
    gone = Expected(row, "DELETE", name, obj=False, old=True, options="DeleteOptions")
    gone.check(await walk.ask("DELETE", path, DELETE))
    if "deletecollection" in row.verbs:
        obj["metadata"]["labels"] = {"walked": "true"}
        await walk.api.create(base, obj)
        all_gone = Expected(row, "DELETE", "", obj=False, old=True, options="DeleteOptions")
        all_gone.check(await walk.ask("DELETE", f"{base}?labelSelector=walked=true", DELETE))


async def step_into(walk: Walk, row: Resource, path: str, sub: str) -> None:
    """Update and patch one subresource."""
    known = row.subresource(sub)
    assert known is not None
    name = path.rpartition("/")[2]
    part = await walk.api.get(f"{path}/{sub}" if "get" in known.verbs else path)
    if row.plural == "storageversionmigrations":
        part["status"] = {"resourceVersion": "1"}
    if "update" in known.verbs:
        updated(row, name, sub).check(await walk.ask("PUT", f"{path}/{sub}", part))
    if "patch" in known.verbs:
        updated(row, name, sub).check(await walk.ask("PATCH", f"{path}/{sub}", NOTE, content_type=MERGE))


@pytest.mark.parametrize("group", GROUPS, ids=lambda group: group.removesuffix(SUFFIX) or "core")
async def test_objects(walk: Walk, objects: Any, group: str) -> None:
    for row in ROWS:
        if row.group == group and (row.group, row.plural) not in NO_OBJECT:
            given = {"apiVersion": row.api_version, "kind": row.kind, **EVENT}
            await step_through(walk, row, objects.get((row.group, row.kind), given))


@pytest.mark.parametrize(("group", "plural"), REVIEWS)
async def test_reviews(walk: Walk, group: str, plural: str) -> None:
    row = next(row for row in ROWS if (row.group, row.plural) == (group, plural))
    spec = REVIEWS[group, plural]
    body = {"metadata": {}, **({} if spec is None else {"spec": spec})}
    create = Expected(row, "CREATE", "", obj=True, old=False, options="CreateOptions")
    create.check(await walk.ask("POST", base_of(row), body))


PODS = f"/api/v1/namespaces/{NAMESPACE}/pods"
BINDING = {"metadata": {"name": "p"}, "target": {"kind": "Node", "name": "n"}}
PARTS = {
    "a binding": ("pods", "binding", f"{PODS}/p/binding", BINDING),
    "a binding of old": ("bindings", "", f"/api/v1/namespaces/{NAMESPACE}/bindings", BINDING),
    "an eviction": ("pods", "eviction", f"{PODS}/p/eviction", {"metadata": {"name": "p"}}),
    "a token": (
        "serviceaccounts", "token", f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts/p/token",
        {"spec": {"audiences": ["a"]}},
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", PARTS)
async def test_what_is_created_in_an_object(walk: Walk, make_pod: Any, case: str) -> None:
    plural, sub, path, body = PARTS[case]
    await walk.api.create(PODS, make_pod("p"))
    await walk.api.create(f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts", {"metadata": {"name": "p"}})
    row = next(row for row in ROWS if not row.group and row.plural == plural)
    create = Expected(row, "CREATE", "p", obj=True, old=False, options="CreateOptions", sub=sub)
    create.check(await walk.ask("POST", path, body))


STREAMS = ("exec", "attach", "portforward")
CONNECTIONS = [
    *(("pods", sub, method) for sub in STREAMS for method in ("GET", "POST")),
    *(
        (plural, "proxy", method)
        for plural in ("pods", "services", "nodes")
        for method in ("POST", "GET", "HEAD", "OPTIONS", "PUT", "PATCH", "DELETE")
    ),
]


@pytest.mark.parametrize(("plural", "sub", "method"), CONNECTIONS)
async def test_connections(walk: Walk, make_pod: Any, plural: str, sub: str, method: str) -> None:
    row = next(row for row in ROWS if not row.group and row.plural == plural)
    objects = {
        "pods": make_pod("p"), "nodes": {"metadata": {"name": "p"}},
        "services": {"metadata": {"name": "p"}, "spec": {"ports": [{"port": 80}]}},
    }  # fmt: skip
    await walk.api.create(base_of(row), objects[plural])
    walk.asked.clear()
    answer = await walk.api(method, f"{base_of(row)}/p/{sub}")
    assert answer.status == 400
    connect = Expected(row, "CONNECT", "p", obj=True, old=False, options="", sub=sub)
    connect.check(walk.asked)


async def test_an_apply_that_creates(walk: Walk) -> None:
    row = next(row for row in ROWS if row.plural == "configmaps")
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "m"}}
    create = Expected(row, "CREATE", "m", obj=True, old=False, options="CreateOptions")
    asked = await walk.ask("PATCH", f"{base_of(row)}/m?fieldManager=f", body, content_type=APPLY)
    create.check(asked)
    assert asked["validating"][0]["options"]["fieldManager"] == "f"


async def test_a_generated_name_is_made_after_mutation(walk: Walk) -> None:
    row = next(row for row in ROWS if row.plural == "configmaps")
    create = Expected(row, "CREATE", "", obj=True, old=False, options="CreateOptions")
    asked = await walk.ask("POST", base_of(row), {"metadata": {"generateName": "m-"}})
    create.check(asked)
    names = [asked[name][0]["object"]["metadata"].get("name", "") for name in ("mutating", "validating")]
    assert names[0] == ""
    assert names[1].startswith("m-")


DELETIONS = {
    "a body": ("", {"gracePeriodSeconds": 5, "propagationPolicy": "Orphan"}),
    "a query": ("?gracePeriodSeconds=5&propagationPolicy=Orphan", None),
}


@pytest.mark.parametrize("case", DELETIONS)
async def test_options_of_a_deletion(walk: Walk, case: str) -> None:
    row = next(row for row in ROWS if row.plural == "configmaps")
    query, body = DELETIONS[case]
    await walk.api.create(base_of(row), {"metadata": {"name": "m"}})
    asked = await walk.ask("DELETE", f"{base_of(row)}/m{query}", body)
    assert asked["validating"][0]["options"] == {
        "kind": "DeleteOptions", "apiVersion": "meta.k8s.io/v1", "gracePeriodSeconds": 5,
        "propagationPolicy": "Orphan",
    }  # fmt: skip
