"""Rules of security contexts: users, profiles, kernel settings, of pods and of their containers."""

from __future__ import annotations

import re

from tiphys.apimachinery.errors import FieldError
from tiphys.apimachinery.featuregates import on
from tiphys.apimachinery.field_errors import duplicate, forbidden, invalid, required, too_long
from tiphys.apimachinery.meta import Object
from tiphys.apis.core.capabilities import allows_privileged
from tiphys.apis.core.containers import each_container
from tiphys.apis.core.windows_validation import validate_windows_options
from tiphys.apis.defaulting import each, peek
from tiphys.apis.inside import inside
from tiphys.apis.value_validation import one_of, relative_path, user_id

_PROFILES = ("Localhost", "RuntimeDefault", "Unconfined")
_SYSCTL = r"([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?"
_IS_SYSCTL = re.compile(_SYSCTL, re.ASCII).fullmatch
_SYSCTL_MAX = 253
_IPC = ("kernel/shm", "kernel/msg", "fs/mqueue/")
_PATH_MAX = 4095


def validate_pod_security(spec: Object, path: str) -> list[FieldError]:
    """Return every fault of a pod's security context; ``path`` is the spec's."""
    security, at = peek(spec, "securityContext"), f"{path}.securityContext"
    faults: list[FieldError] = []
    for key in ("fsGroup", "runAsUser", "runAsGroup"):
        faults += user_id(security.get(key), f"{at}.{key}")
    for index, group in enumerate(security.get("supplementalGroups") or ()):
        faults += user_id(group, f"{at}.supplementalGroups[{index}]")
    if spec.get("shareProcessNamespace") and spec.get("hostPID"):
        text = "ShareProcessNamespace and HostPID cannot both be enabled"
        faults.append(invalid(f"{at}.shareProcessNamespace", True, text))
    faults += _sysctls(spec, f"{at}.sysctls")
    faults += _choice(security, at, "fsGroupChangePolicy", ("Always", "OnRootMismatch"))
    faults += _seccomp(security.get("seccompProfile"), f"{at}.seccompProfile")
    faults += validate_windows_options(security.get("windowsOptions"), f"{at}.windowsOptions")
    faults += validate_app_armor(security.get("appArmorProfile"), f"{at}.appArmorProfile")
    faults += _choice(security, at, "supplementalGroupsPolicy", ("Merge", "Strict"))
    policies = ("Recursive", "MountOption") if on("SELinuxMount") else ("Recursive",)
    return faults + _choice(security, at, "seLinuxChangePolicy", policies)


def _choice(security: Object, path: str, key: str, supported: tuple[str, ...]) -> list[FieldError]:
    return one_of(security.get(key), f"{path}.{key}", supported, nullable=True)


def _sysctls(spec: Object, path: str) -> list[FieldError]:
    faults: list[FieldError] = []
    seen: set[str] = set()
    for index, sysctl in enumerate(each(spec, "securityContext", "sysctls")):
        name, at = str(sysctl.get("name") or ""), f"{path}[{index}].name"
        if not name:
            faults.append(required(at))
        elif len(name) > _SYSCTL_MAX or not _IS_SYSCTL(name):
            text = f"must have at most {_SYSCTL_MAX} characters and match regex ^{_SYSCTL}$"
            faults.append(invalid(at, name, text))
        elif name in seen:
            faults.append(duplicate(at, name))
        if spec.get("hostNetwork") and _with_slashes(name).startswith("net/"):
            faults.append(invalid(at, name, "may not be specified when 'hostNetwork' is true"))
        elif spec.get("hostIPC") and _of_ipc(_with_slashes(name)):
            faults.append(invalid(at, name, "may not be specified when 'hostIPC' is true"))
        seen.add(name)
    return faults


def _of_ipc(name: str) -> bool:
    return name == "kernel/sem" or name.startswith(_IPC)


def _with_slashes(name: str) -> str:
    """Dots and slashes change places when the first separator is a dot."""
    first = next((char for char in name if char in "./"), "/")
    return name.translate(str.maketrans("./", "/.")) if first == "." else name


