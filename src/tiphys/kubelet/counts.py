"""What a kubelet counts of its work, with upstream's names, labels and buckets.

Owns: the families, in their process' registry. Those who do the work count where they do it; what is counted
only when somebody scrapes is ``server.metrics``'.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from tiphys.apimachinery.clock import Clock
from tiphys.client.counting import Counts, Levels, Spreads
from tiphys.client.metrics import registry_of

REGISTRY: Final = registry_of("kubelet")
_USUAL: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_STARTS: Final = (
    0.5, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 20.0, 30.0, 45.0, 60.0, 120.0, 180.0, 240.0, 300.0, 360.0,
    480.0, 600.0, 900.0, 1200.0, 1800.0, 2700.0, 3600.0,
)  # fmt: skip
_PULLS: Final = (
    1.0, 5.0, 10.0, 20.0, 30.0, 60.0, 180.0, 300.0, 600.0, 900.0, 1200.0, 1800.0, 2700.0, 3600.0
)  # fmt: skip
_WRITES: Final = (0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0, 20.0, 30.0, 45.0, 60.0)
_OPERATION: Final = ("operation_type",)
_HANDLER: Final = ("runtime_handler",)
_MIB, _GIB = 2**20, 2**30
_SIZES: Final = (
    10 * _MIB,
    100 * _MIB,
    500 * _MIB,
    *(count * _GIB for count in (1, 5, 10, 20, 30, 40, 60, 100)),
)
_SIZE_NAMES: Final = (
    "0-10MB", "10MB-100MB", "100MB-500MB", "500MB-1GB", "1GB-5GB", "5GB-10GB", "10GB-20GB", "20GB-30GB",
    "30GB-40GB", "40GB-60GB", "60GB-100GB", "GT100GB",
)  # fmt: skip
_REJECTIONS: Final = frozenset(
    {"AppArmor", "Evicted", "NodeShutdown", "OutOfcpu", "OutOfephemeral-storage", "OutOfmemory", "OutOfpods",
     "PodOSNotSupported", "PodOSSelectorNodeLabelDoesNotMatch", "SupplementalGroupsPolicyNotSupported",
     "SysctlForbidden", "UnexpectedAdmissionError"}
)  # fmt: skip
_KINDS: Final = {
    "containers": "container", "initContainers": "init_container",
    "ephemeralContainers": "ephemeral_container",
}  # fmt: skip


def _counter(name: str, text: str, *labels: str) -> Counts:
    return Counts(f"kubelet_{name}", f"[ALPHA] {text}", labels, REGISTRY)


def _histogram(name: str, text: str, buckets: tuple[float, ...], *labels: str) -> Spreads:
    return Spreads(f"kubelet_{name}", f"[ALPHA] {text}", labels, buckets, REGISTRY)


_OPERATIONS = _counter(
    "runtime_operations", "Cumulative number of runtime operations by operation type.", *_OPERATION
)
_OPERATION_ERRORS = _counter(
    "runtime_operations_errors", "Cumulative number of runtime operation errors by operation type.",
    *_OPERATION,
)  # fmt: skip
_OPERATION_SECONDS = _histogram(
    "runtime_operations_duration_seconds",
    "Duration in seconds of runtime operations. Broken down by operation type.",
    tuple(0.005 * 2.5**power for power in range(14)), *_OPERATION,
)  # fmt: skip
_SANDBOX_ERRORS = _counter(
    "run_podsandbox_errors",
    "Cumulative number of the run_podsandbox operation errors by RuntimeClass.Handler.",
    *_HANDLER,
)
_SANDBOX_SECONDS = _histogram(
    "run_podsandbox_duration_seconds",
    "Duration in seconds of the run_podsandbox operations. Broken down by RuntimeClass.Handler.", _USUAL,
    *_HANDLER,
)  # fmt: skip
RELIST_SECONDS = _histogram(
    "pleg_relist_duration_seconds", "Duration in seconds for relisting pods in PLEG.", _USUAL
)
RELIST_INTERVAL = _histogram(
    "pleg_relist_interval_seconds", "Interval in seconds between relisting in PLEG.", _USUAL
)
RELISTED = Levels(
    "kubelet_pleg_last_seen_seconds", "[ALPHA] Timestamp in seconds when PLEG was last seen active.", (),
    REGISTRY,
)  # fmt: skip
STARTED_PODS = _counter("started_pods", "Cumulative number of pods started")
STARTED_PODS_ERRORS = _counter("started_pods_errors", "Cumulative number of errors when starting pods")
_CONTAINERS = _counter("started_containers", "Cumulative number of containers started", "container_type")
_CONTAINER_ERRORS = _counter(
    "started_containers_errors", "Cumulative number of errors when starting containers", "container_type",
    "code",
)  # fmt: skip
_PULL_SECONDS = _histogram(
    "image_pull_duration_seconds", "Duration in seconds to pull an image.", _PULLS, "image_size_in_bytes"
)
_IMAGES_GONE = _counter(
    "image_garbage_collected",
    "Total number of images garbage collected by the kubelet, whether through disk usage or image age.",
    "reason",
)
STATUS_SECONDS = _histogram(
    "pod_status_sync_duration_seconds",
    "Duration in seconds to sync a pod status update. Measures time from detection of a change to pod status "
    "until the API is successfully updated for that pod, even if multiple intevening changes to pod status "
    "occur.", _WRITES,
)  # fmt: skip
WORKER_SECONDS = _histogram(
    "pod_worker_duration_seconds",
    "Duration in seconds to sync a single pod. Broken down by operation type: create, update, or sync",
    _USUAL, *_OPERATION,
)  # fmt: skip
WORKER_START_SECONDS = _histogram(
    "pod_worker_start_duration_seconds",
    "Duration in seconds from kubelet seeing a pod to starting a worker.", _USUAL,
)  # fmt: skip
POD_START_SECONDS = _histogram(
    "pod_start_duration_seconds",
    "Duration in seconds from kubelet seeing a pod for the first time to the pod starting to run", _STARTS,
)  # fmt: skip
POD_TOTAL_SECONDS = _histogram(
    "pod_start_total_duration_seconds",
    "Duration in seconds to start a pod since creation, including time to pull images and run init "
    "containers, measured from pod creation timestamp to when all its containers are reported as started and "
    "observed via watch", _STARTS,
)  # fmt: skip
CONTAINERS_OF_PODS = _histogram(
    "containers_per_pod_count", "The number of containers per pod.", (1.0, 2.0, 4.0, 8.0, 16.0)
)
_EVICTIONS = Counts(
    "kubelet_evictions", "[ALPHA] Cumulative number of pod evictions by eviction signal", ["eviction_signal"],
    REGISTRY, bare=True,
)  # fmt: skip
_PREEMPTIONS = Counts(
    "kubelet_preemptions", "[ALPHA] Cumulative number of pod preemptions by preemption resource",
    ["preemption_signal"], REGISTRY, bare=True,
)  # fmt: skip
_REJECTED = _counter(
    "admission_rejections", "Cumulative number pod admission rejections by the Kubelet.", "reason"
)


@contextmanager
def operation(name: str, clock: Clock) -> Iterator[None]:
    """Count an operation of the runtime, by upstream's name of it."""
    began = clock.monotonic()
    _OPERATIONS.labels(name).inc()
    try:
        yield
    except Exception:
        _OPERATION_ERRORS.labels(name).inc()
        raise
    finally:
        _OPERATION_SECONDS.labels(name).observe(clock.monotonic() - began)


