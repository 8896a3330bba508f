"""PodSecurity over the API: refusals, warnings, namespaces whose level rises."""

from __future__ import annotations

from typing import Any

PODS = "/api/v1/namespaces/team/pods"
PREFIX = "pod-security.kubernetes.io/"


async def namespace(api: Any, **labels: str) -> None:
    named = {PREFIX + key.replace("_", "-"): value for key, value in labels.items()}
    await api.create("/api/v1/namespaces", {"metadata": {"name": "team", "labels": named}})
    await api.create("/api/v1/namespaces/team/serviceaccounts", {"metadata": {"name": "default"}})


async def test_enforce_refuses_pods(api: Any, make_pod: Any) -> None:
    await namespace(api, enforce="baseline")
    answer = await api("POST", PODS, make_pod("x", hostNetwork=True))
    assert answer.status == 403
    assert answer.message == (
        'pods "x" is forbidden: violates PodSecurity "baseline:latest": host namespaces (hostNetwork=true)'
    )
    await api.create(PODS, make_pod("x"))


async def test_warn_lets_in(api: Any, make_pod: Any) -> None:
    await namespace(api, warn="baseline", warn_version="v1.30")
    answer = await api("POST", PODS, make_pod("x", hostPID=True))
    assert answer.status == 201
    assert (
        'would violate PodSecurity \\"baseline:v1.30\\": host namespaces (hostPID=true)'
        in answer.headers["warning"]
    )


async def test_templates_are_only_warned_about(api: Any, make_pod: Any) -> None:
    await namespace(api, enforce="baseline", warn="baseline")
    pod = make_pod("x", hostNetwork=True)
    body = {
        "metadata": {"name": "d"},
        "spec": {
            "selector": {"matchLabels": {"app": "x"}},
            "template": {"metadata": pod["metadata"], "spec": pod["spec"]},
        },
    }
    answer = await api("POST", "/apis/apps/v1/namespaces/team/deployments", body)
    assert answer.status == 201
    assert "host namespaces" in answer.headers["warning"]


async def test_a_stricter_level_names_existing_pods(api: Any, make_pod: Any) -> None:
    await namespace(api)
    for name in ("b", "a"):
        await api.create(PODS, make_pod(name, hostIPC=True))
    labels = {"metadata": {"labels": {PREFIX + "enforce": "baseline"}}}
    answer = await api.patch("/api/v1/namespaces/team", labels)
    assert answer.status == 200
    assert (
        'existing pods in namespace \\"team\\" violate the new PodSecurity enforce level '
        '\\"baseline:latest\\"' in answer.headers["warning"]
    )
    assert "a (and 1 other pod): host namespaces" in answer.headers["warning"]


async def test_labels_must_mean_something(api: Any) -> None:
    body = {"metadata": {"name": "team", "labels": {PREFIX + "enforce": "strict"}}}
    answer = await api("POST", "/api/v1/namespaces", body)
    assert answer.status == 422
    assert answer.message == (
        'Namespace "team" is invalid: metadata.labels[pod-security.kubernetes.io/enforce]: Invalid value: '
        '"strict": must be one of privileged, baseline, restricted'
    )
