"""Judges a pod by one standard: the ordered checks of each level, each with the versions it belongs to.

Pure. Adding a check is a row in ``_BASELINE`` or ``_RESTRICTED``. Called by the PodSecurity admission plugin.
"""

from __future__ import annotations

from functools import lru_cache

from tiphys.apimachinery.dataclass import dataclass
from tiphys.apimachinery.meta import Object
from tiphys.apis.podsecurity import baseline, restricted
from tiphys.apis.podsecurity.baseline import unless
from tiphys.apis.podsecurity.finding import Check, Finding, Pod
from tiphys.apis.podsecurity.policy import LATEST, Standard


@dataclass(frozen=True, slots=True)
class _Row:
    """A check from one minor version on; ``replaces`` names the baseline check that it includes."""

    id: str
    since: int
    check: Check
    replaces: str = ""


def _in_user_namespace(pod: Pod) -> bool:
    return pod.user_namespace


def _on_windows(pod: Pod) -> bool:
    return pod.windows


_BASELINE = (
    _Row("appArmorProfile", 0, baseline.apparmor),
    _Row("capabilities_baseline", 0, baseline.capabilities),
    _Row("hostNamespaces", 0, baseline.host_namespaces),
    _Row("hostPathVolumes", 0, baseline.host_path),
    _Row("hostPorts", 0, baseline.host_ports),
    _Row("hostProbesAndHostLifecycle", 34, baseline.host_probes),
    _Row("privileged", 0, baseline.privileged),
    _Row("procMount", 0, baseline.proc_mount),
    _Row("procMount", 35, unless(_in_user_namespace, baseline.proc_mount)),
    _Row("seLinuxOptions", 0, baseline.selinux(0)),
    _Row("seLinuxOptions", 31, baseline.selinux(31)),
    _Row("seccompProfile_baseline", 0, baseline.seccomp_annotations),
    _Row("seccompProfile_baseline", 19, baseline.seccomp),
    *(_Row("sysctls", since, baseline.sysctls(since)) for since in (0, 27, 29, 32)),
    _Row("windowsHostProcess", 0, baseline.windows_host_process),
)
_RESTRICTED = (
    _Row("allowPrivilegeEscalation", 8, restricted.privilege_escalation),
    _Row("allowPrivilegeEscalation", 25, unless(_on_windows, restricted.privilege_escalation)),
    _Row("capabilities_restricted", 22, restricted.capabilities, "capabilities_baseline"),
    _Row(
        "capabilities_restricted", 25, unless(_on_windows, restricted.capabilities), "capabilities_baseline"
    ),
    _Row("procMount_restricted", 35, baseline.proc_mount, "procMount"),
    _Row("restrictedVolumes", 0, restricted.volumes, "hostPathVolumes"),
    _Row("runAsNonRoot", 0, restricted.non_root),
    _Row("runAsNonRoot", 35, unless(_in_user_namespace, restricted.non_root)),
    _Row("runAsUser", 23, restricted.user_id),
    _Row("runAsUser", 35, unless(_in_user_namespace, restricted.user_id)),
    _Row("seccompProfile_restricted", 19, restricted.seccomp, "seccompProfile_baseline"),
    _Row("seccompProfile_restricted", 25, unless(_on_windows, restricted.seccomp), "seccompProfile_baseline"),
)


def _at(rows: tuple[_Row, ...], minor: int) -> dict[str, _Row]:
    """Return by id the newest form of each check that a version has; rows are in order of version."""
    return {row.id: row for row in rows if row.since <= minor}


@lru_cache(maxsize=64)
def _checks(standard: Standard) -> tuple[Check, ...]:
    if standard.open:
        return ()
    minor = min(standard.minor, LATEST)
    base = _at(_BASELINE, minor)
    if standard.level == "baseline":
        return tuple(row.check for row in base.values())
    strict = _at(_RESTRICTED, minor)
    included = {row.replaces for row in strict.values()}
    kept = [row.check for row in base.values() if row.id not in included]
    return (*kept, *(row.check for row in strict.values()))


def evaluate(standard: Standard, metadata: Object, spec: Object) -> list[Finding]:
    """Return everything in which a pod, or a template of one, falls short of a standard."""
    pod = Pod(metadata, spec)
    return [found for check in _checks(standard) if (found := check(pod)) is not None]


def details(findings: list[Finding]) -> str:
    """Return all findings in one line, with their details."""
    return ", ".join(map(str, findings))


def reasons(findings: list[Finding]) -> str:
    """Return the short reasons in one line."""
    return ", ".join(found.reason for found in findings)
