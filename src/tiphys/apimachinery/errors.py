"""Every error that crosses the API, once.

Raised where the fact is known, rendered to a ``Status`` at the HTTP edge, rebuilt by the client into
the same class, so ``except NotFound`` reads alike on both sides of the wire::

    TiphysError
    ├── TerminalError               a reconcile that no retry can help
    └── StatusError                 code, reason, message, details
        ├── BadRequest              400
        ├── Unauthorized            401
        ├── Forbidden               403
        ├── NotFound                404
        ├── MethodNotAllowed        405
        ├── NotAcceptable           406
        ├── Conflict                409
        │   └── AlreadyExists       409
        ├── Expired                 410 (resourceVersion too old)
        ├── RequestEntityTooLarge   413
        ├── UnsupportedMediaType    415
        ├── Invalid                 422 (every fault, with its field)
        ├── TooManyRequests         429 (retry_after_s)
        ├── InternalError           500
        ├── ServerTimeout           500 (come again: somebody else was not in time)
        ├── ServiceUnavailable      503
        └── Timeout                 504

Source: the ``Status`` type of meta/v1 and its reasons.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar, Self

from tiphys.apimachinery.dataclass import dataclass


class TiphysError(Exception):
    """Root of everything this project raises on purpose."""


class TerminalError(TiphysError):
    """A reconcile failed in a way that trying again cannot mend."""


@dataclass(frozen=True, slots=True)
class FieldError:
    """One fault of one field: ``type`` is a cause reason such as ``FieldValueInvalid``."""

    type: str
    field: str
    detail: str
    """The whole text after ``<field>: ``, for example ``Required value: must be set``."""

    def __str__(self) -> str:
        return f"{self.field}: {self.detail}"


class StatusError(TiphysError):
    """An API failure: what a ``Status`` object of kind Failure says."""

    code: ClassVar[int] = 500
    reason: ClassVar[str] = ""

    def __init__(
        self,
        message: str,
        *,
        details: dict[str, Any] | None = None,
        code: int | None = None,
        reason: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.details = details
        self.status_code = code if code is not None else type(self).code
        self.status_reason = reason if reason is not None else type(self).reason

    def to_status(self) -> dict[str, Any]:
        """Render as a ``Status`` in wire form."""
        status: dict[str, Any] = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
        }
        if self.status_reason:
            status["reason"] = self.status_reason
        if self.details is not None:
            status["details"] = self.details
        status["code"] = self.status_code
        return status

    @property
    def target_gone(self) -> bool:
        """True where the object meant is no more: another has its name by now, if a uid was named."""
        causes = (self.details or {}).get("causes") or ()
        return isinstance(self, (NotFound, Conflict)) or any(
            cause.get("field") == "metadata.uid" for cause in causes
        )

    @classmethod
    def for_name(cls, message: str, group: str, kind: str, name: str) -> Self:
        """Build with ``details`` naming the object; ``kind`` is the plural resource name, as upstream."""
        return cls(message, details=object_details(group, kind, name))


def object_details(group: str, kind: str, name: str) -> dict[str, Any]:
    """Return ``Status.details`` for one object, leaving out what is empty."""
    pairs = (("name", name), ("group", group), ("kind", kind))
    return {key: value for key, value in pairs if value}


def qualified(resource: str, group: str) -> str:
    """Return ``deployments.apps`` or ``pods``: how messages name a resource."""
    return f"{resource}.{group}" if group else resource


class BadRequest(StatusError):
    code = 400
    reason = "BadRequest"


class Unauthorized(StatusError):
    code = 401
    reason = "Unauthorized"


class Forbidden(StatusError):
    code = 403
    reason = "Forbidden"

    @classmethod
    def of(cls, group: str, resource: str, name: str, why: str) -> Self:
        """``pods "x" is forbidden: why``, as admission and authorization say it."""
        subject = (
            f'{qualified(resource, group)} "{name}" is forbidden'
            if name
            else f"{qualified(resource, group)} is forbidden"
        )
        if not resource:
            subject = "forbidden"
        return cls.for_name(f"{subject}: {why}", group, resource, name)


class NotFound(StatusError):
    code = 404
    reason = "NotFound"

    @classmethod
    def of(cls, group: str, resource: str, name: str) -> Self:
        return cls.for_name(f'{qualified(resource, group)} "{name}" not found', group, resource, name)

    @classmethod
    def path(cls) -> Self:
        """What an unknown resource path answers."""
        return cls("the server could not find the requested resource", details={})


class MethodNotAllowed(StatusError):
    code = 405
    reason = "MethodNotAllowed"

    def __init__(
        self,
        message: str,
        *,
        details: dict[str, Any] | None = None,
        code: int | None = None,
        reason: str | None = None,
    ) -> None:
        super().__init__(message, details=details or {}, code=code, reason=reason)


class NotAcceptable(StatusError):
    code = 406
    reason = "NotAcceptable"


class Conflict(StatusError):
    code = 409
    reason = "Conflict"

    @classmethod
    def of(cls, group: str, resource: str, name: str, why: str | None = None) -> Self:
        why = why or (
            "the object has been modified; please apply your changes to the latest version and try again"
        )
        message = f'Operation cannot be fulfilled on {qualified(resource, group)} "{name}": {why}'
        return cls.for_name(message, group, resource, name)


class AlreadyExists(Conflict):
    reason = "AlreadyExists"

    @classmethod
    def of(cls, group: str, resource: str, name: str, why: str | None = None) -> Self:
        return cls.for_name(f'{qualified(resource, group)} "{name}" already exists', group, resource, name)


class Expired(StatusError):
    code = 410
    reason = "Expired"


class RequestEntityTooLarge(StatusError):
    code = 413
    reason = "RequestEntityTooLarge"


class UnsupportedMediaType(StatusError):
    code = 415
    reason = "UnsupportedMediaType"


class Invalid(StatusError):
    code = 422
    reason = "Invalid"

    @classmethod
    def of(cls, group: str, kind: str, name: str, faults: Iterable[FieldError]) -> Self:
        """Every fault at once, in upstream's wording; ``kind`` is the Kind, not the resource."""
        faults = list(faults)
        texts = list(dict.fromkeys(str(fault) for fault in faults))
        joined = texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]"
        details = object_details(group, kind, name)
        details["causes"] = [
            {"reason": fault.type, "message": fault.detail, "field": fault.field} for fault in faults
        ]
        return cls(f'{qualified(kind, group)} "{name}" is invalid: {joined}', details=details)


