"""A day with kubectl, told three times: with the one on PATH, with Debian's 1.20 and with 1.36."""

from __future__ import annotations

import json
import os
import subprocess
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from cluster import RunningCluster, eventually

pytestmark = pytest.mark.e2e

WEB = "tiphys.test/web:1"


def _fetch(url: str) -> str:
    try:
        with urllib.request.urlopen(url, timeout=3) as answer:
            return str(answer.read().decode())
    except (urllib.error.URLError, OSError) as error:
        raise AssertionError(f"{url}: {error}") from error


def _pod(
    name: str, script: str = "trap 'exit 0' TERM; sleep 1000 & wait", **spec: object
) -> dict[str, object]:
    container = {"name": "main", "image": "tiphys.test/busybox:1", "command": ["sh", "-c", script]}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"app": name}},
        "spec": {"containers": [container], **spec},
    }


@pytest.fixture
def web(any_kubectl: RunningCluster) -> RunningCluster:
    """A deployment of two and its service."""
    it = any_kubectl
    assert "deployment.apps/web created" in it.kubectl("create", "deployment", "web", f"--image={WEB}")
    assert "scaled" in it.kubectl("scale", "deployment/web", "--replicas=2")
    assert "service/web exposed" in it.kubectl("expose", "deployment", "web", "--port=80", "--type=NodePort")
    assert "successfully rolled out" in it.kubectl("rollout", "status", "deployment/web", "--timeout=60s")
    return it


def test_looking_around(any_kubectl: RunningCluster) -> None:
    it = any_kubectl
    wide = it.kubectl("get", "nodes", "-o", "wide").splitlines()
    assert wide[0].split()[:6] == ["NAME", "STATUS", "ROLES", "AGE", "VERSION", "INTERNAL-IP"]
    assert [line.split()[:2] for line in wide[1:]] == [["node-1", "Ready"], ["node-2", "Ready"]]
    assert "containerd://" in wide[1]
    assert "Server Version" in it.kubectl("version")
    resources = it.kubectl("api-resources")
    assert {"deployments", "pods", "cronjobs", "networkpolicies"} <= {
        row.split()[0] for row in resources.splitlines()
    }
    assert "apps/v1" in it.kubectl("api-versions").split()
    assert "is running at" in it.kubectl("cluster-info")
    assert "replicas" in it.kubectl("explain", "deployment.spec")
    assert "<string>" in it.kubectl("explain", "pod.spec.nodeName")
    assert it.kubectl("auth", "can-i", "create", "pods").strip() == "yes"
    assert "Allocated resources" in it.kubectl("describe", "node", "node-1")


def test_reading(web: RunningCluster) -> None:
    rows = web.kubectl("get", "pods", "-o", "wide").splitlines()
    assert rows[0].split()[:7] == ["NAME", "READY", "STATUS", "RESTARTS", "AGE", "IP", "NODE"]
    assert all(row.split()[1:3] == ["1/1", "Running"] for row in rows[1:])
    assert len(rows) == 3
    listing = web.json("get", "pods")
    names = sorted(item["metadata"]["name"] for item in listing["items"])
    assert listing["kind"] == "List"
    assert "kind: Pod" in web.kubectl("get", "pod", names[0], "-o", "yaml")
    assert web.kubectl("get", "pods", "-o", "jsonpath={.items[*].status.phase}") == "Running Running"
    table = web.kubectl("get", "pods", "-o", "custom-columns=N:.metadata.name,I:.spec.containers[0].image")
    assert table.splitlines()[1].split() == [names[0], WEB]
    roles = [role["metadata"] for role in web.json("get", "clusterroles")["items"]]
    roles.sort(key=lambda role: int(role["resourceVersion"]))
    by_age = web.kubectl("get", "clusterroles", "--sort-by=.metadata.resourceVersion", "-o", "name").split()
    assert by_age == [f"clusterrole.rbac.authorization.k8s.io/{role['name']}" for role in roles]
    assert web.kubectl("get", "pods", "-l", "app=web", "--no-headers").count("web-") == 2
    assert "No resources found" in web.try_kubectl("get", "pods", "-l", "app=other").err
    missing = web.try_kubectl("get", "pod", "none")
    assert missing.code == 1
    assert missing.err == 'Error from server (NotFound): pods "none" not found\n'
    described = web.kubectl("describe", "pod", names[0])
    assert "Successfully assigned" in described
    assert "Started" in described
    assert "web-" in web.kubectl("describe", "deployment", "web")
    assert "Endpoints:" in web.kubectl("describe", "service", "web")
    assert "Scheduled" in web.kubectl("get", "events", "--sort-by=.lastTimestamp")


def test_watching_and_scaling(web: RunningCluster) -> None:
    with web.background("get", "pods", "--watch") as watch:
        watch.until("Running")
        assert "scaled" in web.kubectl("scale", "deployment/web", "--replicas=3", "--current-replicas=2")
        watch.until("ContainerCreating")
        web.wait("deployment/web", "condition=Available")
        eventually(lambda: web.path("deployment/web", ".status.readyReplicas") == "3")
        web.kubectl("scale", "deployment/web", "--replicas=1")
        watch.until("Terminating")
    eventually(lambda: web.kubectl("get", "pods", "-o", "name").count("pod/") == 1)


