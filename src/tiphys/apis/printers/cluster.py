"""Rows of nodes, namespaces, configuration, accounts, events and quotas."""

from __future__ import annotations

from datetime import datetime

from tiphys.apimachinery.duration import since
from tiphys.apimachinery.meta import Object
from tiphys.apis.defaulting import each, peek
from tiphys.apis.printers.base import (
    AGE,
    CREATED,
    GENERIC,
    NAME,
    NONE,
    UNKNOWN,
    Cells,
    Printer,
    Rows,
    age_of,
    column,
    condition_of,
    name_of,
)

_ROLE_PREFIX = "node-role.kubernetes.io/"
_ROLE_LABEL = "kubernetes.io/role"


def _node_status(node: Object) -> str:
    ready = condition_of(node, "Ready")
    text = ("Ready" if ready.get("status") == "True" else "NotReady") if ready else "Unknown"
    return f"{text},SchedulingDisabled" if peek(node, "spec").get("unschedulable") else text


def _node_roles(node: Object) -> str:
    roles = set()
    for key, value in peek(node, "metadata", "labels").items():
        if key.startswith(_ROLE_PREFIX) and len(key) > len(_ROLE_PREFIX):
            roles.add(key[len(_ROLE_PREFIX) :])
        elif key == _ROLE_LABEL and value:
            roles.add(value)
    return ",".join(sorted(roles)) or NONE


def _node_address(node: Object, type_: str) -> str:
    for address in each(node, "status", "addresses"):
        if address.get("type") == type_:
            return str(address.get("address"))
    return NONE


def _kernel(info: Object) -> str:
    version, architecture = info.get("kernelVersion") or UNKNOWN, info.get("architecture")
    return f"{version} ({architecture})" if architecture else version


def node_row(node: Object, now: datetime) -> Cells:
    info = peek(node, "status", "nodeInfo")
    return [
        name_of(node),
        _node_status(node),
        _node_roles(node),
        age_of(node, now),
        info.get("kubeletVersion") or "",
        _node_address(node, "InternalIP"),
        _node_address(node, "ExternalIP"),
        info.get("osImage") or UNKNOWN,
        _kernel(info),
        info.get("containerRuntimeVersion") or UNKNOWN,
    ]


def namespace_row(obj: Object, now: datetime) -> Cells:
    return [name_of(obj), peek(obj, "status").get("phase") or "", age_of(obj, now)]


def config_map_row(obj: Object, now: datetime) -> Cells:
    return [name_of(obj), len(obj.get("data") or ()) + len(obj.get("binaryData") or ()), age_of(obj, now)]


def secret_row(obj: Object, now: datetime) -> Cells:
    return [name_of(obj), obj.get("type") or "", len(obj.get("data") or ()), age_of(obj, now)]


def quota_row(obj: Object, now: datetime) -> Cells:
    status = peek(obj, "status")
    hard, used = peek(status, "hard"), peek(status, "used")
    requests: list[str] = []
    limits: list[str] = []
    for name in sorted(hard):
        text = f"{name}: {used.get(name, '0')}/{hard[name]}"
        (limits if name.startswith("limits.") else requests).append(text)
    return [name_of(obj), ", ".join(requests), ", ".join(limits), age_of(obj, now)]


def component_status_row(obj: Object, _now: datetime) -> Cells:
    status, message, error = "Unknown", "", ""
    for condition in each(obj, "conditions"):
        if condition.get("type") == "Healthy":
            status = "Healthy" if condition.get("status") == "True" else "Unhealthy"
            message, error = condition.get("message") or "", condition.get("error") or ""
    return [name_of(obj), status, message, error]


def event_row(event: Object, now: datetime) -> Cells:
    """Return the cells of an Event of either group; the newer one names some fields otherwise."""
    first = event.get("firstTimestamp") or event.get("deprecatedFirstTimestamp") or event.get("eventTime")
    last = event.get("lastTimestamp") or event.get("deprecatedLastTimestamp") or first
    count = event.get("count") or event.get("deprecatedCount") or 1
    series = peek(event, "series")
    if series:
        last, count = series.get("lastObservedTime"), series.get("count") or 0
    about = peek(event, "involvedObject") or peek(event, "regarding")
    kind = str(about.get("kind") or "").lower()
    source = peek(event, "source") or peek(event, "deprecatedSource")
    component = (
        source.get("component") or event.get("reportingComponent") or event.get("reportingController") or ""
    )
    host = source.get("host") or event.get("reportingInstance") or ""
    return [
        since(last, now),
        event.get("type") or "",
        event.get("reason") or "",
        f"{kind}/{about['name']}" if about.get("name") else kind,
        about.get("fieldPath") or "",
        f"{component}, {host}" if host else component,
        str(event.get("message") or event.get("note") or "").strip(),
        since(first, now),
        int(count),
        name_of(event),
    ]


_EVENT = Printer(
    (
        column("Last Seen", "Time since it last happened."),
        column("Type", "Normal, or a warning."),
        column("Reason", "Why, in one word."),
        column("Object", "What it happened to."),
        column("Subobject", "Which part it happened to.", wide=True),
        column("Source", "Who tells it.", wide=True),
        column("Message", "What happened."),
        column("First Seen", "Time since it first happened.", wide=True),
        column("Count", "How often it happened.", wide=True),
        NAME | {"priority": 1},
    ),
    event_row,
)

PRINTERS: Rows = {
    ("", "Node"): Printer(
        (
            NAME,
            column("Status", "Whether the node is ready, and takes pods."),
            column("Roles", "What the node is for."),
            AGE,
            column("Version", "The version of its kubelet."),
            column("Internal-IP", "Its address in the cluster.", wide=True),
            column("External-IP", "Its address outside.", wide=True),
            column("OS-Image", "Its operating system.", wide=True),
            column("Kernel-Version", "Its kernel.", wide=True),
            column("Container-Runtime", "What runs its containers.", wide=True),
        ),
        node_row,
    ),
    ("", "Namespace"): Printer((NAME, column("Status", "Active, or on its way out."), AGE), namespace_row),
    ("", "ConfigMap"): Printer((NAME, column("Data", "How many keys it has."), AGE), config_map_row),
    ("", "Secret"): Printer(
        (NAME, column("Type", "What it is for."), column("Data", "How many keys it has."), AGE), secret_row
    ),
    ("", "ServiceAccount"): GENERIC,
    ("", "ResourceQuota"): Printer(
        (
            NAME,
            column("Request", "What is used, of what may be."),
            column("Limit", "The same of limits."),
            AGE,
        ),
        quota_row,
    ),
    ("", "LimitRange"): CREATED,
    ("", "ComponentStatus"): Printer(
        (
            NAME,
            column("Status", "Whether it works."),
            column("Message", "What it says."),
            column("Error", "What is wrong."),
        ),
        component_status_row,
    ),
    ("", "Event"): _EVENT,
    ("events.k8s.io", "Event"): _EVENT,
}
