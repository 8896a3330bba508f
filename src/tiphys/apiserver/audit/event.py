"""Audit events as objects. Pure.

Owns: which field says what, and leaving out what a verdict leaves out. Source: audit.k8s.io/v1 Event.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import orjson

from tiphys.apimachinery import go_yaml
from tiphys.apimachinery.clock import rfc3339_micro
from tiphys.apimachinery.errors import StatusError
from tiphys.apimachinery.meta import Object
from tiphys.apiserver import machinery
from tiphys.apiserver.audit.policy import API_VERSION, Verdict
from tiphys.apiserver.authn.user import User
from tiphys.apiserver.requestinfo import RequestInfo
from tiphys.wire.message import Request

_AGENT_LENGTH = 1024
_CUT = "...TRUNCATED"


def begin(
    request: Request, info: RequestInfo, user: User, verdict: Verdict, *, audit_id: str, now: datetime
) -> Object:
    """Return what is known of a request when it comes in."""
    query = f"?{request.raw_query}" if request.raw_query else ""
    event: Object = {
        "kind": "Event",
        "apiVersion": API_VERSION,
        "level": verdict.level,
        "auditID": audit_id,
        "stage": "",
        "requestURI": (request.raw_path or request.path) + query,
        "verb": info.verb,
        "user": user.to_info(),
        "sourceIPs": source_ips(request),
        "userAgent": _agent(request.headers.get("user-agent", "")),
        "requestReceivedTimestamp": rfc3339_micro(now),
    }
    if info.is_resource:
        event["objectRef"] = _reference(info)
    return event


def source_ips(request: Request) -> list[str]:
    """Return where a request came from, the client first, each proxy after."""
    forwarded = [part.strip() for part in request.headers.get("x-forwarded-for", "").split(",")]
    found = [part for part in forwarded if part]
    real = request.headers.get("x-real-ip", "").strip()
    if real and real not in found:
        found.append(real)
    if request.peer_address and request.peer_address not in found:
        found.append(request.peer_address)
    return found


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


def without_managed_fields(value: Any) -> Any:
    """Return an object, or a list's objects, without ``metadata.managedFields``."""
    if not isinstance(value, dict):
        return value
    result = dict(value)
    meta = result.get("metadata")
    if isinstance(meta, dict) and "managedFields" in meta:
        result["metadata"] = {key: one for key, one in meta.items() if key != "managedFields"}
    if isinstance(result.get("items"), list):
        result["items"] = [without_managed_fields(one) for one in result["items"]]
    return result


def status_of(code: int, body: Any) -> Object:
    """Return the status of an answer: what a failure says, or just its code."""
    status: Object = {"metadata": {}, "code": code}
    if isinstance(body, dict) and body.get("kind") == "Status":
        for key in ("status", "message", "reason", "details"):
            if body.get(key):
                status[key] = body[key]
    return status
