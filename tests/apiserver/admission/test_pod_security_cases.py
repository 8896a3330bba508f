"""PodSecurity, write by write: what is refused, warned about, noted and counted."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import orjson
import pytest
import yaml

from tiphys.apis.podsecurity.policy import Standard
from tiphys.apiserver.admission.pod_security_namespaces import existing, in_turn
from tiphys.wire.message import Request

BASE = "/api/v1/namespaces"
PREFIX = "pod-security.kubernetes.io/"
NAMESPACES = {
    "exempt": ("restricted", "restricted", "restricted"),
    "implicit": ("", "", ""),
    "privileged": ("privileged", "privileged", "privileged"),
    "baseline": ("baseline", "baseline", "baseline"),
    "baseline-warn": ("", "baseline", ""),
    "baseline-audit": ("", "", "baseline"),
    "restricted": ("restricted", "restricted", "restricted"),
}
"""enforce, warn, audit."""
HARDENED = {
    "allowPrivilegeEscalation": False, "runAsNonRoot": True, "capabilities": {"drop": ["ALL"]},
    "seccompProfile": {"type": "RuntimeDefault"},
}  # fmt: skip


def pod(context: Any = None, **spec: Any) -> dict[str, Any]:
    container = {"name": "c", "image": "a:1", "securityContext": context or {}}
    return {"metadata": {"name": "p"}, "spec": {"containers": [container], **spec}}


PRIVILEGED = pod({"privileged": True})
BASELINE, RESTRICTED = pod(), pod(HARDENED)


class Case(NamedTuple):
    name: str
    namespace: str
    pod: dict[str, Any]
    user: str = "admin"
    notes: str = ""
    """Of audit, as upstream names them: p(olicy) with its level, v(iolations), the reason of an exemption."""
    refused: bool = False
    warned: bool = False
    """Where it was not refused."""


CASES = (
    Case("exempt namespace", "exempt", PRIVILEGED, notes="exempt=namespace"),
    Case("exempt user", "restricted", PRIVILEGED, "alice", notes="exempt=user"),
    Case("exempt runtime", "restricted", pod({"privileged": True}, runtimeClassName="vm"),
         notes="exempt=runtimeClass"),
    Case("exempt user where nothing is refused", "implicit", PRIVILEGED, "alice", notes="exempt=user"),
    Case("open, not said", "implicit", PRIVILEGED, notes="enforce-policy=privileged:latest"),
    Case("open, said", "privileged", PRIVILEGED, notes="enforce-policy=privileged:latest"),
    Case("refused", "restricted", PRIVILEGED, refused=True, warned=True,
         notes="audit-violations,enforce-policy=restricted:latest"),
    Case("let in", "baseline", BASELINE, notes="enforce-policy=baseline:latest"),
    Case("let in, restricted", "restricted", RESTRICTED, notes="enforce-policy=restricted:latest"),
    Case("warned", "baseline-warn", PRIVILEGED, warned=True, notes="enforce-policy=privileged:latest"),
    Case("noted", "baseline-audit", PRIVILEGED,
         notes="audit-violations,enforce-policy=privileged:latest"),
)  # fmt: skip


@pytest.fixture
async def served(serving: Any, tmp_path: Path) -> Any:
    exemptions = {"namespaces": ["exempt"], "usernames": ["alice"], "runtimeClasses": ["vm"]}
    configuration = {
        "apiVersion": "pod-security.admission.config.k8s.io/v1", "kind": "PodSecurityConfiguration",
        "exemptions": exemptions,
    }  # fmt: skip
    document = {
        "apiVersion": "apiserver.config.k8s.io/v1", "kind": "AdmissionConfiguration",
        "plugins": [{"name": "PodSecurity", "configuration": configuration}],
    }  # fmt: skip
    path = tmp_path / "admission.yaml"
    path.write_text(yaml.safe_dump(document))
    off = ("ServiceAccount", "RuntimeClass")
    async with serving(
        admission_config=path, disabled_admission=off, authorization_modes=("AlwaysAllow",)
    ) as api:
        for name, levels in NAMESPACES.items():
            labels = {
                PREFIX + mode: level
                for mode, level in zip(("enforce", "warn", "audit"), levels, strict=True)
                if level
            }
            await api.create(BASE, {"metadata": {"name": name, "labels": labels}})
        yield api


class Told(NamedTuple):
    status: int
    warning: str
    notes: str


async def send(api: Any, method: str, path: str, body: Any, user: str = "admin") -> Told:
    """Send a write that is audited."""
    head = {"authorization": f"Bearer {user}", "content-type": "application/json"}
    request = Request(method, path, "", head, orjson.dumps(body))
    noted = request.scope["audit_annotations"] = {}
    response = await api.server.handler(request)
    kept = {key.removeprefix(PREFIX): value for key, value in noted.items() if key.startswith(PREFIX)}
    shown = [key if key == "audit-violations" else f"{key}={value}" for key, value in sorted(kept.items())]
    return Told(response.status, response.headers.get("warning", ""), ",".join(shown))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
async def test_pods_and_templates(served: Any, case: Case) -> None:
    told = await send(served, "POST", f"{BASE}/{case.namespace}/pods", case.pod, case.user)
    assert told.notes == case.notes
    assert told.status == (403 if case.refused else 201)
    assert bool(told.warning) is (case.warned and not case.refused)
    template = {"metadata": {"labels": {"a": "b"}}, "spec": case.pod["spec"]}
    body = {
        "metadata": {"name": "d"}, "spec": {"selector": {"matchLabels": {"a": "b"}}, "template": template},
    }  # fmt: skip
    told = await send(
        served, "POST", f"/apis/apps/v1/namespaces/{case.namespace}/deployments", body, case.user
    )
    assert told.status == 201  # templates are never refused
    assert bool(told.warning) is case.warned
    assert told.notes == ",".join(
        note for note in case.notes.split(",") if note and not note.startswith("enforce-policy")
    )


async def test_updates(served: Any) -> None:
    path = f"{BASE}/restricted/pods"
    exempt = await send(served, "POST", path, PRIVILEGED, "alice")
    assert exempt.status == 201
    live = await served.get(f"{path}/p")
    live["spec"]["tolerations"] = [*live["spec"].get("tolerations", ()), {"operator": "Exists"}]
    assert await send(served, "PUT", f"{path}/p", live) == Told(200, "", "")  # nothing that checks look at
    live = await served.get(f"{path}/p")
    live["spec"]["containers"][0]["image"] = "other"
    told = await send(served, "PUT", f"{path}/p", live)
    assert (told.status, told.notes) == (403, "audit-violations,enforce-policy=restricted:latest")
    assert (await send(served, "PUT", f"{path}/p/status", live)).notes == ""


async def test_labels_that_mean_nothing_are_noted(served: Any) -> None:
    row = served.server.table.by_path("", "v1", "namespaces")
    labels = {PREFIX + "enforce": "not-a-level", PREFIX + "warn-version": "x"}
    broken = {"metadata": {"name": "broken", "labels": labels, "uid": "u"}, "spec": {}, "status": {}}
    await served.server.objects.create(row, {"kind": "Namespace", "apiVersion": "v1", **broken})
    told = await send(served, "POST", f"{BASE}/broken/pods", BASELINE)
    assert told.status == 403
    assert "error=Failed to parse policy: [metadata.labels[pod-security.kubernetes.io/" in told.notes


def made(name: str, owner: str = "", runtime: str = "", **spec: Any) -> dict[str, Any]:
    owners = [{"uid": owner, "controller": True}] if owner else []
    given = {"runtimeClassName": runtime} if runtime else {}
    return {
        "metadata": {"name": name, "ownerReferences": owners},
        "spec": {"containers": [], **given, **spec},
    }


def never() -> bool:
    return False


def test_pods_of_one_controller_wait_for_others() -> None:
    pods = [
        *(made(f"exempt{number}", runtime="vm") for number in range(4)),
        *(made(f"one{number}", "1", hostPID=True) for number in range(4)),
        *(made(f"two{number}", "2", hostIPC=True) for number in range(4)),
        *(made(f"own{number}", hostNetwork=True) for number in range(4)),
    ]
    tried = in_turn(pods, {"vm"})
    names = [pod["metadata"]["name"] for pod in tried]
    assert names[:6] == ["one0", "two0", "own0", "own1", "own2", "own3"]
    assert len(names) == 12
    told = existing("test", Standard("baseline"), tried, never, most=4)
    assert told == [
        "new PodSecurity enforce level only checked against the first 4 of 12 existing pods",
        'existing pods in namespace "test" violate the new PodSecurity enforce level "baseline:latest"',
        "one0 (and 3 other pods): host namespaces",
    ]


def test_trying_pods_ends_in_time() -> None:
    pods = [made("b", hostPID=True), made("a", hostPID=True), made("c", volumes=[]), made("d")]
    times = iter((False, True))
    assert existing("n", Standard("baseline"), pods, lambda: next(times)) == [
        "new PodSecurity enforce level only checked against the first 2 of 4 existing pods",
        'existing pods in namespace "n" violate the new PodSecurity enforce level "baseline:latest"',
        "a (and 1 other pod): host namespaces",
    ]
    assert existing("n", Standard("baseline"), pods[2:], never) == []


RISES: dict[str, tuple[dict[str, str], dict[str, str], bool]] = {
    # labels before, labels after -> are pods tried
    "the same": ({"enforce": "restricted"}, {"enforce": "restricted"}, False),
    "relaxed": ({"enforce": "restricted"}, {"enforce": "baseline"}, False),
    "relaxed at another version": (
        {"enforce": "restricted", "enforce-version": "v1.0"}, {"enforce": "baseline"}, True
    ),
    "open": ({"enforce": "restricted", "enforce-version": "v1.0"}, {"enforce": "privileged"}, False),
    "taken away": ({"enforce": "restricted", "enforce-version": "v1.0"}, {}, False),
    "risen": ({"enforce": "baseline"}, {"enforce": "restricted"}, True),
    "other modes": ({}, {"audit": "restricted", "warn": "restricted"}, False),
}  # fmt: skip


@pytest.mark.parametrize(("before", "after", "tried"), RISES.values(), ids=RISES)
async def test_when_pods_are_tried(
    api: Any, make_pod: Any, before: dict[str, str], after: dict[str, str], tried: bool
) -> None:
    await api.create(BASE, {"metadata": {"name": "team"}})
    await api.create(f"{BASE}/team/serviceaccounts", {"metadata": {"name": "default"}})
    await api.create(f"{BASE}/team/pods", make_pod("x", hostPID=True))
    for labels in (before, after):
        named = {f"{PREFIX}{key}": labels.get(key) for key in ("enforce", "enforce-version", "audit", "warn")}
        answer = await api.patch(f"{BASE}/team", {"metadata": {"labels": named}})
        assert answer.status == 200
    assert ("existing pods" in answer.headers.get("warning", "")) is tried