def test_rollout(web: RunningCluster) -> None:
    assert "image updated" in web.kubectl("set", "image", "deployment/web", "web=tiphys.test/web:2")
    web.kubectl("rollout", "status", "deployment/web", "--timeout=60s")
    assert "REVISION" in web.kubectl("rollout", "history", "deployment/web")
    assert "tiphys.test/web:2" in web.kubectl("rollout", "history", "deployment/web", "--revision=2")
    assert "rolled back" in web.kubectl("rollout", "undo", "deployment/web")
    web.kubectl("rollout", "status", "deployment/web", "--timeout=60s")
    assert web.path("deployment/web", ".spec.template.spec.containers[0].image") == WEB
    assert "restarted" in web.kubectl("rollout", "restart", "deployment/web")
    web.kubectl("rollout", "status", "deployment/web", "--timeout=60s")
    assert web.kubectl("get", "replicasets", "-o", "name").count("replicaset") == 3


def test_marking_and_editing(web: RunningCluster, tmp_path: Path) -> None:
    assert "labeled" in web.kubectl("label", "deployment/web", "tier=front")
    refused = web.try_kubectl("label", "deployment/web", "tier=back")
    assert refused.code == 1
    assert "overwrite" in refused.err
    web.kubectl("label", "--overwrite", "deployment/web", "tier=back")
    assert web.kubectl("get", "deployments", "-L", "tier").splitlines()[1].split()[-1] == "back"
    web.kubectl("label", "deployment/web", "tier-")
    assert "annotated" in web.kubectl("annotate", "deployment/web", "note=hello there")
    assert web.path("deployment/web", ".metadata.annotations.note") == "hello there"
    web.kubectl("patch", "deployment", "web", "-p", '{"spec":{"minReadySeconds":1}}')
    editor = tmp_path / "editor"
    editor.write_text("#!/bin/sh\nexec sed -i 's/minReadySeconds: 1/minReadySeconds: 0/' \"$1\"\n")
    editor.chmod(0o755)
    edited = web.try_kubectl(
        "edit", "deployment/web", env={"EDITOR": str(editor), "KUBE_EDITOR": str(editor)}
    )
    assert edited.code == 0
    assert "deployment.apps/web edited" in edited.out
    assert not web.path("deployment/web", ".spec.minReadySeconds").strip("0")


def test_inside_a_pod(any_kubectl: RunningCluster, tmp_path: Path) -> None:
    it = any_kubectl
    counting = "trap 'exit 0' TERM; i=0; while true; do i=$((i+1)); echo line $i; sleep 0.2 & wait $!; done"
    it.apply(_pod("box"), _pod("count", counting))
    it.ready("box", "count")
    with it.background("logs", "-f", "count") as logs:
        logs.until("line 1\n")
        logs.until("line 5\n")
    assert it.kubectl("logs", "count", "--tail=1").startswith("line ")
    assert it.kubectl("logs", "count", "--timestamps", "--tail=1")[:2] == "20"
    with it.background("attach", "count") as attached:
        attached.until("line ")
    assert it.sh("box", "echo out; echo err >&2") == "out\n"
    assert it.try_kubectl("exec", "box", "--", "sh", "-c", "exit 7").code == 7
    assert it.kubectl("exec", "-i", "box", "--", "cat", stdin="through\n") == "through\n"
    with it.terminal("exec", "-it", "box", "--", "sh") as terminal:
        terminal.until("# ")
        terminal.type("tty; echo $((6*7))\n")
        terminal.until("42\r\n")
        assert "/dev/pts/" in terminal.text
        terminal.type("exit 3\n")
        assert terminal.process.wait(20) == 3
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "big").write_bytes(os.urandom(3_000_000))
    it.kubectl("cp", str(tmp_path / "tree"), f"{it.namespace}/box:/tmp/tree")
    it.kubectl("cp", f"{it.namespace}/box:/tmp/tree/big", str(tmp_path / "back"))
    assert (tmp_path / "back").read_bytes() == (tmp_path / "tree" / "big").read_bytes()


def test_port_forward(web: RunningCluster) -> None:
    pod = web.kubectl("get", "pods", "-o", "name").split()[0]
    for target in (pod, "service/web", "deployment/web"):
        with web.background("port-forward", target, ":80") as forward:
            port = forward.until("Forwarding from 127.0.0.1:").split("127.0.0.1:")[1].split()[0]
            assert _fetch(f"http://127.0.0.1:{port}/").startswith("v1 web-")
            assert _fetch(f"http://127.0.0.1:{port}/").startswith("v1 web-")


