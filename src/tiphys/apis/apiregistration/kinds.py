"""Defaults, rules and strategies of the ``apiregistration.k8s.io`` group."""

from __future__ import annotations

from base64 import b64decode

from tiphys.apimachinery import names
from tiphys.apimachinery.errors import FieldError
from tiphys.apimachinery.field_errors import invalid, invalid_all, not_supported, required
from tiphys.apimachinery.go_text import quoted
from tiphys.apimachinery.meta import GVK, Object
from tiphys.apis.defaulting import each, fill_optional, peek
from tiphys.apis.meta_validation import named_faults
from tiphys.apis.strategy import Strategy

_HTTPS = 443
_STATES = ("True", "False", "Unknown")


def default_api_service(obj: Object) -> None:
    """An extension server listens on the HTTPS port."""
    service = (obj.get("spec") or {}).get("service")
    if isinstance(service, dict):
        fill_optional(service, "port", _HTTPS)


def prepare_api_service(obj: Object) -> None:
    """A local API is there at once; another is awaited."""
    if (obj.get("spec") or {}).get("service") is None:
        obj["status"] = {
            "conditions": [
                {
                    "type": "Available",
                    "status": "True",
                    "lastTransitionTime": None,
                    "reason": "Local",
                    "message": "Local APIServices are always available",
                }
            ]
        }
    else:
        obj["status"] = {}


def stamp_api_service(new: Object, old: Object | None, now: str) -> None:
    """A local API is there from the moment in which it is made known."""
    if old is None:
        for condition in each(new, "status", "conditions"):
            condition["lastTransitionTime"] = now


def _unlike(name: str, wanted: str) -> list[str]:
    """Say what a name has to be, unless it is none at all, which is told of every kind's."""
    if name == wanted or names.is_path_segment_name(name):
        return []
    return [f'must be `spec.version+"."+spec.group`: {quoted(wanted)}']


def validate_api_service(obj: Object) -> list[FieldError]:
    """Return every fault of an APIService; its name is its version and group."""
    spec = peek(obj, "spec")
    group, version = spec.get("group") or "", spec.get("version") or ""
    faults = named_faults(peek(obj, "metadata"), lambda name: _unlike(name, f"{version}.{group}"))
    if group:
        faults += invalid_all("spec.group", group, names.is_dns1123_subdomain(group))
    elif version != "v1":
        text = "only v1 may have an empty group and it better be legacy kube"
        faults.append(required("spec.group", text))
    faults += invalid_all("spec.version", version, names.is_dns1035_label(version))
    for key, most in (("groupPriorityMinimum", 20000), ("versionPriority", 1000)):
        value = spec.get(key) or 0
        if not 0 < value <= most:
            faults.append(invalid(f"spec.{key}", value, f"must be positive and less than {most}"))
    service = spec.get("service")
    if service is None:
        if spec.get("caBundle"):
            text = "local APIServices may not have a caBundle"
            faults.append(invalid("spec.caBundle", f"{len(b64decode(spec['caBundle']))} bytes", text))
        if spec.get("insecureSkipTLSVerify"):
            text = "local APIServices may not have insecureSkipTLSVerify"
            faults.append(invalid("spec.insecureSkipTLSVerify", True, text))
        return faults
    faults += [required(f"spec.service.{key}") for key in ("namespace", "name") if not service.get(key)]
    port = service.get("port") or 0
    if texts := names.is_port_number(port):
        faults.append(invalid("spec.service.port", port, f"port is not valid: {', '.join(texts)}"))
    if spec.get("insecureSkipTLSVerify") and spec.get("caBundle"):
        text = "may not be true if caBundle is present"
        faults.append(invalid("spec.insecureSkipTLSVerify", True, text))
    return faults


def validate_api_service_status(new: Object, _old: Object) -> list[FieldError]:
    """Return every fault of an APIService's new status."""
    return [
        not_supported(f"status.conditions[{index}].status", condition.get("status") or "", _STATES)
        for index, condition in enumerate(each(new, "status", "conditions"))
        if condition.get("status") not in _STATES
    ]


STRATEGIES: tuple[Strategy, ...] = (
    Strategy(
        GVK("apiregistration.k8s.io", "v1", "APIService"),
        default=default_api_service,
        prepare_create=prepare_api_service,
        stamp=stamp_api_service,
        validate=validate_api_service,
        validate_update=lambda new, _old: validate_api_service(new),
        validate_status_update=validate_api_service_status,
        validate_name=names.is_path_segment_name,
        unconditional_update=False,
    ),
)
