"""Pods and runtime states for tests of the pure parts, in few words."""

from datetime import UTC, datetime, timedelta

from tiphys.kubelet import runtime as words
from tiphys.kubelet.kuberuntime.containers import container_hash
from tiphys.kubelet.runtime import Container, ContainerState, RuntimePod, Sandbox

NOW = datetime(2026, 1, 1, 12, 0, 0, tzinfo=UTC)
UID = "uid-1"


def ago(seconds):
    return NOW - timedelta(seconds=seconds)


def container(name="c", **fields):
    return {"name": name, "image": "img", **fields}


def pod(*containers, init=(), meta=None, status=None, **spec):
    made = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "p", "namespace": "ns", "uid": UID, **(meta or {})},
        "spec": {
            "nodeName": "n1",
            "restartPolicy": "Always",
            "terminationGracePeriodSeconds": 30,
            "containers": list(containers) or [container()],
            **spec,
        },
    }
    if init:
        made["spec"]["initContainers"] = list(init)
    if status:
        made["status"] = status
    return made


def sandbox(ready=True, attempt=0, name="sb"):
    return Sandbox(name, UID, "p", "ns", attempt, ready, ago(100 - attempt), ("10.0.0.5",))


def running(name="c", attempt=0, id="", spec=None, sandbox_id="sb", since=50):
    notes = {words.RESTART_COUNT: str(attempt)}
    if spec:
        notes[words.CONTAINER_HASH] = container_hash(spec)
    return Container(
        id or f"{name}{attempt}", name, UID, sandbox_id, attempt, ContainerState.RUNNING, ago(since),
        started_at=ago(since), image="img", image_id="sha256:1", annotations=notes,
    )  # fmt: skip


def ended(name="c", code=0, attempt=0, finished=5, sandbox_id="sb", reason="", message=""):
    return Container(
        f"{name}{attempt}", name, UID, sandbox_id, attempt, ContainerState.EXITED,
        ago(finished + 10 - attempt), started_at=ago(finished + 5), finished_at=ago(finished),
        exit_code=code, reason=reason, message=message,
        image="img", image_id="sha256:1", annotations={words.RESTART_COUNT: str(attempt)},
    )  # fmt: skip


def have(*containers, sandboxes=None):
    """A runtime's view; containers newest first."""
    return RuntimePod(
        UID, "p", "ns", tuple([sandbox()] if sandboxes is None else sandboxes), tuple(containers)
    )
