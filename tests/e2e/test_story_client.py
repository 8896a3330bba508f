"""What kubectl promises of a cluster, with the newest one: controllers, proxies, logs, an application."""

from __future__ import annotations

import http.client
import json
import re
import socket
import urllib.request
from pathlib import Path

import pytest
from cluster import RunningCluster, eventually
from images import BUSYBOX
from manifests import IDLE, Object, container, deployment, pod, service

pytestmark = pytest.mark.e2e
WEB = "tiphys.test/web:1"


def controller(name: str, replicas: int, *containers: Object) -> Object:
    """A ReplicationController."""
    template = pod(name, *containers)
    return {
        "apiVersion": "v1",
        "kind": "ReplicationController",
        "metadata": {"name": name, "labels": {"app": name}},
        "spec": {
            "replicas": replicas,
            "selector": {"app": name},
            "template": {"metadata": {"labels": {"app": name}}, "spec": template["spec"]},
        },
    }


def _running(it: RunningCluster, selector: str) -> list[str]:
    items = it.json("get", "pods", "-l", selector)["items"]
    return sorted(
        item["metadata"]["name"]
        for item in items
        if item["status"]["phase"] == "Running" and "deletionTimestamp" not in item["metadata"]
    )


def test_a_controller_by_hand(newest: RunningCluster) -> None:
    """Created, described, exposed twice, patched, scaled down and up, deleted."""
    it = newest
    ports = [{"name": "http", "containerPort": 80}]
    it.apply(controller("primary", 2, {"name": "web", "image": WEB, "ports": ports}))
    names = eventually(lambda: len(found := _running(it, "app=primary")) == 2 and found)
    it.ready(*names)
    described = it.kubectl("describe", "rc", "primary")
    for line in (
        r"Name: +primary",
        r"Selector: +app=primary",
        r"Labels: +app=primary",
        r"Replicas: +2 current / 2 desired",
        r"Pods Status: +2 Running / 0 Waiting / 0 Succeeded / 0 Failed",
        r"Image: +tiphys.test/web:1",
        "Events:",
    ):
        assert re.search(line, described), (line, described)
    described = it.kubectl("describe", "pod", names[0])
    for line in (
        rf"Name: +{names[0]}",
        rf"Namespace: +{it.namespace}",
        r"Labels: +app=primary",
        r"Status: +Running",
        r"Controlled By: +ReplicationController/primary",
        r"Image: +tiphys.test/web:1",
        r"State: +Running",
        r"QoS Class: +BestEffort",
    ):
        assert re.search(line, described), (line, described)
    assert "exposed" in it.kubectl("expose", "rc", "primary", "--name=rm2", "--port=1234", "--target-port=80")
    assert "exposed" in it.kubectl(
        "expose", "service", "rm2", "--name=rm3", "--port=2345", "--target-port=80"
    )
    for name, port in (("rm2", 1234), ("rm3", 2345)):
        (found,) = it.json("get", "service", name)["spec"]["ports"]
        assert (found["port"], found["targetPort"]) == (port, 80)
        eventually(lambda name=name: len(_endpoints(it, name)) == 2)
        assert re.search(
            rf"Port: .*{port}/TCP\nTargetPort: +80/TCP\nEndpoints: +10",
            it.kubectl("describe", "service", name),
        )
    for name in names:
        it.kubectl("patch", "pod", name, "-p", '{"metadata":{"annotations":{"x":"y"}}}')
        assert it.path(f"pod/{name}", ".metadata.annotations.x") == "y"
    for count in (1, 2):
        assert "scaled" in it.kubectl("scale", "rc", "primary", f"--replicas={count}", "--timeout=1m")
        eventually(lambda count=count: len(_running(it, "app=primary")) == count)
    it.kubectl("delete", "rc", "primary")
    eventually(lambda: not _running(it, "app=primary"))


SERVE_NAME = "mkdir /www; hostname > /www/index.html; trap 'exit 0' TERM; httpd -f -p 80 -h /www & wait"


@pytest.mark.parametrize("kind", ["ReplicationController", "ReplicaSet"])
def test_every_replica_serves_its_own_name(newest: RunningCluster, kind: str) -> None:
    it = newest
    made = controller("names", 2, container(SERVE_NAME, ports=[{"containerPort": 80}]))
    if kind == "ReplicaSet":
        made |= {"apiVersion": "apps/v1", "kind": kind}
        made["spec"]["selector"] = {"matchLabels": made["spec"]["selector"]}
    it.apply(made)
    names = eventually(lambda: len(found := _running(it, "app=names")) == 2 and found)
    it.ready(*names)
    for name in names:
        path = f"/api/v1/namespaces/{it.namespace}/pods/{name}/proxy/"
        assert eventually(lambda path=path: it.kubectl("get", "--raw", path)).strip() == name


