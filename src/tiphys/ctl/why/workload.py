"""Why a workload has fewer pods than it should, or a Job does not finish."""

from __future__ import annotations

from collections.abc import Iterator

from tiphys.apimachinery.meta import Object, get_condition
from tiphys.ctl.why.deletion import deletion_findings
from tiphys.ctl.why.pod import pod_findings
from tiphys.ctl.why.scene import Finding, Scene, condition_is, condition_text, one_line, where

_CREATE = ("FailedCreate", "FailedDelete", "FailedDaemonPod")
_MOST_PODS = 3


def workload_findings(owner: Object, resource: str, scene: Scene) -> list[Finding]:
    """Explain a Deployment, ReplicaSet, StatefulSet or DaemonSet; empty when all its pods are ready."""
    found = [*deletion_findings(owner, resource, scene), *_unobserved(owner)]
    if owner["spec"].get("paused"):
        found.append(
            Finding(
                "Its rollout is paused: changes of its template wait.",
                ("spec.paused: true",),
                f"kubectl rollout resume {resource[:-1]}/{owner['metadata']['name']}{where(owner)}",
            )
        )
    if owner["spec"].get("replicas") == 0:
        found.append(
            Finding(
                "It is scaled to zero: no pods are wanted.",
                ("spec.replicas: 0",),
                f"kubectl scale {resource[:-1]}/{owner['metadata']['name']}{where(owner)} --replicas=1",
            )
        )
    sets = scene.owned_by("replicasets", owner) if resource == "deployments" else [owner]
    for each in sets:
        found += _refusals(each, scene)
    found += _stalled(owner)
    return found + _pods([pod for each in sets for pod in scene.owned_by("pods", each)], scene)


def _unobserved(owner: Object) -> list[Finding]:
    generation = owner["metadata"].get("generation", 0)
    seen = (owner.get("status") or {}).get("observedGeneration", 0)
    if seen >= generation:
        return []
    return [
        Finding(
            "Its controller has not looked at its present spec yet: is the controller manager running?",
            (f"metadata.generation: {generation}, status.observedGeneration: {seen}",),
            "kubectl get lease kube-controller-manager -n kube-system",
        )
    ]


def _refusals(owner: Object, scene: Scene) -> list[Finding]:
    """Pods that the API would not take: quota, admission, validation."""
    condition = condition_is(owner, "ReplicaFailure", "True")
    events = scene.events_of(owner, *_CREATE)
    if condition is None and not events:
        return []
    # The condition keeps the words of the first refusal; the newest event has those of the last one.
    text = (events[0] if events else condition or {}).get("message", "").removeprefix("Error creating: ")
    evidence = ([condition_text(condition)] if condition else []) + [
        scene.told(event) for event in events[:1]
    ]
    if condition is None and _enough(owner):
        return []
    cause, command = _refusal(one_line(text).rstrip("."), owner)
    return [Finding(cause, tuple(evidence), command)]


def _enough(owner: Object) -> bool:
    """Events stay after what they tell of is over."""
    spec, status = owner["spec"], owner.get("status") or {}
    if "desiredNumberScheduled" in status:
        return bool(status.get("currentNumberScheduled", 0) >= status["desiredNumberScheduled"])
    if "completions" in spec or "parallelism" in spec:
        return bool(status.get("active") or status.get("succeeded"))
    return bool(status.get("replicas", 0) >= spec.get("replicas", 1))


def _refusal(text: str, owner: Object) -> tuple[str, str]:
    if "exceeded quota" in text:
        return f"Its pods would exceed a quota: {text}.", f"kubectl describe quota{where(owner)}"
    if "violates PodSecurity" in text:
        namespace = owner["metadata"].get("namespace", "")
        return (
            f"The namespace's pod security level refuses its pods: {text}.",
            f"kubectl get namespace {namespace} --show-labels (pod-security.kubernetes.io/*)",
        )
    if "failed quota" in text:
        return (
            f"A quota counts what its pods do not ask for: {text}.",
            f"kubectl describe quota{where(owner)}",
        )
    if "failed calling webhook" in text:
        return (
            f"An admission webhook does not answer, and pods are not let in without it: {text}.",
            "kubectl get validatingwebhookconfigurations,mutatingwebhookconfigurations "
            "(whose service does not run?)",
        )
    if "admission webhook" in text:
        return (
            f"An admission webhook refuses its pods: {text}.",
            "kubectl get validatingwebhookconfigurations,mutatingwebhookconfigurations",
        )
    if "serviceaccount" in text and "not found" in text:
        return f"Its service account does not exist: {text}.", f"kubectl get serviceaccounts{where(owner)}"
    return f"The API refuses its pods: {text}.", f"kubectl get events{where(owner)}"


