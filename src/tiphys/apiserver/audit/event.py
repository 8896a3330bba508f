"""Audit events as objects. Pure.

Owns: which field says what, and leaving out what a verdict leaves out. Source: audit.k8s.io/v1 Event.
"""

from __future__ import annotations

import ipaddress
import re
from datetime import datetime
from typing import Any

import orjson

from tiphys.apimachinery import go_yaml
from tiphys.apimachinery.clock import rfc3339_micro
from tiphys.apimachinery.errors import StatusError
from tiphys.apimachinery.go_text import without_markup
from tiphys.apimachinery.meta import Object
from tiphys.apiserver.audit.policy import API_VERSION, Verdict
from tiphys.apiserver.authn.user import User
from tiphys.apiserver.endpoints.plain_faults import uri_of
from tiphys.apiserver.filters.requestinfo import RequestInfo
from tiphys.apiserver.registry import machinery
from tiphys.wire.message import Request, values_of

_ZEROS = re.compile(r"(?<![0-9a-fA-F:])0+(?=[0-9])")
_STATUS = re.compile(
    rb'\s*\{\s*"kind":\s*"Status"|k8s\0.{0,16}Status|(apiVersion: v1\n)?kind: Status\n', re.DOTALL
)
_AGENT_LENGTH = 1024
_FIELDS = (
    "kind", "apiVersion", "level", "auditID", "stage", "requestURI", "verb", "user", "impersonatedUser",
    "authenticationMetadata", "sourceIPs", "userAgent", "objectRef", "responseStatus", "requestObject",
    "responseObject", "requestReceivedTimestamp", "stageTimestamp", "annotations",
)  # fmt: skip
_REFERENCE = (
    "resource", "namespace", "name", "uid", "apiGroup", "apiVersion", "resourceVersion", "subresource",
)  # fmt: skip
_CUT = "...TRUNCATED"


def begin(
    request: Request, info: RequestInfo, user: User, verdict: Verdict, *, audit_id: str, now: datetime
) -> Object:
    """Return what is known of a request when it comes in."""
    event: Object = {
        "kind": "Event",
        "apiVersion": API_VERSION,
        "level": verdict.level,
        "auditID": audit_id,
        "stage": "",
        "requestURI": uri_of(request),
        "verb": info.verb,
        "user": user.to_info(),
        **{key: value for key, value in _sender(request) if value},
        "requestReceivedTimestamp": rfc3339_micro(now),
    }
    if info.is_resource:
        event["objectRef"] = _reference(info)
    return event


def _sender(request: Request) -> tuple[tuple[str, Any], ...]:
    return (
        ("sourceIPs", source_ips(request)),
        ("userAgent", _agent(request.headers.get("user-agent", ""))),
    )


def in_order(event: Object) -> Object:
    """Return an event with its fields, and those of what it is about, in the order of Go's types."""
    found = {key: event[key] for key in _FIELDS if key in event}
    if "objectRef" in found:
        found["objectRef"] = {key: event["objectRef"][key] for key in _REFERENCE if key in event["objectRef"]}
    if "annotations" in found:
        found["annotations"] = dict(sorted(event["annotations"].items()))
    return found


def encoded(value: Object) -> bytes:
    """Return an event, or a list of them, as Go's encoder writes it: fit for HTML, a newline behind."""
    return without_markup(orjson.dumps(value)) + b"\n"


def source_ips(request: Request) -> list[str]:
    """Return where a request came from, the client first, each proxy after."""
    forwarded = next(iter(values_of(request.headers, "x-forwarded-for")), "")
    found = [ip for part in forwarded.split(",") if (ip := _address(part.strip()))]
    real = _address(next(iter(values_of(request.headers, "x-real-ip")), ""))
    if real and real not in found:
        found.append(real)
    peer = _address(request.peer_address)
    if peer and found[-1:] != [peer]:
        found.append(peer)
    return found


def _address(text: str) -> str:
    """Return an address as Go writes it, empty for what is none; zeros may stand before its numbers."""
    if not text.isascii() or "%" in text:
        return ""
    try:
        found = ipaddress.ip_address(_ZEROS.sub("", text))
    except ValueError:
        return ""
    mapped = found.ipv4_mapped if isinstance(found, ipaddress.IPv6Address) else None
    return str(mapped or found)


def _agent(text: str) -> str:
    return text[:_AGENT_LENGTH] + _CUT if len(text) > _AGENT_LENGTH else text


def _reference(info: RequestInfo) -> Object:
    pairs = (
        ("resource", info.resource), ("namespace", info.namespace), ("name", info.name),
        ("apiGroup", info.group), ("apiVersion", info.version), ("subresource", info.subresource),
    )  # fmt: skip
    return {key: value for key, value in pairs if value}


def body_of(data: bytes, content_type: str, verdict: Verdict) -> Any:
    """Return a body as the event shows it: decoded, without managed fields if the policy says so."""
    if not data:
        return None
    try:
        value = _decode(data, content_type)
    except (ValueError, StatusError):
        return {"kind": "Unknown", "contentType": content_type}
    return without_managed_fields(value) if verdict.omit_managed_fields else value


def _decode(data: bytes, content_type: str) -> Any:
    if "protobuf" in content_type:
        return machinery.decode_protobuf(data)
    if "yaml" in content_type:
        return go_yaml.load(data)[0]
    return orjson.loads(data)


def is_status(data: bytes) -> bool:
    """Tell whether a body, in whatever form, is a Status, by how it begins."""
    return _STATUS.match(data[:64]) is not None


def without_managed_fields(value: Any) -> Any:
    """Return an object, or those of a list or of a table's rows, without ``metadata.managedFields``."""
    if not isinstance(value, dict):
        return value
    result = dict(value)
    meta = result.get("metadata")
    if isinstance(meta, dict) and "managedFields" in meta:
        result["metadata"] = {key: one for key, one in meta.items() if key != "managedFields"}
    if isinstance(result.get("items"), list):
        result["items"] = [without_managed_fields(one) for one in result["items"]]
    if result.get("kind") == "Table" and isinstance(result.get("rows"), list):
        rows = [row if isinstance(row, dict) else {} for row in result["rows"]]
        result["rows"] = [{**row, "object": without_managed_fields(row.get("object"))} for row in rows]
    return result


def status_of(code: int, body: Any) -> Object:
    """Return the status of an answer: what a failure says, or just its code."""
    said = body if isinstance(body, dict) and body.get("kind") == "Status" else {}
    told = {key: said[key] for key in ("status", "message", "reason", "details") if said.get(key)}
    return {"metadata": {}, **told, "code": code}
