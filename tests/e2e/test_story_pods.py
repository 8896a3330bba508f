"""What a pod may ask for, seen from inside its containers and from the kernel."""

from __future__ import annotations

from pathlib import Path

import pytest
from cluster import RunningCluster, eventually
from manifests import IDLE, container, pod

pytestmark = pytest.mark.e2e


def _env(name: str, path: str) -> dict[str, object]:
    return {"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}}


def test_settings_secrets_and_facts(cluster: RunningCluster) -> None:
    cluster.kubectl("create", "configmap", "conf", "--from-literal=colour=blue")
    cluster.kubectl("create", "secret", "generic", "hush", "--from-literal=word=open")
    main = container(
        env=[
            {"name": "COLOUR", "valueFrom": {"configMapKeyRef": {"name": "conf", "key": "colour"}}},
            {"name": "PAINT", "value": "light $(COLOUR)"},
            _env("NODE", "spec.nodeName"),
            _env("IP", "status.podIP"),
            {"name": "CPU", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu", "divisor": "1m"}}},
        ],
        envFrom=[{"secretRef": {"name": "hush"}, "prefix": "S_"}],
        resources={"limits": {"cpu": "500m", "memory": "32Mi"}},
        volumeMounts=[
            {"name": "conf", "mountPath": "/conf"},
            {"name": "hush", "mountPath": "/hush", "readOnly": True},
            {"name": "facts", "mountPath": "/facts"},
            {"name": "shared", "mountPath": "/shared"},
        ],
    )
    reader = {**container(), "name": "reader", "volumeMounts": [{"name": "shared", "mountPath": "/seen"}]}
    item = {"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}}
    volumes = [
        {"name": "conf", "configMap": {"name": "conf"}},
        {"name": "hush", "secret": {"secretName": "hush", "defaultMode": 0o400}},
        {"name": "facts", "downwardAPI": {"items": [item]}},
        {"name": "shared", "emptyDir": {}},
    ]
    cluster.apply(pod("all", main, reader, volumes=volumes))
    cluster.ready("all")
    node, ip = cluster.path("pod/all", ".spec.nodeName"), cluster.path("pod/all", ".status.podIP")
    seen = cluster.sh("all", "echo $COLOUR,$PAINT,$NODE,$IP,$CPU,$S_word", "-c", "main")
    assert seen == f"blue,light blue,{node},{ip},500,open\n"
    assert cluster.sh("all", "cat /conf/colour /hush/word /facts/labels", "-c", "main") == 'blueopenapp="all"'
    assert cluster.sh("all", "stat -Lc %a /hush/word", "-c", "main") == "400\n"
    cluster.sh("all", "echo here > /shared/file", "-c", "main")
    assert cluster.sh("all", "cat /seen/file", "-c", "reader") == "here\n"
    cluster.kubectl("label", "pod", "all", "later=yes")
    cluster.kubectl("patch", "configmap", "conf", "-p", '{"data":{"colour":"red"}}')
    eventually(lambda: 'later="yes"' in cluster.sh("all", "cat /facts/labels", "-c", "main"), 90)
    eventually(lambda: cluster.sh("all", "cat /conf/colour", "-c", "main") == "red", 90)
    uid = cluster.path("pod/all", ".metadata.uid")
    folders = list(Path("/sys/fs/cgroup").glob(f"**/tiphys/tiphys{cluster.index}/**/*{uid}*"))
    limits = {
        file.read_text().split()[0]
        for folder in folders
        for name in ("memory.max", "memory.limit_in_bytes")
        for file in folder.glob(f"**/{name}")
    }
    assert str(32 * 1024 * 1024) in limits


def test_who_runs_and_what_may_be_written(cluster: RunningCluster) -> None:
    context = {"runAsUser": 1234, "runAsGroup": 2345, "readOnlyRootFilesystem": True}
    cluster.apply(
        pod("strict", container(securityContext=context), securityContext={"fsGroup": 3456}),
        pod("rooted", container(securityContext={"runAsNonRoot": True})),
    )
    cluster.ready("strict")
    assert cluster.sh("strict", "id -u; id -g; id -G") == "1234\n2345\n2345 3456\n"
    assert "Read-only file system" in cluster.try_kubectl("exec", "strict", "--", "touch", "/tmp/x").err
    waiting = ".status.containerStatuses[0].state.waiting"
    eventually(lambda: cluster.path("pod/rooted", f"{waiting}.reason") == "CreateContainerConfigError")
    assert "container has runAsNonRoot and image will run as root" in cluster.path(
        "pod/rooted", f"{waiting}.message"
    )


def test_probes(cluster: RunningCluster) -> None:
    often = {"periodSeconds": 1, "failureThreshold": 1}
    alive = {**often, "exec": {"command": ["test", "!", "-e", "/tmp/dead"]}}
    start = {**often, "failureThreshold": 30, "tcpSocket": {"port": 80}}
    ready = {**often, "httpGet": {"path": "/", "port": 80}}
    script = "echo ok >/tmp/index.html; trap 'exit 0' TERM; httpd -f -p 80 -h /tmp & wait"
    cluster.apply(
        pod("probed", container(script, livenessProbe=alive, startupProbe=start, readinessProbe=ready))
    )
    cluster.ready("probed")
    cluster.sh("probed", "touch /tmp/dead")
    eventually(lambda: cluster.path("pod/probed", ".status.containerStatuses[0].restartCount") == "1")
    cluster.ready("probed")
    assert "Liveness probe failed" in cluster.kubectl("get", "events")


def test_order_of_starting(cluster: RunningCluster) -> None:
    mount = [{"name": "log", "mountPath": "/log"}]
    first = {**container("echo first >> /log/order"), "name": "first", "volumeMounts": mount}
    side = {
        **container(f"echo side >> /log/order; {IDLE}"),
        "name": "side",
        "volumeMounts": mount,
        "restartPolicy": "Always",
        "startupProbe": {"exec": {"command": ["grep", "side", "/log/order"]}, "periodSeconds": 1},
    }
    main = container("echo main >> /log/order; cat /log/order", volumeMounts=mount)
    cluster.apply(
        pod(
            "job",
            main,
            initContainers=[first, side],
            restartPolicy="Never",
            volumes=[{"name": "log", "emptyDir": {}}],
        )
    )
    cluster.wait("pod/job", "jsonpath={.status.phase}=Succeeded")
    assert cluster.kubectl("logs", "job", "-c", "main") == "first\nside\nmain\n"


def test_restart_policies(cluster: RunningCluster) -> None:
    cluster.apply(
        pod("never", container("exit 3"), restartPolicy="Never"),
        pod("onfailure", container("exit 0"), restartPolicy="OnFailure"),
        pod("always", container("echo again; exit 1")),
    )
    cluster.wait("pod/never", "jsonpath={.status.phase}=Failed")
    assert cluster.path("pod/never", ".status.containerStatuses[0].state.terminated.exitCode") == "3"
    cluster.wait("pod/onfailure", "jsonpath={.status.phase}=Succeeded")
    status = ".status.containerStatuses[0]"
    eventually(lambda: cluster.path("pod/always", f"{status}.state.waiting.reason") == "CrashLoopBackOff")
    assert "CrashLoopBackOff" in cluster.kubectl("get", "pod", "always")
    assert "back-off 10s restarting failed container=main" in cluster.path(
        "pod/always", f"{status}.state.waiting.message"
    )
    eventually(lambda: int(cluster.path("pod/always", f"{status}.restartCount")) >= 2)
    assert cluster.kubectl("logs", "always", "--previous") == "again\n"