def _seccomp(profile: Object | None, path: str) -> list[FieldError]:
    if not isinstance(profile, dict):
        return []
    kind, local = profile.get("type") or "", profile.get("localhostProfile")
    if not kind:
        faults = [required(f"{path}.type", "type is required when seccompProfile is set")]
    else:
        faults = one_of(kind, f"{path}.type", _PROFILES, as_given=True)
    at = f"{path}.localhostProfile"
    if kind == "Localhost":
        if local is None:
            return [*faults, required(at, "must be set when seccomp type is Localhost")]
        return faults + relative_path(local, at)
    if local is not None:
        faults.append(
            invalid(at, inside("Profile", profile), "can only be set when seccomp type is Localhost")
        )
    return faults


def validate_app_armor(profile: Object | None, path: str) -> list[FieldError]:
    """Return every fault of a profile of AppArmor."""
    if not isinstance(profile, dict):
        return []
    kind, local, at = profile.get("type") or "", profile.get("localhostProfile"), f"{path}.localhostProfile"
    if not kind:
        return [required(f"{path}.type", "type is required when appArmorProfile is set")]
    if kind not in _PROFILES:
        return one_of(kind, f"{path}.type", _PROFILES, as_given=True)
    if kind != "Localhost":
        text = "can only be set when AppArmor type is Localhost"
        return [] if local is None else [invalid(at, local, text)]
    if local is None:
        return [required(at, "must be set when AppArmor type is Localhost")]
    faults: list[FieldError] = []
    if local.strip() != local:
        faults.append(invalid(at, local, "must not be padded with whitespace"))
    elif not local:
        faults.append(required(at, "must be set when AppArmor type is Localhost"))
    if len(local.encode()) > _PATH_MAX:
        faults.append(too_long(at, _PATH_MAX))
    return faults


def validate_container_security(security: Object, path: str, *, host_users: bool) -> list[FieldError]:
    """Return every fault of a container's security context."""
    faults: list[FieldError] = []
    if security.get("privileged") and not allows_privileged():
        faults.append(forbidden(f"{path}.privileged", "disallowed by cluster policy"))
    for key in ("runAsUser", "runAsGroup"):
        faults += user_id(security.get(key), f"{path}.{key}")
    mount = security.get("procMount")
    if mount is not None:
        faults += one_of(mount, f"{path}.procMount", ("Default", "Unmasked"), nullable=True)
        if mount == "Unmasked" and host_users:
            text = "`hostUsers` must be false to use `Unmasked`"
            faults.append(invalid(f"{path}.procMount", mount, text))
    faults += _seccomp(security.get("seccompProfile"), f"{path}.seccompProfile")
    if security.get("allowPrivilegeEscalation") is False:
        faults += _escalation(security, path)
    faults += validate_windows_options(security.get("windowsOptions"), f"{path}.windowsOptions")
    return faults + validate_app_armor(security.get("appArmorProfile"), f"{path}.appArmorProfile")


def _escalation(security: Object, path: str) -> list[FieldError]:
    faults: list[FieldError] = []
    shown = inside("SecurityContext", security)
    if security.get("privileged"):
        text = "cannot set `allowPrivilegeEscalation` to false and `privileged` to true"
        faults.append(invalid(path, shown, text))
    text = "cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN"
    added = peek(security, "capabilities").get("add") or ()
    return faults + [invalid(path, shown, text) for one in added if one == "CAP_SYS_ADMIN"]


def validate_host_users(spec: Object, path: str) -> list[FieldError]:
    """A pod with users of its own has no other namespace of the host's, nor its block devices."""
    if spec.get("hostUsers") is not False:
        return []
    text = "when `hostUsers` is false"
    faults = [
        forbidden(f"{path}.{shown}", text)
        for key, shown in (("hostNetwork", "hostNetwork"), ("hostPID", "HostPID"), ("hostIPC", "HostIPC"))
        if spec.get(key) and not (key == "hostNetwork" and on("UserNamespacesHostNetworkSupport"))
    ]
    return faults + [
        forbidden(f"{where}.volumeDevices", text)
        for where, container in each_container(spec, path)
        if container.get("volumeDevices")
    ]