class TooManyRequests(StatusError):
    """``retry_after_s`` of 0: nothing is said of when to try again, and Go's clients do not."""

    code = 429
    reason = "TooManyRequests"

    def __init__(
        self, message: str, *, retry_after_s: int = 1, details: dict[str, Any] | None = None
    ) -> None:
        later = {"retryAfterSeconds": retry_after_s} if retry_after_s else {}
        super().__init__(message, details={**(details or {}), **later} or None)
        self.retry_after_s = retry_after_s


class InternalError(StatusError):
    code = 500
    reason = "InternalError"

    @classmethod
    def of(cls, error: BaseException | str) -> Self:
        text = str(error)
        return cls(f"Internal error occurred: {text}", details={"causes": [{"message": text}]})


class ServiceUnavailable(StatusError):
    code = 503
    reason = "ServiceUnavailable"


class Timeout(StatusError):
    code = 504
    reason = "Timeout"


class ServerTimeout(StatusError):
    code = 500
    reason = "ServerTimeout"


_BY_REASON: dict[str, type[StatusError]] = {
    cls.reason: cls
    for cls in (
        BadRequest, Unauthorized, Forbidden, NotFound, MethodNotAllowed, NotAcceptable, Conflict,
        AlreadyExists, Expired, RequestEntityTooLarge, UnsupportedMediaType, Invalid, InternalError,
        ServiceUnavailable, Timeout, ServerTimeout,
    )
}  # fmt: skip
_BY_CODE: dict[int, type[StatusError]] = {
    400: BadRequest, 401: Unauthorized, 403: Forbidden, 404: NotFound, 405: MethodNotAllowed,
    406: NotAcceptable, 409: Conflict, 410: Expired, 413: RequestEntityTooLarge,
    415: UnsupportedMediaType, 422: Invalid, 500: InternalError, 503: ServiceUnavailable, 504: Timeout,
}  # fmt: skip


def from_status(status: dict[str, Any], http_code: int) -> StatusError:
    """Rebuild the error that the server raised from the ``Status`` it sent.

    ``status`` may be any JSON object (a proxy's answer, say): what is missing falls back on ``http_code``.
    """
    code = status.get("code") or http_code
    reason = status.get("reason") or ""
    message = status.get("message") or f"the server answered with status {code}"
    details = status.get("details") or None
    if code == 429:
        retry = (details or {}).get("retryAfterSeconds", 1)
        return TooManyRequests(message, retry_after_s=int(retry), details=details)
    cls = _BY_REASON.get(reason) or _BY_CODE.get(code, StatusError)
    return cls(message, details=details, code=code, reason=reason or cls.reason)