def _endpoints(it: RunningCluster, name: str) -> list[str]:
    slices = it.json("get", "endpointslices", "-l", f"kubernetes.io/service-name={name}")["items"]
    return [address for one in slices for end in one["endpoints"] or () for address in end["addresses"]]


def test_the_cluster_describes_itself(newest: RunningCluster) -> None:
    it = newest
    assert "v1" in it.kubectl("api-versions").split()
    assert "Kubernetes control plane" in it.kubectl("cluster-info")
    versions = json.loads(it.kubectl("version", "-o", "json"))
    for side in ("clientVersion", "serverVersion"):
        assert set(versions[side]) >= {
            "major",
            "minor",
            "gitVersion",
            "gitCommit",
            "gitTreeState",
            "buildDate",
            "goVersion",
            "compiler",
            "platform",
        }
        assert (versions[side]["major"], versions[side]["minor"]) == ("1", "36")
    described = it.kubectl("describe", "namespace", it.namespace)
    assert re.search(rf"Name: +{it.namespace}\n(.*\n)*Status: +Active", described)
    described = it.kubectl("describe", "node", "node-1")
    for line in (
        r"Name: +node-1",
        r"Roles: +",
        r"Labels: +beta.kubernetes.io/arch=",
        r"CreationTimestamp: ",
        r"Taints: +<none>",
        r"Unschedulable: +false",
        r"Lease:\n  HolderIdentity: +node-1",
        r"Conditions:",
        r"MemoryPressure +False",
        r"KubeletReady",
        r"Addresses:\n  InternalIP: ",
        r"Capacity:",
        r"Allocatable:",
        r"System Info:",
        r"Container Runtime Version: +containerd://",
        r"Kubelet Version: +v1.36",
        r"PodCIDR: ",
        r"Non-terminated Pods: ",
        r"Allocated resources:",
        r"ephemeral-storage",
        r"Events:",
    ):
        assert re.search(line, described), (line, described)


def test_labels_images_and_dry_runs(newest: RunningCluster) -> None:
    it = newest
    assert it.kubectl("run", "one", f"--image={WEB}", "--restart=Never") == "pod/one created\n"
    assert it.path("pod/one", ".spec.containers[0].image") == WEB
    assert it.path("pod/one", ".spec.restartPolicy") == "Never"
    it.ready("one")
    it.kubectl("label", "pod", "one", "testing-label=testing-label-value")
    assert "testing-label-value" in it.kubectl("get", "pod", "one", "-L", "testing-label")
    it.kubectl("label", "pod", "one", "testing-label-")
    assert "testing-label-value" not in it.kubectl("get", "pod", "one", "-L", "testing-label")
    patch = json.dumps({"spec": {"containers": [{"name": "one", "image": BUSYBOX}]}})
    it.kubectl("patch", "pod", "one", "-p", patch, "--dry-run=server")
    assert it.path("pod/one", ".spec.containers[0].image") == WEB
    it.kubectl("run", "again", f"--image={WEB}")
    it.ready("again")
    live = it.json("get", "pod", "again")
    live["spec"]["containers"][0]["image"] = "tiphys.test/web:2"
    assert "replaced" in it.kubectl("replace", "-f", "-", stdin=json.dumps(live))
    image = ".status.containerStatuses[0].image"
    eventually(lambda: it.path("pod/again", image) == "tiphys.test/web:2")
    uid = live["metadata"]["uid"]
    assert "replaced" in it.kubectl("replace", "--force", "-f", "-", stdin=json.dumps(live))
    assert it.path("pod/again", ".metadata.uid") != uid
    it.apply(deployment("differs", 1))
    other = deployment("differs", 1, container(image=WEB))
    shown = it.try_kubectl("diff", "-f", "-", stdin=json.dumps(other))
    assert shown.code == 1
    for sign, image_name in (("-", BUSYBOX), ("+", WEB)):
        line = rf"^\{sign} +(- )?image: {re.escape(image_name)}$"
        assert re.search(line, shown.out, re.MULTILINE), shown.out