@contextmanager
def sandbox(handler: str, clock: Clock) -> Iterator[None]:
    """Count the making of a sandbox by a handler of the runtime's."""
    began = clock.monotonic()
    try:
        yield
    except Exception:
        _SANDBOX_ERRORS.labels(handler).inc()
        raise
    finally:
        _SANDBOX_SECONDS.labels(handler).observe(clock.monotonic() - began)


def _kind(path: str) -> str:
    return _KINDS[path.removeprefix("spec.").partition("{")[0]]


def container_started(path: str) -> None:
    """Count a container that is about to be started; ``path`` is where its spec is."""
    _CONTAINERS.labels(_kind(path)).inc()


def container_failed(path: str, reason: str) -> None:
    """Count one that did not start, by what it waits for."""
    _CONTAINER_ERRORS.labels(_kind(path), reason).inc()


def pulled(size_bytes: int, seconds: float) -> None:
    """Count an image that was pulled."""
    _PULL_SECONDS.labels(size_name(size_bytes)).observe(seconds)


def size_name(size_bytes: int) -> str:
    """Return what an image's size is counted as. Pure."""
    return _SIZE_NAMES[bisect_right(_SIZES, size_bytes)] if size_bytes else "N/A"


def image_removed() -> None:
    """Count an image that had to go as the disk is full."""
    _IMAGES_GONE.labels("space").inc()


def evicted(signal: str) -> None:
    """Count a pod that had to go, by what was short."""
    _EVICTIONS.labels(signal).inc()


def preempted(resource: str) -> None:
    """Count a pod that had to go for a critical one, by what that was short of."""
    _PREEMPTIONS.labels(resource).inc()


def rejected(reason: str) -> None:
    """Count a pod that the node did not take in; rare reasons have no names of their own."""
    rare = "OutOfExtendedResources" if reason.startswith("OutOf") else "Other"
    _REJECTED.labels(reason if reason in _REJECTIONS else rare).inc()
