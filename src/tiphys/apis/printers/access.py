"""Rows of roles, bindings, certificates, leases, priorities, flow control and device claims."""

from __future__ import annotations

from datetime import datetime

from tiphys.apimachinery.duration import human, since
from tiphys.apimachinery.meta import Object
from tiphys.apis.defaulting import each, peek
from tiphys.apis.printers.base import (
    AGE,
    CREATED,
    GENERIC,
    NAME,
    NONE,
    Cells,
    Printer,
    Rows,
    age_of,
    boolean,
    column,
    condition_of,
    format_labels,
    integer,
    name_of,
)

_RBAC = "rbac.authorization.k8s.io"
_FLOW = "flowcontrol.apiserver.k8s.io"


def binding_row(obj: Object, now: datetime) -> Cells:
    role = peek(obj, "roleRef")
    found: dict[str, list[str]] = {"User": [], "Group": [], "ServiceAccount": []}
    for subject in each(obj, "subjects"):
        kind, name = str(subject.get("kind")), str(subject.get("name"))
        place = f"{subject.get('namespace') or ''}/" if kind == "ServiceAccount" else ""
        found.setdefault(kind, []).append(place + name)
    return [
        name_of(obj),
        f"{role.get('kind')}/{role.get('name')}",
        age_of(obj, now),
        *(", ".join(found[kind]) for kind in ("User", "Group", "ServiceAccount")),
    ]


def signing_request_row(obj: Object, now: datetime) -> Cells:
    spec, status = peek(obj, "spec"), peek(obj, "status")
    types = {condition.get("type") for condition in each(status, "conditions")}
    state = "Denied" if "Denied" in types else "Approved" if "Approved" in types else "Pending"
    if "Failed" in types:
        state += ",Failed"
    if status.get("certificate"):
        state += ",Issued"
    seconds = spec.get("expirationSeconds")
    return [
        name_of(obj),
        age_of(obj, now),
        spec.get("signerName") or NONE,
        spec.get("username") or "",
        NONE if seconds is None else human(seconds),
        state,
    ]


def trust_bundle_row(obj: Object, _now: datetime) -> Cells:
    return [name_of(obj), peek(obj, "spec").get("signerName") or NONE]


def pod_certificate_row(obj: Object, _now: datetime) -> Cells:
    spec = peek(obj, "spec")
    types = [str(condition.get("type")) for condition in each(obj, "status", "conditions")]
    states = ["Pending", *(type_ for type_ in types if type_ in ("Issued", "Denied", "Failed"))]
    keys = ("podName", "serviceAccountName", "nodeName", "signerName")
    annotations = format_labels(spec.get("unverifiedUserAnnotations"))
    return [name_of(obj), *(spec.get(key) or "" for key in keys), states[-1], annotations]


def lease_row(obj: Object, now: datetime) -> Cells:
    return [name_of(obj), peek(obj, "spec").get("holderIdentity") or "", age_of(obj, now)]


def lease_candidate_row(obj: Object, now: datetime) -> Cells:
    spec = peek(obj, "spec")
    return [
        name_of(obj),
        spec.get("leaseName") or "",
        spec.get("binaryVersion") or "",
        spec.get("emulationVersion") or "",
        age_of(obj, now),
    ]


def priority_class_row(obj: Object, now: datetime) -> Cells:
    return [
        name_of(obj),
        int(obj.get("value") or 0),
        bool(obj.get("globalDefault")),
        age_of(obj, now),
        obj.get("preemptionPolicy") or "",
    ]


def runtime_class_row(obj: Object, now: datetime) -> Cells:
    return [name_of(obj), obj.get("handler") or "", age_of(obj, now)]


def flow_schema_row(obj: Object, now: datetime) -> Cells:
    spec = peek(obj, "spec")
    return [
        name_of(obj),
        peek(spec, "priorityLevelConfiguration").get("name") or "",
        int(spec.get("matchingPrecedence") or 0),
        peek(spec, "distinguisherMethod").get("type") or NONE,
        age_of(obj, now),
        condition_of(obj, "Dangling").get("status") or "?",
    ]


def _precedence(obj: Object) -> tuple[int, str]:
    """Schemas are listed in the order in which requests are tried against them."""
    return int(peek(obj, "spec").get("matchingPrecedence") or 0), name_of(obj)


def priority_level_row(obj: Object, now: datetime) -> Cells:
    spec = peek(obj, "spec")
    limited = peek(spec, "limited")
    queuing = peek(limited, "limitResponse", "queuing")
    shares = limited.get("nominalConcurrencyShares", 0) if spec.get("limited") is not None else NONE
    return [
        name_of(obj),
        spec.get("type") or "",
        shares,
        *(queuing.get(key, NONE) for key in ("queues", "handSize", "queueLengthLimit")),
        age_of(obj, now),
    ]


def device_claim_row(obj: Object, now: datetime) -> Cells:
    status = peek(obj, "status")
    deleted = bool(peek(obj, "metadata").get("deletionTimestamp"))
    states = ["deleted"] if deleted else []
    if not status.get("allocation"):
        states += [] if deleted else ["pending"]
    else:
        states.append("allocated")
        states += ["reserved"] if status.get("reservedFor") else []
    return [name_of(obj), ",".join(states), age_of(obj, now)]


