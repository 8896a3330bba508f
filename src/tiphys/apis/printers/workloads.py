"""Rows of what runs pods: ``apps``, ``batch``, autoscaling and disruption budgets."""

from __future__ import annotations

from datetime import datetime

from tiphys.apimachinery import labels
from tiphys.apimachinery.clock import parse_time
from tiphys.apimachinery.duration import human, since
from tiphys.apimachinery.errors import StatusError
from tiphys.apimachinery.meta import Object, split_api_version
from tiphys.apis.defaulting import each, peek
from tiphys.apis.printers.autoscaling import AUTOSCALER, SCALE
from tiphys.apis.printers.base import (
    AGE,
    CONTAINERS,
    IMAGES,
    NAME,
    NONE,
    SELECTOR,
    Cells,
    Printer,
    Rows,
    age_of,
    bool_text,
    boolean,
    column,
    condition_of,
    containers_and_images,
    format_labels,
    format_selector,
    integer,
    name_of,
)

_TAIL = (CONTAINERS, IMAGES, SELECTOR)


def _number(obj: Object, part: str, key: str) -> int:
    return int(peek(obj, part).get(key) or 0)


def _tail(obj: Object) -> Cells:
    spec = peek(obj, "spec")
    selector = spec.get("selector")
    return [*containers_and_images(peek(spec, "template", "spec")), format_selector(selector)]


def _deployment_selector(selector: Object | None) -> str:
    """Unlike other kinds, a deployment's empty selector shows as nothing."""
    try:
        return str(labels.from_label_selector(selector))
    except StatusError:
        return "<invalid>"


def deployment_row(obj: Object, now: datetime) -> Cells:
    spec = peek(obj, "spec")
    return [
        name_of(obj),
        f"{_number(obj, 'status', 'readyReplicas')}/{_number(obj, 'spec', 'replicas')}",
        _number(obj, "status", "updatedReplicas"),
        _number(obj, "status", "availableReplicas"),
        age_of(obj, now),
        *containers_and_images(peek(spec, "template", "spec")),
        _deployment_selector(spec.get("selector")),
    ]


def _replica_counts(obj: Object, now: datetime) -> Cells:
    return [
        name_of(obj),
        _number(obj, "spec", "replicas"),
        _number(obj, "status", "replicas"),
        _number(obj, "status", "readyReplicas"),
        age_of(obj, now),
    ]


def replica_set_row(obj: Object, now: datetime) -> Cells:
    return [*_replica_counts(obj, now), *_tail(obj)]


def replication_controller_row(obj: Object, now: datetime) -> Cells:
    spec = peek(obj, "spec")
    images = containers_and_images(peek(spec, "template", "spec"))
    return [*_replica_counts(obj, now), *images, format_labels(spec.get("selector"))]


def stateful_set_row(obj: Object, now: datetime) -> Cells:
    return [
        name_of(obj),
        f"{_number(obj, 'status', 'readyReplicas')}/{_number(obj, 'spec', 'replicas')}",
        age_of(obj, now),
        *containers_and_images(peek(obj, "spec", "template", "spec")),
    ]


def daemon_set_row(obj: Object, now: datetime) -> Cells:
    return [
        name_of(obj),
        _number(obj, "status", "desiredNumberScheduled"),
        _number(obj, "status", "currentNumberScheduled"),
        _number(obj, "status", "numberReady"),
        _number(obj, "status", "updatedNumberScheduled"),
        _number(obj, "status", "numberAvailable"),
        format_labels(peek(obj, "spec", "template", "spec").get("nodeSelector")),
        age_of(obj, now),
        *_tail(obj),
    ]


def job_status(job: Object) -> str:
    """Return what a Job is at, in one word."""
    for type_ in ("Complete", "Failed"):
        if condition_of(job, type_).get("status") == "True":
            return type_
    if peek(job, "metadata").get("deletionTimestamp"):
        return "Terminating"
    for type_ in ("Suspended", "FailureTarget", "SuccessCriteriaMet"):
        if condition_of(job, type_).get("status") == "True":
            return type_
    return "Running"


def _completions(job: Object) -> str:
    spec = peek(job, "spec")
    succeeded = _number(job, "status", "succeeded")
    if spec.get("completions") is not None:
        return f"{succeeded}/{spec['completions']}"
    parallelism = int(spec.get("parallelism") or 0)
    return f"{succeeded}/1 of {parallelism}" if parallelism > 1 else f"{succeeded}/1"


