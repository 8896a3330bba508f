"""Rules of probes, lifecycle handlers and the signals that stop containers."""

from __future__ import annotations

from tiphys.apimachinery import names
from tiphys.apimachinery.errors import FieldError
from tiphys.apimachinery.field_errors import forbidden, invalid, invalid_all, not_supported, required
from tiphys.apimachinery.meta import Object
from tiphys.apis.defaulting import each
from tiphys.apis.value_validation import not_negative, one_of, port_number, port_number_or_name

_HANDLERS = ("exec", "httpGet", "tcpSocket", "grpc", "sleep")
_SIGNALS = (
    "ABRT", "ALRM", "BUS", "CHLD", "CLD", "CONT", "FPE", "HUP", "ILL", "INT", "IO", "IOT", "KILL", "PIPE",
    "POLL", "PROF", "PWR", "QUIT", "RTMAX", "RTMIN", "SEGV", "STKFLT", "STOP", "SYS", "TERM", "TRAP", "TSTP",
    "TTIN", "TTOU", "URG", "USR1", "USR2", "VTALRM", "WINCH", "XCPU", "XFSZ",
    *(f"RTMIN+{number}" for number in range(1, 16)),
    *(f"RTMAX-{number}" for number in range(1, 15)),
)  # fmt: skip
_STOP_SIGNALS = {
    "linux": tuple(sorted(f"SIG{name}" for name in _SIGNALS)),
    "windows": ("SIGKILL", "SIGTERM"),
}
_NUMBERS = ("initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold")


def validate_probe(probe: Object, path: str, *, once: bool) -> list[FieldError]:
    """Return every fault of a probe; ``once``: liveness and startup take one success as enough."""
    faults = validate_handler(probe, path) + not_negative(probe, path, *_NUMBERS)
    grace, at = probe.get("terminationGracePeriodSeconds"), f"{path}.terminationGracePeriodSeconds"
    if grace is not None and grace <= 0:
        faults.append(invalid(at, grace, "must be greater than 0"))
    if grace is not None and not once:
        faults.append(invalid(at, grace, "must not be set for readinessProbes"))
    threshold = probe.get("successThreshold")
    if once and threshold not in (None, 1):
        faults.append(invalid(f"{path}.successThreshold", threshold, "must be 1"))
    return faults


def validate_handler(handler: Object, path: str, grace_s: int | None = None) -> list[FieldError]:
    """Return every fault of the one action that a probe or hook has; ``grace_s`` is the pod's."""
    given = [key for key in _HANDLERS if isinstance(handler.get(key), dict)]
    if not given:
        return [required(path, "must specify a handler type")]
    return _action(given[0], handler[given[0]], f"{path}.{given[0]}", grace_s) + [
        forbidden(f"{path}.{key}", "may not specify more than 1 handler type") for key in given[1:]
    ]


def validate_stop_signal(signal: str, path: str, os: str | None) -> list[FieldError]:
    """Return the fault of a signal that stops nothing in a pod of this system (its ``os.name``)."""
    if os is None:
        return [forbidden(path, "may not be set for containers with empty `spec.os.name`")]
    known = _STOP_SIGNALS.get(os, (signal,))
    return [] if signal in known else [not_supported(path, signal, known)]


def _action(kind: str, action: Object, at: str, grace_s: int | None) -> list[FieldError]:
    faults: list[FieldError] = []
    if kind == "exec" and not action.get("command"):
        faults.append(required(f"{at}.command"))
    elif kind == "httpGet":
        faults += _http_get(action, at)
    elif kind == "tcpSocket":
        faults += port_number_or_name(action.get("port"), f"{at}.port")
    elif kind == "grpc":
        faults += port_number(action.get("port"), f"{at}.port")
    elif kind == "sleep" and grace_s is not None and not 0 <= (action.get("seconds") or 0) <= grace_s:
        text = f"must be non-negative and less than terminationGracePeriodSeconds ({grace_s})"
        faults.append(invalid(at, action.get("seconds"), text))
    return faults


def _http_get(action: Object, path: str) -> list[FieldError]:
    faults: list[FieldError] = []
    if not action.get("path"):
        faults.append(required(f"{path}.path"))
    faults += port_number_or_name(action.get("port"), f"{path}.port")
    faults += one_of(action.get("scheme"), f"{path}.scheme", ("HTTP", "HTTPS"))
    for header in each(action, "httpHeaders"):
        name = header.get("name") or ""
        faults += invalid_all(f"{path}.httpHeaders", name, names.is_http_header_name(name))
    return faults