def test_proxies(newest: RunningCluster, tmp_path: Path) -> None:
    with newest.background("proxy", "--port=0", "--disable-filter=true") as proxy:
        said = proxy.until("Starting to serve on 127.0.0.1:")
        said = proxy.until("\n")
        port = said.split("127.0.0.1:")[1].split()[0]
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/", timeout=5) as answer:
            assert json.load(answer)["versions"] == ["v1"]
    path = tmp_path / "s"
    with newest.background("proxy", f"--unix-socket={path}") as proxy:
        proxy.until(f"Starting to serve on {path}")
        with socket.socket(socket.AF_UNIX) as plain:
            plain.connect(str(path))
            connection = http.client.HTTPConnection("localhost")
            connection.sock = plain
            connection.request("GET", "/api/")
            assert json.load(connection.getresponse())["versions"] == ["v1"]


def test_parts_of_logs(newest: RunningCluster) -> None:
    it = newest
    lines = "i=0; while [ $i -lt 100 ]; do i=$((i+1)); echo line $i; done"
    it.apply(pod("talks", container(f"{lines}; {IDLE}")))
    it.ready("talks")
    everything = eventually(lambda: "line 100\n" in (said := it.kubectl("logs", "talks")) and said)
    assert everything.splitlines() == [f"line {number}" for number in range(1, 101)]
    assert it.kubectl("logs", "talks", "--limit-bytes=1") == "l"
    assert it.kubectl("logs", "talks", "--tail=1") == "line 100\n"
    (stamped,) = it.kubectl("logs", "talks", "--tail=1", "--timestamps").splitlines()
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+(Z|[+-]\d\d:\d\d) line 100", stamped)
    assert it.kubectl("logs", "talks", "--since=24h") == everything
    eventually(lambda: it.kubectl("logs", "talks", "--since=1s") == "")


STORE = """mkdir -p /www/cgi-bin; cd /www
cat > cgi-bin/guestbook <<'END'
#!/bin/sh
printf 'Content-Type: text/plain\\r\\n\\r\\n'
case "$QUERY_STRING" in
set=*) echo "${QUERY_STRING#set=}" >> /www/entries; echo stored ;;
*) cat /www/entries 2>/dev/null ;;
esac
END
chmod +x cgi-bin/guestbook; trap 'exit 0' TERM; httpd -f -p 80 -h /www & wait"""
FRONT = """mkdir -p /www/cgi-bin; cd /www
cat > cgi-bin/guestbook <<'END'
#!/bin/sh
printf 'Content-Type: text/plain\\r\\n\\r\\n'
wget -qO- "http://store/cgi-bin/guestbook?$QUERY_STRING"
END
chmod +x cgi-bin/guestbook; trap 'exit 0' TERM; httpd -f -p 80 -h /www & wait"""


def test_a_guestbook(newest: RunningCluster) -> None:
    """A store, three frontends before it, a service for each; what is written is read again."""
    it = newest
    parts = [
        deployment("store", 1, container(STORE, ports=[{"containerPort": 80}])),
        deployment("frontend", 3, container(FRONT, ports=[{"containerPort": 80}])),
        service("store"),
        service("frontend"),
    ]
    it.apply(*parts)
    it.kubectl("rollout", "status", "deployment/frontend", "--timeout=90s")
    it.kubectl("rollout", "status", "deployment/store", "--timeout=90s")
    it.apply(pod("visitor"))
    it.ready("visitor")
    book = "http://frontend/cgi-bin/guestbook"
    eventually(lambda: it.sh("visitor", f"wget -qO- '{book}?set=TestEntry'") == "stored\n")
    for _ in range(3):
        assert it.sh("visitor", f"wget -qO- '{book}?get'") == "TestEntry\n"
    everything = json.dumps({"apiVersion": "v1", "kind": "List", "items": parts})
    deleted = it.kubectl("delete", "--grace-period=0", "--force", "-f", "-", stdin=everything)
    assert deleted.count("deleted") == 4
    eventually(lambda: it.kubectl("get", "pods", "-l", "app=frontend", "-o", "name") == "")


def test_quotas_from_the_command_line(newest: RunningCluster) -> None:
    it = newest
    it.kubectl("create", "quota", "million", "--hard=cpu=1M,services=1M")
    eventually(lambda: "services" in it.kubectl("describe", "quota", "million"))
    assert it.json("get", "quota", "million")["spec"]["hard"] == {"cpu": "1M", "services": "1M"}
    scoped = ["--hard=pods=1M", "--scopes=BestEffort,NotTerminating"]
    it.kubectl("create", "quota", "scopes", *scoped)
    assert it.json("get", "quota", "scopes")["spec"]["scopes"] == ["BestEffort", "NotTerminating"]
    refused = it.try_kubectl("create", "quota", "bad", "--hard=cpu=1M", "--scopes=Nonsense")
    assert refused.code == 1
    assert "unsupported scope" in refused.err.lower() or "Unsupported value" in refused.err
