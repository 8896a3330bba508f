"""Rules of pods for Windows nodes, and of what pods for one system may not ask of the other."""

from __future__ import annotations

import re

from tiphys.apimachinery import names
from tiphys.apimachinery.errors import FieldError
from tiphys.apimachinery.field_errors import forbidden, invalid, invalid_all, not_supported, required
from tiphys.apimachinery.meta import Object
from tiphys.apis.core.capabilities import allows_privileged
from tiphys.apis.core.containers import each_container
from tiphys.apis.defaulting import peek

_SPEC_KIB = 64
_DOMAIN_MAX, _USER_MAX = 256, 104
_NET_BIOS = re.compile(r'[^\\/:*?"<>|.][^\\/:*?"<>|]{0,14}').fullmatch
_DNS_LABEL = r"[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?"
_DNS = re.compile(rf"{_DNS_LABEL}(?:\.{_DNS_LABEL})*").fullmatch
_BAD_IN_USER = re.compile(r'["/\\:;|=,+*?<>@\[\]]').search
_NOT_HERE = "cannot be set for a windows pod"
_CONTEXT = "securityContext."
_POD_FIELDS = (
    "securityContext.appArmorProfile", "securityContext.seLinuxOptions", "hostUsers", "hostPID", "hostIPC",
    "securityContext.seccompProfile", "securityContext.fsGroup", "securityContext.fsGroupChangePolicy",
    "securityContext.sysctls", "shareProcessNamespace", "securityContext.runAsUser",
    "securityContext.runAsGroup", "securityContext.supplementalGroups",
    "securityContext.supplementalGroupsPolicy", "securityContext.seLinuxChangePolicy",
)  # fmt: skip
_IF_TRUE = ("hostPID", "hostIPC", "securityContext.sysctls")
"""Empty or false is as good as not given."""
_CONTAINER_CONTEXT = (
    "appArmorProfile", "seLinuxOptions", "seccompProfile", "capabilities", "readOnlyRootFilesystem",
    "privileged", "allowPrivilegeEscalation", "procMount", "runAsUser", "runAsGroup",
)  # fmt: skip


def validate_windows_options(options: Object | None, path: str) -> list[FieldError]:
    """Return every fault of ``windowsOptions``."""
    if not isinstance(options, dict):
        return []
    faults: list[FieldError] = []
    name = options.get("gmsaCredentialSpecName")
    if name is not None:
        faults += invalid_all(f"{path}.gmsaCredentialSpecName", name, names.is_dns1123_subdomain(name))
    content, at = options.get("gmsaCredentialSpec"), f"{path}.gmsaCredentialSpec"
    if content == "":
        faults.append(invalid(at, content, "gmsaCredentialSpec cannot be an empty string"))
    elif content is not None and len(content) > _SPEC_KIB * 1024:
        faults.append(invalid(at, content, f"gmsaCredentialSpec size must be under {_SPEC_KIB} KiB"))
    user = options.get("runAsUserName")
    if user is not None:
        faults += [invalid(f"{path}.runAsUserName", user, text) for text in _user_name(user)]
    return faults


def _user_name(value: str) -> list[str]:
    if not value:
        return ["runAsUserName cannot be an empty string"]
    if any(ord(char) < 32 or ord(char) == 127 for char in value):
        return ["runAsUserName cannot contain control characters"]
    if value.count("\\") > 1:
        return ["runAsUserName cannot contain more than one backslash"]
    domain, separator, user = value.rpartition("\\")
    texts = []
    if len(domain) >= _DOMAIN_MAX:
        texts.append(f"runAsUserName's Domain length must be under {_DOMAIN_MAX} characters")
    if separator and not (_NET_BIOS(domain) or _DNS(domain)):
        texts.append("runAsUserName's Domain doesn't match the NetBios nor the DNS format")
    if not user:
        texts.append("runAsUserName's User cannot be empty")
    elif len(user) > _USER_MAX:
        texts.append(f"runAsUserName's User length must not be longer than {_USER_MAX} characters")
    if user and not user.strip(". "):
        texts.append("runAsUserName's User cannot contain only periods or spaces")
    if _BAD_IN_USER(user):
        texts.append("runAsUserName's User cannot contain the following characters: \"/\\:;|=,+*?<>@[]")
    return texts


def validate_host_process(spec: Object, path: str) -> list[FieldError]:
    """Return every fault of a pod whose containers run as processes of the host."""
    whole = peek(spec, "securityContext", "windowsOptions").get("hostProcess")
    faults: list[FieldError] = []
    count = hosts = 0
    for at, container in each_container(spec, path):
        count += 1
        own = peek(container, "securityContext", "windowsOptions").get("hostProcess")
        if whole is not None and own is not None and whole != own:
            shown = "true" if whole else "false"
            text = f"pod hostProcess value must be identical if both are specified, was {shown}"
            faults.append(invalid(f"{at}.securityContext.windowsOptions.hostProcess", own, text))
        hosts += bool(whole if own is None else own)
    if not hosts:
        return faults
    if hosts != count:
        text = "If pod contains any hostProcess containers then all containers must be HostProcess containers"
        faults.append(invalid(path, "", text))
    if not spec.get("hostNetwork"):
        text = "hostNetwork must be true if pod contains any hostProcess containers"
        faults.append(invalid(f"{path}.hostNetwork", False, text))
    if not allows_privileged():
        text = "hostProcess containers are disallowed by cluster policy"
        faults.append(forbidden(path, text))
    return faults


def validate_os(spec: Object, path: str) -> list[FieldError]:
    """Return every fault of ``os``, and of what that system does not know."""
    system = spec.get("os")
    if not isinstance(system, dict):
        return []
    name = system.get("name") or ""
    if not name:
        return [required(f"{path}.os.name")]
    if name == "linux":
        return _linux(spec, path)
    if name == "windows":
        return _windows(spec, path)
    return [not_supported(f"{path}.os", name, ("linux", "windows"))]


def _linux(spec: Object, path: str) -> list[FieldError]:
    holders = [(path, spec), *each_container(spec, path)]
    text = "windows options cannot be set for a linux pod"
    return [
        forbidden(f"{at}.securityContext.windowsOptions", text)
        for at, holder in holders
        if peek(holder, "securityContext").get("windowsOptions") is not None
    ]


def _windows(spec: Object, path: str) -> list[FieldError]:
    context, faults = peek(spec, "securityContext"), list[FieldError]()
    for key in _POD_FIELDS:
        given = (context if key.startswith(_CONTEXT) else spec).get(key.removeprefix(_CONTEXT))
        if given or (given is not None and key not in _IF_TRUE):
            faults.append(forbidden(f"{path}.{key}", _NOT_HERE))
    return faults + [
        forbidden(f"{at}.securityContext.{key}", _NOT_HERE)
        for at, container in each_container(spec, path)
        for key in _CONTAINER_CONTEXT
        if peek(container, "securityContext").get(key) is not None
    ]