def test_deleting(any_kubectl: RunningCluster) -> None:
    it = any_kubectl
    it.apply(_pod("gentle"), _pod("hard", "trap '' TERM; while true; do sleep 1; done"))
    it.ready("gentle", "hard")
    assert 'pod "gentle" deleted' in it.kubectl("delete", "pod", "gentle")
    forced = it.try_kubectl("delete", "pod", "hard", "--force", "--grace-period=0")
    assert forced.code == 0
    assert "Immediate deletion" in forced.err
    assert it.kubectl("get", "pods", "-o", "name") == ""
    it.kubectl("create", "deployment", "web", f"--image={WEB}")
    it.wait("deployment/web", "condition=Available")
    it.kubectl("delete", "deployment", "web")
    eventually(lambda: it.kubectl("get", "pods,replicasets", "-o", "name") == "")


def _site(greeting: str, replicas: int) -> list[dict[str, object]]:
    env = [
        {"name": "GREETING", "valueFrom": {"configMapKeyRef": {"name": "site", "key": "greeting"}}},
        {"name": "WORD", "valueFrom": {"secretKeyRef": {"name": "site", "key": "word"}}},
    ]
    template = {
        "metadata": {"labels": {"app": "site"}},
        "spec": {"containers": [{"name": "web", "image": WEB, "env": env, "ports": [{"containerPort": 80}]}]},
    }
    meta = {"name": "site"}
    return [
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": {"greeting": greeting}},
        {"apiVersion": "v1", "kind": "Secret", "metadata": meta, "stringData": {"word": "hush"}},
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": meta,
            "spec": {"selector": {"app": "site"}, "ports": [{"port": 80}]},
        },
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": meta,
            "spec": {
                "replicas": replicas,
                "selector": {"matchLabels": {"app": "site"}},
                "template": template,
            },
        },
    ]


@pytest.mark.parametrize("how", [[], ["--server-side"]], ids=["client", "server"])
def test_applying(any_kubectl: RunningCluster, tmp_path: Path, how: list[str]) -> None:
    it = any_kubectl
    file = tmp_path / "site.json"

    def apply(*objects: dict[str, object]) -> str:
        file.write_text("\n".join(json.dumps(item) for item in objects))
        return it.kubectl("apply", *how, "-f", str(file))

    done = "serverside-applied" if how else "created"
    first = apply(*_site("hello", 1))
    assert first.splitlines() == [
        f"configmap/site {done}",
        f"secret/site {done}",
        f"service/site {done}",
        f"deployment.apps/site {done}",
    ]
    it.kubectl("rollout", "status", "deployment/site", "--timeout=60s")
    pod = it.kubectl("get", "pods", "-l", "app=site", "-o", "name").strip()
    assert it.kubectl("exec", pod, "--", "sh", "-c", "echo $GREETING $WORD") == "hello hush\n"
    again = apply(*_site("hello", 1))
    assert how or again.count("unchanged") == 3
    assert it.kubectl("get", pod, "-o", "name").strip() == pod
    ip = it.path("service/site", ".spec.clusterIP")
    edited = _site("welcome", 2)
    del edited[3]["spec"]["template"]["spec"]["containers"][0]["env"][1]  # type: ignore[index]
    third = apply(*edited)
    assert how or ("configmap/site configured" in third and "deployment.apps/site configured" in third)
    it.kubectl("rollout", "status", "deployment/site", "--timeout=60s")
    container = it.json("get", "deployment", "site")["spec"]["template"]["spec"]["containers"][0]
    assert [item["name"] for item in container["env"]] == ["GREETING"]
    assert it.path("service/site", ".spec.clusterIP") == ip
    assert it.path("configmap/site", ".data.greeting") == "welcome"
    diff = it.try_kubectl("diff", *how, "-f", str(file))
    assert diff.code == 0, diff.all
    file.write_text(json.dumps({**edited[0], "data": {"greeting": "other"}}))
    assert it.try_kubectl("diff", *how, "-f", str(file)).code == 1


def test_apply_conflicts_are_told(newest: RunningCluster) -> None:
    def settings(value: str) -> str:
        obj = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": {"k": value}}
        return json.dumps(obj)

    command = ["apply", "--server-side", "-f", "-", "--field-manager"]
    newest.kubectl(*command, "one", stdin=settings("a"))
    refused = newest.try_kubectl(*command, "two", stdin=settings("b"))
    assert refused.code == 1
    assert 'conflict with "one": .data.k' in refused.err
    newest.kubectl(*command, "two", "--force-conflicts", stdin=settings("b"))
    assert newest.path("configmap/c", ".data.k") == "b"


def test_the_way_people_pipe_it(newest: RunningCluster) -> None:
    """With ``script`` for a terminal, and a manifest made by kubectl itself."""
    made = newest.kubectl(
        "create", "configmap", "made", "--from-literal=a=b", "--dry-run=client", "-o", "yaml"
    )
    assert "created" in newest.kubectl("create", "-f", "-", stdin=made)
    assert "replaced" in newest.kubectl("replace", "-f", "-", stdin=made)
    # It waits for its input: what a program says before anybody has attached is not repeated.
    run = ["run", "once", "--image=tiphys.test/busybox:1", "--rm", "-i", "--restart=Never", "--", "cat"]
    assert "hi" in newest.kubectl(*run, stdin="hi\n")
    command = " ".join(newest.argv("get", "pods"))
    subprocess.run(["script", "-qec", command, "/dev/null"], env=newest.env, check=True, capture_output=True)