def job_row(job: Object, now: datetime) -> Cells:
    status = peek(job, "status")
    started, finished = status.get("startTime"), status.get("completionTime")
    duration = ""
    if started:
        end = parse_time(finished) if finished else now
        duration = human((end - parse_time(started)).total_seconds())
    return [name_of(job), job_status(job), _completions(job), duration, age_of(job, now), *_tail(job)]


def cron_job_row(obj: Object, now: datetime) -> Cells:
    spec, status = peek(obj, "spec"), peek(obj, "status")
    last = status.get("lastScheduleTime")
    job = peek(spec, "jobTemplate", "spec")
    return [
        name_of(obj),
        spec.get("schedule") or "",
        spec.get("timeZone") or NONE,
        bool_text(spec.get("suspend")),
        len(list(each(status, "active"))),
        since(last, now) if last else NONE,
        age_of(obj, now),
        *containers_and_images(peek(job, "template", "spec")),
        format_selector(job.get("selector")),
    ]


def budget_row(obj: Object, now: datetime) -> Cells:
    spec = peek(obj, "spec")

    def bound(key: str) -> str:
        return "N/A" if spec.get(key) is None else str(spec[key])

    return [
        name_of(obj),
        bound("minAvailable"),
        bound("maxUnavailable"),
        _number(obj, "status", "disruptionsAllowed"),
        age_of(obj, now),
    ]


def controller_revision_row(obj: Object, now: datetime) -> Cells:
    controller = NONE
    for owner in each(obj, "metadata", "ownerReferences"):
        if owner.get("controller"):
            group = split_api_version(owner.get("apiVersion") or "")[0]
            kind = str(owner.get("kind") or "").lower()
            controller = f"{kind}.{group}/{owner.get('name')}" if group else f"{kind}/{owner.get('name')}"
    return [name_of(obj), controller, int(obj.get("revision") or 0), age_of(obj, now)]


_REPLICA_COLUMNS = (
    NAME,
    integer("Desired", "Pods wanted."),
    integer("Current", "Pods that there are."),
    integer("Ready", "Pods that are ready."),
    AGE,
    *_TAIL,
)

PRINTERS: Rows = {
    ("apps", "Deployment"): Printer(
        (
            NAME,
            column("Ready", "Pods that are ready, of those wanted."),
            column("Up-to-date", "Pods made from the current template."),
            column("Available", "Pods that have been ready for long enough."),
            AGE,
            *_TAIL,
        ),
        deployment_row,
    ),
    ("apps", "ReplicaSet"): Printer(_REPLICA_COLUMNS, replica_set_row),
    ("", "ReplicationController"): Printer(_REPLICA_COLUMNS, replication_controller_row),
    ("apps", "StatefulSet"): Printer(
        (NAME, column("Ready", "Pods that are ready, of those wanted."), AGE, CONTAINERS, IMAGES),
        stateful_set_row,
    ),
    ("apps", "DaemonSet"): Printer(
        (
            NAME,
            integer("Desired", "Nodes that shall run the pod."),
            integer("Current", "Nodes that run the pod and shall."),
            integer("Ready", "Nodes whose pod is ready."),
            integer("Up-to-date", "Nodes whose pod is made from the current template."),
            integer("Available", "Nodes whose pod has been ready for long enough."),
            column("Node Selector", "Labels of the nodes that it is for."),
            AGE,
            *_TAIL,
        ),
        daemon_set_row,
    ),
    ("apps", "ControllerRevision"): Printer(
        (
            NAME,
            column("Controller", "The object whose past this is."),
            column("Revision", "The number of this state."),
            AGE,
        ),
        controller_revision_row,
    ),
    ("batch", "Job"): Printer(
        (
            NAME,
            column("Status", "What the job is at."),
            column("Completions", "Pods that succeeded, of those wanted."),
            column("Duration", "How long it ran, or has been running."),
            AGE,
            *_TAIL,
        ),
        job_row,
    ),
    ("batch", "CronJob"): Printer(
        (
            NAME,
            column("Schedule", "When jobs start, in cron's notation."),
            column("Timezone", "The time zone of the schedule."),
            boolean("Suspend", "Whether no further jobs are started."),
            integer("Active", "Jobs running now."),
            column("Last Schedule", "Time since a job was last started."),
            AGE,
            *_TAIL,
        ),
        cron_job_row,
    ),
    ("policy", "PodDisruptionBudget"): Printer(
        (
            NAME,
            column("Min Available", "Pods that must stay."),
            column("Max Unavailable", "Pods that may be missing."),
            integer("Allowed Disruptions", "Pods that may be evicted now."),
            AGE,
        ),
        budget_row,
    ),
    ("autoscaling", "HorizontalPodAutoscaler"): AUTOSCALER,
    ("autoscaling", "Scale"): SCALE,
}
