"""What admission adds to objects and what it refuses."""

from __future__ import annotations

from typing import Any

PODS = "/api/v1/namespaces/default/pods"
BASE = "/api/v1/namespaces/default"


async def test_pods_get_their_account_and_tolerations(api: Any, make_pod: Any) -> None:
    made = await api.create(PODS, make_pod())
    spec = made["spec"]
    assert (spec["serviceAccountName"], spec["serviceAccount"]) == ("default", "default")
    volume = spec["volumes"][0]
    assert volume["name"].startswith("kube-api-access-")
    assert volume["projected"] == {
        "sources": [
            {"serviceAccountToken": {"expirationSeconds": 3607, "path": "token"}},
            {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
            {"downwardAPI": {"items": [
                {"path": "namespace", "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}}]}},
        ],
        "defaultMode": 420,
    }  # fmt: skip
    assert spec["containers"][0]["volumeMounts"] == [
        {
            "name": volume["name"],
            "readOnly": True,
            "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount",
        }
    ]
    assert [item["key"] for item in spec["tolerations"]] == [
        "node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"
    ]  # fmt: skip
    assert (spec["priority"], spec["preemptionPolicy"]) == (0, "PreemptLowerPriority")


async def test_automount_can_be_declined(api: Any, make_pod: Any) -> None:
    made = await api.create(PODS, make_pod(automountServiceAccountToken=False))
    assert "volumes" not in made["spec"]


async def test_priority_class(api: Any, make_pod: Any) -> None:
    made = await api.create(PODS, make_pod(priorityClassName="system-node-critical"))
    assert made["spec"]["priority"] == 2000001000
    answer = await api("POST", PODS, make_pod("q", priorityClassName="none"))
    assert answer.message == 'pods "q" is forbidden: no PriorityClass with name none was found'


async def test_one_priority_class_is_the_default(api: Any) -> None:
    classes = "/apis/scheduling.k8s.io/v1/priorityclasses"
    first = {"metadata": {"name": "a"}, "value": 1, "globalDefault": True}
    await api.create(classes, first)
    for name in ("a", "b"):  # also the very same again
        refused = await api("POST", classes, {**first, "metadata": {"name": name}})
        assert (refused.status, refused.message) == (
            403,
            f'priorityclasses.scheduling.k8s.io "{name}" is forbidden: PriorityClass a is already marked as '
            "default. Only one default can exist",
        )
    kept = await api.patch(f"{classes}/a", {"description": "d"})
    assert kept.status == 200


async def test_namespace_must_exist(api: Any) -> None:
    answer = await api("POST", "/api/v1/namespaces/none/configmaps", {"metadata": {"name": "x"}})
    assert (answer.status, answer.message) == (404, 'namespaces "none" not found')
    answer = await api("DELETE", "/api/v1/namespaces/default")
    assert answer.message == 'namespaces "default" is forbidden: this namespace may not be deleted'


async def test_limit_range(api: Any, make_pod: Any) -> None:
    limits = {
        "type": "Container",
        "default": {"cpu": "200m"},
        "defaultRequest": {"cpu": "100m"},
        "max": {"cpu": "1"},
    }
    await api.create(BASE + "/limitranges", {"metadata": {"name": "l"}, "spec": {"limits": [limits]}})
    made = await api.create(PODS, make_pod())
    assert made["spec"]["containers"][0]["resources"] == {
        "limits": {"cpu": "200m"},
        "requests": {"cpu": "100m"},
    }
    body = make_pod("q")
    body["spec"]["containers"][0]["resources"] = {"limits": {"cpu": "2"}}
    answer = await api("POST", PODS, body)
    assert answer.message == 'pods "q" is forbidden: maximum cpu usage per Container is 1, but limit is 2'
    bigger = {"spec": {"containers": [{"name": "c", "resources": {"limits": {"cpu": "3"}}}]}}
    answer = await api.patch(f"{PODS}/p/resize", bigger, "strategic")
    assert answer.message == 'pods "p" is forbidden: maximum cpu usage per Container is 1, but limit is 3'


async def test_new_nodes_are_tainted(api: Any) -> None:
    made = await api.create(
        "/api/v1/nodes", {"metadata": {"name": "n"}, "status": {"capacity": {"cpu": "1"}}}
    )
    assert made["spec"]["taints"] == [{"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}]
    assert made["status"]["capacity"] == {"cpu": "1"}


async def test_claims(api: Any) -> None:
    await api.create(
        "/apis/storage.k8s.io/v1/storageclasses",
        {
            "metadata": {"name": "s", "annotations": {"storageclass.kubernetes.io/is-default-class": "true"}},
            "provisioner": "x.io/y",
        },
    )
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    made = await api.create(BASE + "/persistentvolumeclaims", {"metadata": {"name": "c"}, "spec": spec})
    assert made["spec"]["storageClassName"] == "s"
    assert made["metadata"]["finalizers"] == ["kubernetes.io/pvc-protection"]


async def test_a_node_touches_only_its_own(api: Any) -> None:
    for name in ("n1", "n2"):
        await api.create("/api/v1/nodes", {"metadata": {"name": name}})
    patch = {"metadata": {"labels": {"x": "y"}}}
    answer = await api.patch("/api/v1/nodes/n2", patch, user="node")
    assert answer.message in (
        'nodes "n2" is forbidden: node "n1" is not allowed to modify node "n2"',
        'nodes "n2" is forbidden: User "system:node:n1" cannot patch resource "nodes" in API group "" '
        "at the cluster scope",
    )


async def test_pods_of_one_template_have_one_token_volume(api: Any, make_pod: Any) -> None:
    names = []
    for name, more in (("a", {}), ("b", {}), ("c", {"restartPolicy": "Never"})):
        made = await api.create(PODS, make_pod(name, **more))
        names.append(made["spec"]["volumes"][0]["name"])
    assert names[0] == names[1] != names[2]
    volume = {"name": names[0], "emptyDir": {}}
    made = await api.create(PODS, make_pod("d", volumes=[volume]))
    assert [item["name"] for item in made["spec"]["volumes"]] == [names[0]]


async def test_a_volume_without_a_name_is_told_of(api: Any, make_pod: Any) -> None:
    answer = await api("POST", PODS, make_pod(volumes=[{"emptyDir": {}}]))
    assert (answer.status, "spec.volumes[0].name: Required value" in answer.message) == (422, True)
