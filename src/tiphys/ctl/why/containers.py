"""Why a pod's containers wait, restart or are not ready: their states, and the kubelet's events."""

from __future__ import annotations

from collections.abc import Iterator

from tiphys.apimachinery.meta import Object
from tiphys.ctl.why.scene import Finding, Scene, one_line, where

_PULL = (
    "ErrImagePull",
    "ImagePullBackOff",
    "ErrImageNeverPull",
    "InvalidImageName",
    "ImageInspectError",
    "RegistryUnavailable",
    "SignatureValidationFailed",
)
_STARTING = ("ContainerCreating", "PodInitializing")
_CODES = {
    126: "its command cannot be executed",
    127: "its command is not found",
    130: "interrupted, signal 2 (SIGINT)",
    134: "aborted, signal 6 (SIGABRT)",
    137: "killed, signal 9 (SIGKILL)",
    139: "crashed, signal 11 (SIGSEGV)",
    143: "ended by signal 15 (SIGTERM)",
}
_PULL_HINTS = (
    (("not found", "manifest unknown"), "the registry has no such image or tag"),
    (
        ("unauthorized", "authorization failed", "denied", "401", "403"),
        "the registry wants other credentials (imagePullSecrets)",
    ),
    (("no such host", "i/o timeout", "connection refused", "dial tcp"), "the registry is not reached"),
    (("x509", "certificate"), "the registry's certificate is not trusted"),
    (("toomanyrequests", "429"), "the registry limits how often one may pull"),
)


def container_findings(pod: Object, scene: Scene) -> list[Finding]:
    """Explain each container that does not do what it should, init containers first."""
    status, found = pod.get("status") or {}, []
    specs = {
        container["name"]: container
        for part in ("initContainers", "containers")
        for container in pod["spec"].get(part) or ()
    }
    for init, state in _statuses(status):
        found += _one(pod, specs.get(state["name"], {}), state, scene, init=init)
    return found


def _statuses(status: Object) -> Iterator[tuple[bool, Object]]:
    for state in status.get("initContainerStatuses") or ():
        yield True, state
    for state in status.get("containerStatuses") or ():
        yield False, state


def _one(pod: Object, spec: Object, status: Object, scene: Scene, *, init: bool) -> list[Finding]:
    waiting = (status.get("state") or {}).get("waiting")
    if waiting is not None:
        return _waiting(pod, spec, status, scene, init=init)
    ended = (status.get("state") or {}).get("terminated")
    if ended is not None:
        return [_ended(pod, status, ended, init=init)] if ended.get("exitCode") else []
    sidecar = spec.get("restartPolicy") == "Always"
    if init and not sidecar:
        return [_init_runs(pod, status, scene)]
    found = []
    if not status.get("ready") and not init:
        found.append(_not_ready(pod, spec, status, scene))
    if status.get("restartCount"):
        found.append(_restarted(pod, spec, status, scene))
    return found


def _waiting(pod: Object, spec: Object, status: Object, scene: Scene, *, init: bool) -> list[Finding]:
    waiting, name = status["state"]["waiting"], status["name"]
    reason, message = waiting.get("reason", ""), one_line(waiting.get("message", ""))
    shown = f"state.waiting of {name}: {reason}{': ' + message if message else ''}"
    if reason in _STARTING:
        return []
    if reason in _PULL:
        return [_pull(pod, status, shown, scene)]
    if reason == "CrashLoopBackOff":
        return [_restarted(pod, spec, status, scene, loop=shown)]
    what = "init container" if init else "container"
    if reason == "CreateContainerConfigError":
        return [
            Finding(
                f"The {what} {name} cannot be made from its settings: {message}.", (shown,), _describe(pod)
            )
        ]
    return [
        Finding(
            f"The {what} {name} does not start: {message or reason or 'no reason given'}.",
            (shown,),
            _describe(pod),
        )
    ]


def _pull(pod: Object, status: Object, shown: str, scene: Scene) -> Finding:
    image, name, waiting = status.get("image", ""), status["name"], status["state"]["waiting"]
    reason, message = waiting.get("reason", ""), one_line(waiting.get("message", ""))
    failures = [
        event
        for event in scene.events_of(pod, "Failed", "InspectFailed")
        if image in event.get("message", "")
    ]
    text = " ".join((message, *(event.get("message", "") for event in failures))).lower()
    if reason == "InvalidImageName":
        why = "this is no valid image name"
    elif reason == "ErrImageNeverPull":
        why = "it is not on the node, and imagePullPolicy is Never"
    else:
        why = next(
            (hint for words, hint in _PULL_HINTS if any(word in text for word in words)), "the pull fails"
        )
    said = any(word in message.lower() for words, _ in _PULL_HINTS for word in words)
    evidence = [shown, *(scene.told(event) for event in failures[:1] if not said)]
    secrets = pod["spec"].get("imagePullSecrets") or ()
    evidence += [
        f"spec.imagePullSecrets: there is no Secret {secret['name']}"
        for secret in secrets
        if scene.missing("secrets", secret.get("name", ""), pod["metadata"].get("namespace", ""))
    ]
    return Finding(
        f"The image {image} of container {name} cannot be had: {why}.", tuple(evidence), _describe(pod)
    )