def _stalled(owner: Object) -> list[Finding]:
    condition = condition_is(owner, "Progressing", "False")
    if condition is None or condition.get("reason") != "ProgressDeadlineExceeded":
        return []
    name, deadline = owner["metadata"]["name"], owner["spec"].get("progressDeadlineSeconds", 600)
    return [
        Finding(
            f"Its rollout made no progress for {deadline} s and counts as failed.",
            (condition_text(condition),),
            f"kubectl rollout status deployment/{name}{where(owner)}; back to the last one: rollout undo",
        )
    ]


def _pods(pods: list[Object], scene: Scene) -> list[Finding]:
    """The findings of the pods that are not ready; those with the same reasons are told once."""
    told: dict[tuple[str, ...], list[str]] = {}
    kept: dict[tuple[str, ...], list[Finding]] = {}
    for pod in pods:
        findings = pod_findings(pod, scene)
        if findings:
            key = tuple(_alike(item.cause, pod) for item in findings)
            told.setdefault(key, []).append(pod["metadata"]["name"])
            kept.setdefault(key, findings)
    found: list[Finding] = []
    for key in list(told)[:_MOST_PODS]:
        names = told[key]
        who = f"Pod {names[0]}" + (f" and {len(names) - 1} like it" if len(names) > 1 else "")
        found += [
            Finding(f"{who}: {item.cause}", item.evidence, item.try_next, item.table) for item in kept[key]
        ]
    return found


def _alike(cause: str, pod: Object) -> str:
    return cause.replace(pod["metadata"]["name"], "").replace(pod["spec"].get("nodeName") or "\0", "")


def job_findings(job: Object, scene: Scene) -> list[Finding]:
    """Explain a Job that has failed or does not finish; empty for one that is complete."""
    found = deletion_findings(job, "jobs", scene)
    if condition_is(job, "Complete", "True"):
        return found
    failed = condition_is(job, "Failed", "True") or condition_is(job, "FailureTarget", "True")
    if failed:
        found.append(_job_failed(job, failed))
    if job["spec"].get("suspend"):
        found.append(
            Finding(
                "It is suspended: no pods are made.",
                ("spec.suspend: true",),
                f"kubectl patch job {job['metadata']['name']}{where(job)} -p 'spec: {{suspend: false}}'",
            )
        )
    found += [*_refusals(job, scene), *_pods(scene.owned_by("pods", job), scene)]
    return found or list(_running(job))


def _job_failed(job: Object, condition: Object) -> Finding:
    limit, deadline = job["spec"].get("backoffLimit", 6), job["spec"].get("activeDeadlineSeconds")
    reasons = {
        "BackoffLimitExceeded": f"Its pods failed more often than backoffLimit ({limit}) allows.",
        "DeadlineExceeded": f"It ran longer than activeDeadlineSeconds ({deadline}) allows.",
        "PodFailurePolicy": "A rule of its podFailurePolicy ended it.",
        "FailedIndexes": "Some of its indexes failed for good.",
        "MaxFailedIndexesExceeded": "More of its indexes failed than maxFailedIndexes allows.",
    }
    cause = reasons.get(condition.get("reason", ""), f"It failed: {condition.get('message', '')}")
    name = job["metadata"]["name"]
    return Finding(cause, (condition_text(condition),), f"kubectl logs job/{name}{where(job)}")


def _running(job: Object) -> Iterator[Finding]:
    active, done = (job.get("status") or {}).get("active", 0), (job.get("status") or {}).get("succeeded", 0)
    if active:
        wanted = job["spec"].get("completions")
        yield Finding(
            f"It is at work: {active} pods run, {done} of {wanted or 'any number'} are done.",
            (f"status.active: {active}", f"status.succeeded: {done}"),
            f"kubectl logs -f job/{job['metadata']['name']}{where(job)}",
        )
    elif get_condition(job, "Complete") is None and not (job.get("status") or {}).get("startTime"):
        yield Finding(
            "The job controller has not started it: does it run?",
            ("no status.startTime",),
            "kubectl get lease kube-controller-manager -n kube-system",
        )