def resource_slice_row(obj: Object, now: datetime) -> Cells:
    spec = peek(obj, "spec")
    return [
        name_of(obj),
        spec.get("nodeName") or "",
        spec.get("driver") or "",
        peek(spec, "pool").get("name") or "",
        age_of(obj, now),
    ]


def device_taint_row(obj: Object, now: datetime) -> Cells:
    taint = peek(obj, "spec", "taint")
    added = taint.get("timeAdded")
    return [
        name_of(obj),
        *(taint.get(key) or "" for key in ("key", "value", "effect")),
        since(added, now) if added else "",
        age_of(obj, now),
    ]


_BINDING = Printer(
    (
        NAME,
        column("Role", "What the subjects may do."),
        AGE,
        column("Users", "Users bound.", wide=True),
        column("Groups", "Groups bound.", wide=True),
        column("ServiceAccounts", "Service accounts bound.", wide=True),
    ),
    binding_row,
)

PRINTERS: Rows = {
    (_RBAC, "Role"): CREATED,
    (_RBAC, "ClusterRole"): CREATED,
    (_RBAC, "RoleBinding"): _BINDING,
    (_RBAC, "ClusterRoleBinding"): _BINDING,
    ("certificates.k8s.io", "CertificateSigningRequest"): Printer(
        (
            NAME,
            AGE,
            column("SignerName", "Who shall sign."),
            column("Requestor", "Who asks."),
            column("RequestedDuration", "For how long the certificate shall hold."),
            column("Condition", "What has been decided."),
        ),
        signing_request_row,
    ),
    ("certificates.k8s.io", "ClusterTrustBundle"): Printer(
        (NAME, column("SignerName", "The signer whose roots these are.")), trust_bundle_row
    ),
    ("certificates.k8s.io", "PodCertificateRequest"): Printer(
        (
            NAME,
            column("PodName", "The pod that the certificate is for."),
            column("ServiceAccountName", "The pod's service account."),
            column("NodeName", "The pod's node."),
            column("SignerName", "Who shall sign."),
            column("State", "What has become of it."),
            column("UnverifiedUserAnnotations", "What the pod's author tells the signer."),
        ),
        pod_certificate_row,
    ),
    ("coordination.k8s.io", "Lease"): Printer((NAME, column("Holder", "Who has it."), AGE), lease_row),
    ("coordination.k8s.io", "LeaseCandidate"): Printer(
        (
            NAME,
            column("LeaseName", "The lease it runs for."),
            column("BinaryVersion", "The candidate's version."),
            column("EmulationVersion", "The version it behaves as."),
            AGE,
        ),
        lease_candidate_row,
    ),
    ("scheduling.k8s.io", "PriorityClass"): Printer(
        (
            NAME,
            integer("Value", "The priority of its pods."),
            boolean("Global-Default", "Whether pods without a class get it."),
            AGE,
            column("PreemptionPolicy", "Whether its pods may displace others."),
        ),
        priority_class_row,
    ),
    ("node.k8s.io", "RuntimeClass"): Printer(
        (NAME, column("Handler", "The runtime's own name for it."), AGE), runtime_class_row
    ),
    (_FLOW, "FlowSchema"): Printer(
        (
            NAME,
            column("PriorityLevel", "The level its requests are served at."),
            column("MatchingPrecedence", "Lower ones are tried first."),
            column("DistinguisherMethod", "What tells its flows apart."),
            AGE,
            column("MissingPL", "Whether its level does not exist."),
        ),
        flow_schema_row,
        order=_precedence,
    ),
    (_FLOW, "PriorityLevelConfiguration"): Printer(
        (
            NAME,
            column("Type", "Whether requests are limited."),
            column("NominalConcurrencyShares", "Its share of the server."),
            column("Queues", "How many queues it has."),
            column("HandSize", "Queues that one flow may use."),
            column("QueueLengthLimit", "Requests that may wait in a queue."),
            AGE,
        ),
        priority_level_row,
    ),
    ("resource.k8s.io", "ResourceClaim"): Printer(
        (NAME, column("State", "What the claim is at."), AGE), device_claim_row
    ),
    ("resource.k8s.io", "ResourceSlice"): Printer(
        (
            NAME,
            column("Node", "Where the devices are."),
            column("Driver", "The driver that has them."),
            column("Pool", "The pool they are in."),
            AGE,
        ),
        resource_slice_row,
    ),
    ("resource.k8s.io", "DeviceTaintRule"): Printer(
        (
            NAME,
            column("Key", "What the taint is called."),
            column("Value", "The taint's value."),
            column("Effect", "What it does to pods that do not tolerate it."),
            column("TimeAdded", "Since when it is there."),
            AGE,
        ),
        device_taint_row,
    ),
    ("resource.k8s.io", "ResourceClaimTemplate"): GENERIC,
    ("resource.k8s.io", "DeviceClass"): GENERIC,
}