def _ended(pod: Object, status: Object, ended: Object, *, init: bool) -> Finding:
    what = "Init container" if init else "Container"
    return Finding(
        f"{what} {status['name']} has ended: {exit_text(ended)}.",
        (_terminated("state", status, ended),),
        _logs(pod, status["name"]),
    )


def _init_runs(pod: Object, status: Object, scene: Scene) -> Finding:
    started = (status["state"].get("running") or {}).get("startedAt")
    ago = scene.age(started)
    return Finding(
        f"Init container {status['name']} still runs{f' after {ago}' if ago else ''}; "
        "the others start once it is done.",
        (f"state.running of {status['name']}{f': since {started}' if started else ''}",),
        _logs(pod, status["name"]),
    )


def _not_ready(pod: Object, spec: Object, status: Object, scene: Scene) -> Finding:
    name = status["name"]
    probe = "startup" if spec.get("startupProbe") and not status.get("started") else "readiness"
    failures = _probe_events(pod, name, probe.capitalize(), scene)
    evidence = [f"status of {name}: ready=false, started={str(bool(status.get('started'))).lower()}"]
    evidence += [scene.told(event) for event in failures[:1]]
    if not spec.get(f"{probe}Probe"):
        return Finding(f"Container {name} runs but is not ready yet.", tuple(evidence), _describe(pod))
    cause = f"The {probe} probe of container {name} ({probe_text(spec[f'{probe}Probe'])}) does not succeed."
    return Finding(cause, tuple(evidence), _logs(pod, name))


def _restarted(pod: Object, spec: Object, status: Object, scene: Scene, *, loop: str = "") -> Finding:
    name, count = status["name"], status.get("restartCount", 0)
    last = (status.get("lastState") or {}).get("terminated") or {}
    evidence = [loop] if loop else []
    if last:
        evidence.append(_terminated("lastState", status, last))
    killed = (
        [
            event
            for reason, kind in (("Unhealthy", "Liveness"), ("Unhealthy", "Startup"))
            for event in _probe_events(pod, name, kind, scene, reason)
        ]
        if last.get("reason") != "OOMKilled"
        else []
    )
    evidence += [scene.told(event) for event in killed[:1]]
    times = "once" if count == 1 else f"{count} times"
    why = f"the last time: {exit_text(last)}" if last else "how it ended is not recorded"
    if killed and last.get("exitCode") in (137, 143):
        probe = "liveness" if "Liveness" in killed[0].get("message", "") else "startup"
        why = f"its {probe} probe failed, so the kubelet ended it"
    if last.get("reason") == "OOMKilled":
        limit = ((spec.get("resources") or {}).get("limits") or {}).get("memory")
        why += (
            f"; its limit is {limit}"
            if limit
            else "; it has no limit of its own: the pod or the node ran out"
        )
    again = "; the kubelet waits longer before each new start" if loop else ""
    cause = (
        f"Container {name} has been restarted {times}; {why}{again}."
        if count
        else (f"Container {name} does not stay up; {why}{again}.")
    )
    return Finding(cause, tuple(evidence), _logs(pod, name, previous=True))


def exit_text(ended: Object) -> str:
    """How a container ended, in words."""
    code, signal = ended.get("exitCode", 0), ended.get("signal")
    if ended.get("reason") == "OOMKilled":
        return "the kernel killed it, as it used more memory than it may (OOMKilled)"
    if ended.get("reason") == "ContainerCannotRun" or ended.get("reason") == "StartError":
        return f"it could not be started: {one_line(ended.get('message', ''))} (exit code {code})"
    if signal:
        return f"ended by signal {signal}"
    meaning = _CODES.get(code)
    message = f": {one_line(ended['message'])}" if ended.get("message") else ""
    return f"exit code {code}{f' ({meaning})' if meaning else ''}{message}"


def _terminated(part: str, status: Object, ended: Object) -> str:
    reason = f", reason {ended['reason']}" if ended.get("reason") else ""
    at = f", at {ended['finishedAt']}" if ended.get("finishedAt") else ""
    return f"{part}.terminated of {status['name']}: exitCode {ended.get('exitCode')}{reason}{at}"


def _probe_events(pod: Object, name: str, kind: str, scene: Scene, reason: str = "Unhealthy") -> list[Object]:
    return [
        event
        for event in scene.events_of(pod, reason)
        if event.get("message", "").startswith(f"{kind} probe")
        and f"{{{name}}}" in (event.get("involvedObject") or {}).get("fieldPath", f"{{{name}}}")
    ]


def probe_text(probe: Object) -> str:
    """What a probe asks."""
    if probe.get("httpGet"):
        get = probe["httpGet"]
        return f"GET {get.get('path', '/')} on port {get.get('port')}"
    if probe.get("tcpSocket"):
        return f"TCP port {probe['tcpSocket'].get('port')}"
    if probe.get("grpc"):
        return f"gRPC on port {probe['grpc'].get('port')}"
    return f"command {' '.join((probe.get('exec') or {}).get('command') or ())}"


def _logs(pod: Object, container: str, *, previous: bool = False) -> str:
    last = " --previous" if previous else ""
    return f"kubectl logs {pod['metadata']['name']}{where(pod)} -c {container}{last}"


def _describe(pod: Object) -> str:
    return f"kubectl describe pod {pod['metadata']['name']}{where(pod)}"
